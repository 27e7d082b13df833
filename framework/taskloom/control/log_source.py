"""The last log lines of each job, as the control API reads them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from taskloom.observe.log_ring import LogLine

__all__ = ["LogLine", "LogSource"]


class LogSource(Protocol):
    """The last lines of each job. Any thread may call any method; none of them blocks or does I/O.

    `jobs` is the names of the jobs whose lines are wanted, or None for all jobs.
    """

    @property
    def folder(self) -> str | None:
        """The folder of the log files; None if there are none."""

    @property
    def problem(self) -> str:
        """Why log files cannot be written at the moment; "" if they can."""

    @property
    def last(self) -> int:
        """The number of the newest line; 0 before the first."""

    def since(self, jobs: Collection[str] | None = None) -> float | None:
        """Return from when on it has all lines of these jobs, in seconds since the epoch; None if it has none."""

    def lost(self, jobs: Collection[str] | None = None) -> int:
        """Return the greatest number of a line of these jobs that is no longer kept; 0 if all lines are kept."""

    def number_before(self, instant: float) -> int:
        """Return the number of the newest line before an instant, in seconds since the epoch; 0 if there is none."""

    def after(self, number: int, jobs: Collection[str] | None, most: int) -> Sequence[LogLine]:
        """Return the first `most` lines with a greater number, oldest first."""

    def newest(self, count: int, jobs: Collection[str] | None, matches: Callable[[LogLine], bool]) -> Sequence[LogLine]:
        """Return the last `count` lines for which `matches` returns True, oldest first."""

    def wake_with(self, wake: Callable[[], object]) -> Callable[[], object]:
        """Call `wake` after each new line, on the thread that wrote it; return the function that ends that.

        `wake` never blocks. No lock is held while it is called, since it may read lines.
        """
