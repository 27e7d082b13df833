"""The log lines of a run on their way from its processes to the agent. Nothing of them is handled by `logging` here.

The agent keeps a bounded number of lines for the network. The lines on the way to it are bounded here: a task that
prints without end must not fill the memory of its worker.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from taskloom.clock import wall
from taskloom.runners.wire_messages import Logged
from taskloom.text import plural, shortened

if TYPE_CHECKING:
    from taskloom.runners.process.log_thread import LogEntry

__all__ = ["LONGEST_LINE", "MOST_CHARACTERS", "ChildLog"]

MOST_CHARACTERS = 1024 * 1024
"""The size of the lines of one run that the agent has not taken; more are dropped, and counted.

As much as its journal keeps: on a busy machine its thread is hundreds of lines behind a task that logs in a burst.
"""
LONGEST_LINE = 8 * 1024
"""Characters. The middle of a longer line is left out."""

# What a line needs beside its text, so that empty lines are bounded as well: about what its entry in the journal needs.
_LINE_CHARACTERS = 200


class ChildLog:
    """The lines of one run. `add` is for the log thread, `taken` for the thread of the agent."""

    def __init__(self, send: Callable[[Logged], object]) -> None:
        self._send = send
        # The sizes of the lines that the agent has not taken, in their order.
        self._sizes: deque[int] = deque()
        # Each is written by one thread alone.
        self._sent = self._taken = 0
        self._dropped = 0

    def add(self, entry: LogEntry) -> None:
        """Send a line, unless too many are on their way."""
        if self._sent - self._taken >= MOST_CHARACTERS:
            self._dropped += 1
            return
        self.tell_dropped()
        self._put(_logged(entry))

    def tell_dropped(self) -> None:
        """Send how many lines were dropped, if any were. Called before a line, and at the end."""
        dropped, self._dropped = self._dropped, 0
        if dropped:
            text = f"{plural(dropped, 'log line')} of the run dropped: they came faster than its worker took them"
            self._put(Logged(logging.WARNING, "", text, wall()))

    def taken(self) -> None:
        """Count the oldest line as taken by the agent."""
        self._taken += self._sizes.popleft()

    def _put(self, logged: Logged) -> None:
        size = _size(logged)
        self._sizes.append(size)  # before it is sent: the agent may take it at once
        try:
            self._send(logged)
        except BaseException:
            self._sizes.pop()  # a record with odd data does not count; it is the latest, and the agent never gets it
            raise
        self._sent += size


def _size(logged: Logged) -> int:
    extra = len(repr(logged.extra)) if logged.extra else 0
    return _LINE_CHARACTERS + len(logged.message) + len(logged.exc) + len(logged.stack) + extra


def _logged(entry: LogEntry) -> Logged:
    return Logged(
        entry.level, entry.name, shortened(entry.text, LONGEST_LINE), entry.created, entry.exc, entry.stack,
        entry.thread, entry.path, entry.line, entry.function, dict(entry.extra),
    )  # fmt: skip
