"""A thread that is started with the program, since the system may refuse a new thread when one is needed at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["EndHelper"]

# Time for the thread to end after its last piece of work.
_JOIN_SECONDS = 0.2


class EndHelper:
    """Does one piece of work after the other, on a daemon thread of its own."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="taskloom-run-waiter", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], object]) -> None:
        """Queue a piece of work; returns at once."""
        self._work.put(work)

    def close(self) -> None:
        """Let the thread end once it has done the queued work, and wait a moment for that."""
        self._work.put(None)
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
