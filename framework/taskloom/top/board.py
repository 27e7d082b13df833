"""All that the screen shows, before it is laid out: what has come from the feed, and what the user has chosen.

It knows neither threads nor the terminal: the application passes on what has come, the time, and the keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple

from taskloom.top.feed import Source
from taskloom.top.inbox import Firing, Look, Notice, Report, Taken
from taskloom.top.job_row import JobRow
from taskloom.top.log_buffer import LogBuffer, LogLine
from taskloom.top.program_facts import ProgramFacts
from taskloom.top.remembered import Remembered
from taskloom.top.run_book import Kept, RunBook
from taskloom.top.styled import Line
from taskloom.top.table import Moment, sorted_jobs, wants

__all__ = ["Board", "Page", "Question"]

_NOTICE_SECONDS = 8.0


class Page(Enum):
    """The part of the view that fills the screen."""

    MAIN = "main"
    LOG = "log"
    """The log alone."""
    TIMELINE = "timeline"
    DETAILS = "details"
    STACK = "stack"
    SUMMARY = "summary"
    HELP = "help"


class Question(NamedTuple):
    """An action that is carried out once the user has confirmed it."""

    verb: str
    job: str
    text: str


class Board:
    """The state of the screen. Used by one thread."""

    def __init__(self, source: Source, remembered: Remembered, now: Moment) -> None:
        self.source = source
        self.remembered = remembered
        self.now = now
        self.program = ProgramFacts()
        self.jobs: Sequence[JobRow] = ()
        self.firings: Sequence[Firing] = ()
        self.runs = RunBook()
        self.kept = Kept()
        self.log = LogBuffer()
        self.log.filter, self.log.wraps = remembered.log_filter, remembered.wraps
        self.chosen = ""
        """The job with the cursor."""
        self.first_row = 0
        self.shows_all_logs = False
        self.page = Page.MAIN
        self.scroll = 0
        """The first line of a page that is shown."""
        self.question: Question | None = None
        self.typed: str | None = None
        """The filter while it is typed; None if it is not."""
        self.recalled = ""
        """The last filter of the table, for when it is wanted again."""
        self.report: Report | None = None
        self.trouble = ""
        self._trouble_since = 0.0
        self._looked: dict[Look, Sequence[Line]] = {}
        self._notice: Notice | None = None
        self._notice_until = 0.0
        self._shown: list[JobRow] | None = None

    # -- what has come

    def pass_time(self, now: Moment) -> None:
        """Set the time. Once a second the order of the table is made again."""
        if int(now.mono) != int(self.now.mono):
            self._shown = None
        self.now = now

    def accept(self, taken: Taken) -> None:
        """Take what has come from the feed."""
        if taken.is_restarted:
            self.runs.clear()
            self.report = None
            self.notify("the program was started again")
        if taken.snapshot is not None:
            self.program, self.jobs, self.firings, self.kept = taken.snapshot
            self._shown = None
        self.runs.add(taken.runs)
        if taken.dropped:
            remark = f"-- {taken.dropped:,} lines came too fast and were dropped here --"
            self.log.extend([LogLine("", "", "", remark)])
        self.log.extend(taken.lines)
        for notice in taken.notices:
            self.notify(notice.text, is_bad=notice.is_bad)
        self._accept_trouble(taken.trouble)
        self._looked.update(taken.looks)
        if taken.report is not None:
            self.report = taken.report
            self.jobs, self.firings, self._shown = taken.report.jobs, (), None
            self.program = self.program._replace(usage=None, alerts=())
            self.question = None
            self.open(Page.SUMMARY)
        # The first job, or another one if the chosen one is not shown any more. Not while a filter is typed: each
        # letter would begin another log.
        if taken.snapshot is not None and self.typed is None:
            self.choose(self.cursor)

    def _accept_trouble(self, trouble: str | None) -> None:
        if trouble is None:
            return
        if trouble and not self.trouble:
            self._trouble_since = self.now.mono
        elif self.trouble and not trouble and not self._has_told_of_restart():
            self.notify("connected again")
        self.trouble = trouble

    def _has_told_of_restart(self) -> bool:
        return self.notice is not None and "started again" in self.notice.text

    def notify(self, text: str, *, is_bad: bool = False) -> None:
        """Show a sentence for a few seconds."""
        self._notice, self._notice_until = Notice(text, is_bad), self.now.mono + _NOTICE_SECONDS

    @property
    def notice(self) -> Notice | None:
        """The sentence that is shown now."""
        return self._notice if self.now.mono < self._notice_until else None

    @property
    def moment(self) -> Moment:
        """The time for which the jobs are shown: it stands still while the program is away."""
        away = max(0.0, self.now.mono - self._trouble_since) if self.trouble else 0.0
        return Moment(self.now.mono - away, self.now.wall - away)

    @property
    def has_ended(self) -> bool:
        """Whether the program has come to its end, and was not started again."""
        return self.report is not None and bool(self.trouble)

    @property
    def away_seconds(self) -> float:
        """For how long the program cannot be asked."""
        return max(0.0, self.now.mono - self._trouble_since) if self.trouble else 0.0

    # -- jobs

    @property
    def shown_jobs(self) -> list[JobRow]:
        """The jobs that the filter wants, in their order."""
        if self._shown is None:
            now = self.moment.mono
            pattern = self.remembered.filter if self.typed is None or self.filters_log else self.typed
            found = [job for job in self.jobs if wants(job, pattern, now)]
            self._shown = sorted_jobs(found, self.remembered.sort, now, is_reversed=self.remembered.is_reversed)
        return self._shown

    @property
    def cursor(self) -> int:
        """The row of the cursor; that of the first job if its own is not shown."""
        return next((place for place, job in enumerate(self.shown_jobs) if job.name == self.chosen), 0)

    @property
    def chosen_job(self) -> JobRow | None:
        """The job with the cursor; None if no job is shown."""
        jobs = self.shown_jobs
        return jobs[self.cursor] if jobs else None

    def choose(self, row: int) -> None:
        """Move the cursor to a row, as far as there are rows, and show the log of that job."""
        jobs = self.shown_jobs
        if not jobs:
            return
        name = jobs[max(0, min(row, len(jobs) - 1))].name
        if name != self.chosen:
            self.chosen = name
            if not self.shows_all_logs:
                self._show_log(name)

    def show_all_logs(self, *, all_jobs: bool) -> None:
        """Show the log of all jobs, or of the chosen one."""
        self.shows_all_logs = all_jobs
        self._show_log(None if all_jobs else self.chosen or None)

    def _show_log(self, job: str | None) -> None:
        self.log.clear()
        self.log.shows_job = job is None
        self.source.choose_log(job)

    # -- pages

    @property
    def filters_log(self) -> bool:
        """Whether a filter is meant for the log, and not for the table."""
        return self.page is Page.LOG

    def open(self, page: Page) -> None:
        """Show a page from its beginning."""
        self.page, self.scroll = page, 0
        self.source.watch(self._look)

    @property
    def looked(self) -> Sequence[Line] | None:
        """The lines of a page about the chosen job; None while they have not come."""
        look = self._look
        return None if look is None else self._looked.get(look)

    @property
    def _look(self) -> Look | None:
        if self.page in (Page.DETAILS, Page.STACK) and self.chosen:
            return Look(self.page.value, self.chosen)
        return None

    def change(self, **values: Any) -> None:
        """Change what is remembered."""
        self.remembered = self.remembered._replace(**values)
        self.log.filter, self.log.wraps = self.remembered.log_filter, self.remembered.wraps
        self._shown = None

    def type(self, text: str | None) -> None:
        """Set the filter that is being typed; None ends that."""
        self.typed = text
        self._shown = None
