"""A wait of one thread that several others may end."""

from __future__ import annotations

import math
from _thread import allocate_lock

__all__ = ["Waker", "lock_timeout"]

# The longest timeout of a lock (threading.TIMEOUT_MAX), rounded down: about 292 years.
_LONGEST_LOCK_SECONDS = 9_000_000_000.0


def lock_timeout(seconds: float | None) -> float:
    """Convert seconds (None or inf: for ever; negative: do not wait) to the timeout of a lock.

    Raises ValueError for nan: a lock would not wait at all, and the caller's loop would be a busy loop.
    """
    if seconds is None:
        return -1
    if math.isnan(seconds):
        raise ValueError("cannot wait for nan seconds")
    if seconds >= _LONGEST_LOCK_SECONDS:
        return -1
    return max(seconds, 0.0)


class Waker:
    """Ends one wait. It may be in the lists of several sources, such as a token and a queue: the first one wakes.

    As a callback of `ctx.on_cancel` it is released by the thread that cancels the run, and when the run ends: no helper
    thread is needed, so the wait ends even if all helpers are stuck.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()

    def release(self) -> None:
        """End the wait, or the next one. Idempotent; never blocks, any thread may call it."""
        try:
            self._lock.release()
        except RuntimeError:
            pass  # released already

    __call__ = release

    def wait(self, seconds: float | None = None) -> bool:
        """Block until released, at most `seconds`; return whether it was released. Raises ValueError for nan."""
        return self._lock.acquire(True, lock_timeout(seconds))
