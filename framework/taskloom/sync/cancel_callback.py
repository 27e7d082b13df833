"""The callbacks that a cancellation calls: each begins at most once.

A callback may be unregistered, begun and dropped on different threads at the same time; the claim of `begin` decides.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable

from taskloom.sync.latch import Latch

__all__ = ["CancelCallback", "TerminateCallback"]


class CancelCallback:
    """One registered callback. It begins at most once, and never after `close`."""

    __slots__ = ("_callback", "_home", "_is_closed", "_once", "is_done", "name")

    def __init__(self, callback: Callable[[], object], name: str, home: list[CancelCallback] | None = None) -> None:
        # Empty once it can no longer be called: a bound method references the whole task, and runs are kept for long.
        self._callback = [callback]
        # The list of callbacks that contains it; `close` removes it from there.
        self._home = home
        self._once = allocate_lock()
        self._is_closed = False
        self.name = name
        self.is_done = False

    @property
    def is_begun(self) -> bool:
        """Whether it was claimed by `begin`."""
        return self._once.locked() and not self._is_closed

    @property
    def has_run_ended(self) -> bool:
        """Whether its run has ended, and it is to be called all the same."""
        return False

    def close(self) -> None:
        """Unregister the callback, unless it has begun."""
        if self._once.acquire(blocking=False):
            self._is_closed = True
            self._callback = []
            try:
                (self._home or []).remove(self)
            except ValueError:
                pass  # it was dispatched meanwhile

    def run_ended(self) -> None:
        """Drop the callback, unless it has begun: its run has ended."""
        self.close()

    def begin(self) -> bool:
        """Claim the right to call it; return False if it has begun or was unregistered."""
        # In one step: an exception comes before it, and nothing is claimed, or after it has returned.
        return self._once.acquire(blocking=False)

    def __call__(self) -> None:
        """Call it; only after `begin` has returned True.

        If a MemoryError strikes before the callback has begun, `is_done` stays False: then call it once more.
        """
        callback = self._callback[0] if self._callback else None
        try:
            if self._callback:
                self._callback.pop()()  # on one line: a strike comes before it was called, or it is not called again
        except BaseException as error:
            if not self._callback and callback is not None and _is_own_lack_of_memory(error):
                self._callback = [callback]
            if not self._callback:
                self._finish()
            raise
        self._finish()

    def _finish(self) -> None:
        self.is_done = True


def _is_own_lack_of_memory(error: BaseException) -> bool:
    """Return whether there was no memory for the call itself: then no frame of the callback has raised it."""
    # Not isinstance, which asks the object for its `__class__`.
    if not issubclass(type(error), MemoryError):
        return False
    trace = error.__traceback__
    return trace is not None and trace.tb_next is None


class TerminateCallback(CancelCallback):
    """The body's `terminate`. The end of the run does not drop it."""

    __slots__ = ("_has_run_ended", "returned")

    def __init__(self, terminate: Callable[[], object]) -> None:
        super().__init__(terminate, "terminate")
        self._has_run_ended = False
        self.returned = Latch()
        """Open once `terminate` has returned or raised."""

    @property
    def has_run_ended(self) -> bool:
        """Whether its run has ended."""
        return self._has_run_ended

    def run_ended(self) -> None:
        """Record that the run has ended."""
        self._has_run_ended = True

    def _finish(self) -> None:
        super()._finish()
        self.returned.open()
