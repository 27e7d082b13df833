"""A thread whose start ends by a known time.

`threading.Thread.start` waits without a limit until the new thread says that it has begun. One that gets no memory for
its first frame ends before it can, and then the caller waits for ever: CPython 3.11 to 3.13.
"""

from __future__ import annotations

import threading

from taskloom.text import duration

__all__ = ["START_SECONDS", "PromptThread"]

START_SECONDS = 5.0
"""How long a thread may take to begin. It needs the GIL once for that, which C code of a task may hold for a while."""


class PromptThread(threading.Thread):
    """A thread that is started within START_SECONDS, or is never executed.

    Both sides take from `_undecided`, each with one call that the GIL makes atomic: the new thread when it begins, and
    the caller when it gives up. Whichever comes second finds it empty.
    """

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if it cannot be started, or has not begun in time."""
        self._undecided = [True]
        # Made by Thread.__init__, and waited for by Thread.start. A second event would make each run slower.
        self._started: threading.Event
        self._started.__class__ = _Begun
        super().start()
        if not self._started.is_set() and self._is_first():
            raise RuntimeError(f"can't start new thread: it has not begun within {duration(START_SECONDS)}")

    def run(self) -> None:
        """Execute the target, unless the caller has given up."""
        if self._is_first():
            super().run()

    def _is_first(self) -> bool:
        try:
            return self._undecided.pop()
        except IndexError:
            return False


class _Begun(threading.Event):
    """An event whose wait without a limit has one."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(START_SECONDS if timeout is None else timeout)
