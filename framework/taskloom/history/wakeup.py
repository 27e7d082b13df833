"""Wakes the writer thread: at once for what a caller waits for, else when enough has come together."""

from __future__ import annotations

from _thread import allocate_lock

from taskloom.clock import mono

__all__ = ["COLLECT_SECONDS", "Wakeup"]

COLLECT_SECONDS = 0.2
"""Rows are committed at most this long after the first of them came: one commit costs a write of the disk."""


class Wakeup:
    """Any thread may call `wake`, also from a finalizer; one thread calls `sleep`."""

    def __init__(self) -> None:
        # A binary semaphore: free once the thread should look.
        self._signal = allocate_lock()
        self._signal.acquire()
        # Whether the next arrival of any kind wakes the thread; else it is awake, or collects.
        self._is_idle = False
        self._is_urgent = False

    def wake(self, is_urgent: bool = False) -> None:
        """Have the thread look at what has arrived, which the caller has put there before. Never blocks."""
        if is_urgent:
            self._is_urgent = True
        elif not self._is_idle:
            return
        self._is_idle = False
        try:
            self._signal.release()
        except RuntimeError:
            pass  # free already: the thread will look

    def sleep(self, until: float, *, has_work: bool) -> None:
        """Sleep until the monotonic second `until`, or until COLLECT_SECONDS after work has come; not for urgent work.

        `has_work` is read by the caller after `idle`.
        """
        if not has_work and not self._is_urgent and not self._acquire(until):
            self._is_idle = False
            return
        self._is_idle = False
        collected = min(until, mono() + COLLECT_SECONDS)
        while not self._is_urgent and self._acquire(collected):
            pass
        self._is_urgent = False

    def idle(self) -> None:
        """Have the next arrival wake the thread. Called before it reads whether there is work.

        An arrival is appended first and asks for `_is_idle` then. In whichever order the two threads do this, either
        the arrival is seen or it wakes the thread.
        """
        self._is_idle = True

    def _acquire(self, until: float) -> bool:
        return self._signal.acquire(timeout=max(0.0, min(until - mono(), 3600.0)))
