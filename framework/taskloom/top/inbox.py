"""All that the threads of the feed bring, until the screen takes it ten times a second. Bounded: the rest is counted.

Any thread may put; one takes. The lock is held for a few lines without I/O.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from taskloom.control.reply_fields import Fields
from taskloom.top.job_row import JobRow
from taskloom.top.log_buffer import MOST_LINES, LogLine
from taskloom.top.program_facts import ProgramFacts
from taskloom.top.run_book import Kept, PastRun
from taskloom.top.styled import Line

__all__ = ["Firing", "Inbox", "Look", "Notice", "Report", "Snapshot", "Taken"]

_MOST_RUNS = 12_000
_MOST_NOTICES = 50


class Firing(NamedTuple):
    """A coming firing, in seconds since the epoch."""

    job: str
    at: float


class Snapshot(NamedTuple):
    """The program and its jobs at one moment."""

    program: ProgramFacts
    jobs: Sequence[JobRow]
    firings: Sequence[Firing]
    kept: Kept = Kept()


class Notice(NamedTuple):
    """A sentence for the user."""

    text: str
    is_bad: bool = False


class Report(NamedTuple):
    """The report of the stop of the whole program, and its jobs at the end."""

    data: Fields
    jobs: Sequence[JobRow]


class Look(NamedTuple):
    """A page that is read again each second: the `stack` or the `details` of a job."""

    kind: str
    job: str


class Taken(NamedTuple):
    """Everything that has come since the last time."""

    snapshot: Snapshot | None = None
    runs: Sequence[PastRun] = ()
    lines: Sequence[LogLine] = ()
    dropped: int = 0
    """Log lines that came faster than they were taken."""
    notices: Sequence[Notice] = ()
    trouble: str | None = None
    """Why the program cannot be asked, and "" if it can again; None if that has not changed."""
    looks: Mapping[Look, Sequence[Line]] = {}
    report: Report | None = None
    is_restarted: bool = False
    """Whether the program was started again; runs and lines of the start before it are not in here."""


class Inbox:
    """Keeps the newest of each kind until it is taken; of lines and runs the last ones."""

    def __init__(self, most_lines: int = MOST_LINES) -> None:
        self._lock = allocate_lock()
        self._most_lines = most_lines
        self._log = 0
        self._begin()

    def _begin(self) -> None:
        self._snapshot: Snapshot | None = None
        self._runs: deque[PastRun] = deque(maxlen=_MOST_RUNS)
        self._lines: deque[LogLine] = deque(maxlen=self._most_lines)
        self._dropped = 0
        self._notices: deque[Notice] = deque(maxlen=_MOST_NOTICES)
        self._trouble: str | None = None
        self._looks: dict[Look, Sequence[Line]] = {}
        self._report: Report | None = None
        self._is_restarted = False

    def take(self) -> Taken:
        """Return what has come, and forget it."""
        with self._lock:
            taken = Taken(
                self._snapshot,
                self._runs,
                self._lines,
                self._dropped,
                self._notices,
                self._trouble,
                self._looks,
                self._report,
                self._is_restarted,
            )
            self._begin()
        return taken

    def put_snapshot(self, snapshot: Snapshot, runs: Sequence[PastRun], *, is_restarted: bool) -> None:
        """Put the newest answers: the program can be asked."""
        with self._lock:
            if is_restarted:
                self._runs.clear()
                self._is_restarted = True
            self._snapshot = snapshot
            self._runs.extend(runs)
            self._trouble = ""

    def put_trouble(self, text: str) -> None:
        """Put why the program cannot be asked."""
        with self._lock:
            self._trouble = text

    def put_notice(self, text: str, *, is_bad: bool = False) -> None:
        """Put a sentence for the user."""
        with self._lock:
            self._notices.append(Notice(text, is_bad))

    def put_look(self, look: Look, lines: Sequence[Line]) -> None:
        """Put the newest state of what a screen shows."""
        with self._lock:
            self._looks[look] = lines

    def put_report(self, report: Report) -> None:
        """Put the report of the stop of the program."""
        with self._lock:
            self._report = report

    def begin_log(self) -> int:
        """Drop the lines of the log that was shown before; return the number of the new one."""
        with self._lock:
            self._log += 1
            self._lines.clear()
            self._dropped = 0
            return self._log

    def put_line(self, log: int, line: LogLine) -> None:
        """Put a line of the log with this number, unless another is shown by now."""
        with self._lock:
            if log == self._log:
                self._dropped += len(self._lines) == self._most_lines
                self._lines.append(line)
