"""The thread that asks the program once a second how its jobs are."""

from __future__ import annotations

import threading
from collections.abc import Callable

from taskloom.cli.control.instants import format_instant, read_instant
from taskloom.clock import mono, wall
from taskloom.control.client import Connection, ControlError, Refused
from taskloom.control.reply_fields import Fields
from taskloom.text import printable
from taskloom.top.inbox import Firing, Inbox, Snapshot
from taskloom.top.job_row import job_row
from taskloom.top.program_facts import program_facts
from taskloom.top.run_book import Kept, PastRun, past_run
from taskloom.top.usage import UsageMeter

__all__ = ["Poller"]

_PERIOD_SECONDS = 1.0
# While jobs are stopping, their end is what is waited for.
_STOPPING_SECONDS = 0.3
# Firings of a day are shown by timelines only, and change seldom.
_FIRINGS_SECONDS = 10.0
_FIRINGS = 500
_FIRST_RUNS = 6000
# A run that ended while the last answer was made is in this one as well.
_OVERLAP_SECONDS = 5.0


class Poller:
    """Puts a snapshot into the inbox, or why there is none. `on_found` is called for each new start and connection."""

    def __init__(self, connection: Connection, inbox: Inbox, *, on_found: Callable[[], object]) -> None:
        self._connection, self._inbox, self._on_found = connection, inbox, on_found
        self._is_over = False
        self._hurry = threading.Event()
        self._usage = UsageMeter()
        self._start = ""
        self.is_away = True
        """Whether the last question was not answered."""
        self._runs_since: float | None = None
        self._kept = Kept()
        self._firings: list[Firing] = []
        self._firings_due = 0.0

    def hurry(self) -> None:
        """Ask now. Any thread may call it."""
        self._hurry.set()

    def close(self) -> None:
        """Let the thread end, after the call that it is in."""
        self._is_over = True
        self._hurry.set()

    def run(self) -> None:
        """Ask until `close`, on a thread of the feed."""
        while not self._is_over:
            self._hurry.clear()
            period = _PERIOD_SECONDS
            try:
                period = self.poll()
            except (ControlError, RecursionError) as error:
                self.is_away = True
                self._inbox.put_trouble(printable(str(error)))
            self._hurry.wait(period)

    def poll(self) -> float:
        """Ask once; return the seconds until the next time. Raises ControlError."""
        connection = self._connection
        program = connection.fields(connection.get("/v1/program"))
        start = program.text("start")
        is_restarted = bool(self._start) and start != self._start
        if start != self._start:
            self._start, self._runs_since, self._firings_due, self._kept = start, None, 0.0, Kept()
        read_at, now = mono(), wall()
        jobs = [job_row(job, read_at) for job in connection.fields(connection.get("/v1/jobs")).objects("jobs")]
        is_due = read_at >= self._firings_due
        if is_due and self._kept.history == "unread":  # it may be readable by now
            self._runs_since = None
        runs = self._new_runs(now)
        if is_due:
            self._firings, self._firings_due = self._next_firings(), read_at + _FIRINGS_SECONDS
        usage = self._usage.read(program.count("pid"), program.texts("command"), read_at)
        facts = program_facts(program, usage, now)
        self._inbox.put_snapshot(Snapshot(facts, jobs, self._firings, self._kept), runs, is_restarted=is_restarted)
        if self.is_away or is_restarted:
            self.is_away = False
            self._on_found()
        is_stopping = facts.state != "running" or any(job.state == "stopping" for job in jobs)
        return _STOPPING_SECONDS if is_stopping else _PERIOD_SECONDS

    def _new_runs(self, now: float) -> list[PastRun]:
        """Return the runs that have not ended, and those that have ended since the last time; all the first time."""
        if self._runs_since is None:
            runs = self._all_runs()
        else:
            found = self._optional("/v1/runs", since=format_instant(self._runs_since), count=_FIRST_RUNS)
            runs = [past_run(run) for run in found.objects("runs")]
        self._runs_since = now - _OVERLAP_SECONDS
        return runs

    def _all_runs(self) -> list[PastRun]:
        """Return all runs that the program knows, with those of its history."""
        try:
            found = self._optional("/v1/runs", count=_FIRST_RUNS, history=True)
        except Refused as error:
            if error.code != "unknown-query-field":
                raise
            found = self._optional("/v1/runs", count=_FIRST_RUNS)  # an older program does not know `history`
        self._kept = Kept(read_instant(found.text("from")), found.text("history"))
        return [past_run(run) for run in found.objects("runs")]

    def _next_firings(self) -> list[Firing]:
        found = self._optional("/v1/next", count=_FIRINGS).objects("firings")
        instants = [(each.text("job"), read_instant(each.text("at"))) for each in found if not each.flag("paused")]
        return [Firing(job, at) for job, at in instants if at is not None]

    def _optional(self, path: str, *, count: int, since: str | None = None, history: bool | None = None) -> Fields:
        """Return an answer; an empty one if an older program does not know the question."""
        try:
            return self._connection.fields(self._connection.get(path, count=count, since=since, history=history))
        except Refused as error:
            if error.code == "unknown-route":
                return Fields({})
            raise
