"""The scheduler's queue, with two ranks.

A message is put by one call into C code. A signal handler or a finalizer that interrupts a thread inside `put` may put
a message of its own; an exception in the caller comes either before the message is queued or after it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from taskloom.core.inputs import HurryShutdown

__all__ = ["WAKE", "Inbox"]

# Only wakes the scheduler thread: the gate was closed, or a sample is due.
WAKE = None
# A stop may have more than 292 years, the longest that a lock can wait; the thread then sleeps several times.
LONGEST_SLEEP_SECONDS = 86400.0
# Linux: a thread writes here by how many nanoseconds its sleeps may be prolonged.
_SLACK_FILE = "/proc/{thread}/timerslack_ns"


class Inbox:
    """The messages for the scheduler thread. Any thread may call `put`; only that thread calls anything else."""

    def __init__(self) -> None:
        queue: SimpleQueue[Any] = SimpleQueue()
        self.put: Callable[[Any], None] = queue.put
        """Append a message; never blocks."""
        self.urgent: deque[Any] = deque()
        """Taken in, to be processed first."""
        self.reports: deque[Any] = deque()
        """Taken in, oldest first: reports, calls, and commands without an answer."""
        self._queue = queue
        # Taken from the queue and not sorted yet: if an error strikes in between, it is sorted at the next occasion.
        self._taken: list[Any] = []
        self._is_precise = False

    def take_in(self) -> None:
        """Sort the queued messages by rank."""
        queue = self._queue
        self._sort()
        for _ in range(queue.qsize()):  # not until it is empty: a flood of messages must not keep us here
            self._taken.append(queue.get())
            self._sort()

    def is_empty(self) -> bool:
        """Return whether nothing was queued since the last `take_in`."""
        return self._queue.empty() and not self._taken

    def wait(self, seconds: float | None) -> None:
        """Sleep until a message is queued, at most `seconds` (None: no limit), and take in the message."""
        if seconds is not None and not self._is_precise:
            self._is_precise = True
            _minimize_timer_slack()
        limit = LONGEST_SLEEP_SECONDS if seconds is None else min(max(0.0, seconds), LONGEST_SLEEP_SECONDS)
        try:
            self._taken.append(self._queue.get(timeout=limit))
        except Empty:
            pass
        self._sort()

    def _sort(self) -> None:
        taken = self._taken
        if taken:
            message = taken[0]
            if message is WAKE:
                taken.pop()
                return
            rank = self.urgent if type(message) is HurryShutdown else self.reports
            rank.append(taken.pop())


def _minimize_timer_slack() -> None:
    """Have this thread's sleeps end on time.

    By default Linux prolongs a sleep by up to 50 us, which is half of the delay of a scheduled start.
    """
    try:  # not by pathlib: nothing else of a start-up needs it
        with open(_SLACK_FILE.format(thread=threading.get_native_id()), "wb", 0) as file:  # noqa: PTH123
            file.write(b"1")
    except OSError:
        pass  # another system, or no permission: then the sleeps are as late as those of other threads
