"""A latch: like a `threading.Event` that cannot be cleared, but without the condition variable.

Creating one costs a third of creating an Event.
"""

from __future__ import annotations

from _thread import LockType, allocate_lock

from taskloom.sync.waker import Waker, lock_timeout

__all__ = ["Latch"]


class Latch:
    """Opened once, by any thread; any number of threads may wait for it.

    A waiter appends its lock to the list and then reads `is_open`; `open` sets `is_open` and then empties the list. In
    whichever order these interleave, either the waiter sees the flag or `open` releases its lock.
    """

    __slots__ = ("_waiters", "is_open")

    def __init__(self) -> None:
        self.is_open = False
        self._waiters: list[LockType | Waker] = []

    def open(self) -> None:
        """Release all waiting threads; later waits return at once. Idempotent.

        Each lock is released before it leaves the list: if an exception strikes in between, the next call finds it.
        """
        self.is_open = True
        waiters = self._waiters
        while waiters:
            try:
                waiter = waiters[-1]
                waiter.release()
            except IndexError:
                return  # the last waiter timed out and removed its lock
            except RuntimeError:
                pass  # released before, by a caller that was interrupted
            try:
                waiters.remove(waiter)
            except ValueError:
                pass  # the waiter has woken and removed it itself

    def wait(self, seconds: float | None = None) -> bool:
        """Block until open, at most `seconds` (None: for ever); return whether it is open."""
        if self.is_open:
            return True
        timeout = lock_timeout(seconds)
        waiter = allocate_lock()
        waiter.acquire()
        self._waiters.append(waiter)
        if not self.is_open:
            waiter.acquire(True, timeout)
        try:
            self._waiters.remove(waiter)
        except ValueError:
            pass  # `open` removed it
        return self.is_open

    def add_waker(self, waker: Waker) -> None:
        """Release the waker once open, or now. Call `remove_waker` afterwards."""
        self._waiters.append(waker)
        if self.is_open:
            waker.release()

    def remove_waker(self, waker: Waker) -> None:
        """Forget the waker; idempotent."""
        try:
            self._waiters.remove(waker)
        except ValueError:
            pass  # `open` removed it
