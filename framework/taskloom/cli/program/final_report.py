"""The report of the program at its end: about the jobs, and the threads and child processes that they have left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taskloom.cli.program.children import LeftChild
from taskloom.cli.program.exit_handlers import close_pools
from taskloom.cli.program.hard_exit import left_line
from taskloom.cli.program.left_threads import LeftThread, LeftThreads
from taskloom.cli.program.stopping import Stopping, name_of
from taskloom.clock import mono
from taskloom.core.report import ExitCode, StopReport
from taskloom.observe.console import Console
from taskloom.observe.summary import summary
from taskloom.scheduler.facade import Scheduler

__all__ = ["FinalReport"]


class FinalReport:
    """The report of one program. On the main thread alone.

    `asked`: job -> the monotonic second at which its last run was asked to stop. `line_width`: that of the terminal;
    None for a file.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        stopping: Stopping,
        console: Console,
        *,
        asked: Mapping[str, float],
        line_width: int | None,
    ) -> None:
        self._scheduler = scheduler
        self._stopping = stopping
        self._console = console
        self._asked = asked
        self._line_width = line_width
        # The threads that tasks or libraries have left, once they are looked for.
        self._threads: LeftThreads | None = None

    def say_left(self, number: int) -> None:
        """Log who is left at the third signal, which has this number. May not wait for anything."""
        places = [(run.job, place) for run, place in self._scheduler.places()]
        threads = [] if places or self._threads is None else [left.thread.name for left in self._threads.find()]
        name, _ = name_of(number)
        self._console.log(f"{name}: exiting at once; {left_line(places, threads)}", level="ERROR")

    def await_threads(self, report: StopReport, wait: Callable[[Callable[[], object]], object]) -> list[LeftThread]:
        """Name the threads that jobs or libraries have left, wait for them, and return those that are still there.

        `wait` is given what blocks until their time is over, and handles signals meanwhile.
        """
        threads = self._threads = LeftThreads(
            begun=mono() - report.seconds,
            withins={job.job: job.within for job in report.jobs},
            asked=self._asked,
            deadline=lambda: self._stopping.deadline,
            is_hard_exit=report.exit_code is ExitCode.SURVIVOR,
        )
        if not threads.find():
            return []
        close_pools()
        awaited = threads.awaited()
        if awaited:
            names = threads.names_of(awaited, with_limits=True)
            waiting = "waiting for non-daemon threads that tasks or libraries started"
            self._console.log(f"{waiting}: {names}", level="WARNING")
            wait(threads.wait)
        left = threads.find()
        if left:
            self._console.log(f"not waiting for threads that are left: {threads.names_of(left)}", level="WARNING")
        return left

    def data(
        self, report: StopReport, code: ExitCode, threads: Sequence[LeftThread], children: Sequence[LeftChild]
    ) -> dict[str, Any]:
        """Return it as a JSON object, as `run -o json` prints it and clients get it."""
        # The report was made when the stop ended. A run that ended later is only in the status.
        return report.as_dict() | {
            "exit_code": int(code),
            "jobs": [status.as_dict() for status in self._scheduler.status()],
            "threads_left": [left.as_dict() for left in threads],
            "processes_left": [child.as_dict() for child in children],
        }

    def show(self, report: StopReport) -> None:
        """Write the summary to the log."""
        jobs, mark = self._scheduler.status(), self._console.names.mark
        self._console.show(summary(report, jobs, self._line_width, mark), is_last=True)
