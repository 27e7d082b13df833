"""The log lines of a run on their way from its processes to the agent. Nothing of them is handled by `logging` here.

The agent keeps a bounded number of lines for the network. The lines on the way to it are bounded here: a task that
prints without end must not fill the memory of its worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from taskloom.clock import wall
from taskloom.runners.wire_messages import Logged
from taskloom.text import plural, shortened

if TYPE_CHECKING:
    from taskloom.runners.process.log_thread import LogEntry

__all__ = ["LONGEST_LINE", "MOST_LINES", "ChildLog"]

MOST_LINES = 500
"""Lines of one run that the agent has not taken; more are dropped, and counted."""
LONGEST_LINE = 8 * 1024
"""Characters. The middle of a longer line is left out."""


class ChildLog:
    """The lines of one run. `add` is for the log thread, `taken` for the thread of the agent."""

    def __init__(self, send: Callable[[Logged], object]) -> None:
        self._send = send
        # Each is written by one thread alone.
        self._sent = self._taken = 0
        self._dropped = 0

    def add(self, entry: LogEntry) -> None:
        """Send a line, unless too many are on their way."""
        if self._sent - self._taken >= MOST_LINES:
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
        """Count one line as taken by the agent."""
        self._taken += 1

    def _put(self, logged: Logged) -> None:
        self._send(logged)  # may raise, for a record with odd data: then it does not count
        self._sent += 1


def _logged(entry: LogEntry) -> Logged:
    return Logged(
        entry.level, entry.name, shortened(entry.text, LONGEST_LINE), entry.created, entry.exc, entry.stack,
        entry.thread, entry.path, entry.line, entry.function, dict(entry.extra),
    )  # fmt: skip
