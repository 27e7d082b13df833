"""A thread that is started with the program, since the system may refuse a new thread when one is needed at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from taskloom.sync.kept_thread import KeptThread

__all__ = ["EndHelper"]

# Time for the thread to end after its last piece of work.
_JOIN_SECONDS = 0.2


class EndHelper:
    """Does one piece of work after the other, on a daemon thread of its own.

    A piece of work that raises is done once more: a lack of memory may be over then, and no stop must wait in vain for
    its effect. The second exception goes to `threading.excepthook`.
    """

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        # For the thread alone: what it is doing, with an end mark for `close`, and what has failed once.
        self._current: Callable[[], object] | None = None
        self._failed: Callable[[], object] | None = None
        self._thread = KeptThread("taskloom-run-waiter", self._do_next, self._note_failure)
        self._thread.start()

    def do(self, work: Callable[[], object]) -> None:
        """Queue a piece of work; returns at once."""
        self._work.put(work)
        self._thread.ensure()

    def close(self) -> None:
        """Let the thread end once it has done the queued work, and wait a moment for that."""
        self._work.put(None)
        self._thread.ensure()
        self._thread.join(_JOIN_SECONDS)

    def _do_next(self) -> bool:
        if self._current is None:
            self._current = self._work.get() or _end
        if self._current is _end:
            return True
        self._current()
        self._current = None
        return False

    def _note_failure(self, error: BaseException) -> None:
        if self._current is _end or self._current is None:
            return
        if self._current is not self._failed:
            self._failed = self._current
            return
        self._current = None
        threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, None)))


def _end() -> None:
    """Mark the end of the work. Never called."""
