"""The stop ladder of one run: ask, wait, hurry, name. What comes after `within` is the join policy's.

A stop sets its deadlines as data: at three quarters of `within` the run is hurried, and at `within` it is named:
the shell looks where it stands and answers with RunNamed.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from taskloom.core.actions import AskRun, HurryRun, NameRun, RemindStopping
from taskloom.core.deadlines import Deadlines, Due
from taskloom.core.events import EventName
from taskloom.core.model import JobState, Reason, WaitingFor
from taskloom.core.records import JobRecord, RunRecord, Then
from taskloom.core.store import Books
from taskloom.core.transitions import Trigger

__all__ = ["FIRST_REMINDER_SECONDS", "HURRY_SHARE", "REMINDED_RUNS", "REMINDER_SECONDS", "StopLadder"]

# A stop that is quicker than this needs no words; supervisord and process-compose say "waiting for" every 3 s.
FIRST_REMINDER_SECONDS = 2.0
REMINDER_SECONDS = 3.0
REMINDED_RUNS = 5
# The last quarter of the time is for those who can drop work: benthos splits its shutdown at 3/4 too.
HURRY_SHARE = 0.75
_NEVER = float("inf")


class StopLadder:
    """All runs that are being stopped."""

    def __init__(self, books: Books, deadlines: Deadlines) -> None:
        self.stopping: dict[str, RunRecord] = {}
        """The runs that a stop awaits, oldest ask first; an overdue one is awaited no more."""
        self.latest = _NEVER
        """Monotonic seconds: the deadline of a whole shutdown, which cuts every run's own."""
        self._books = books
        self._deadlines = deadlines
        self._remind_at = _NEVER

    def stop(self, job: JobRecord, reason: Reason) -> None:
        """Carry out a STOP on the job, whatever its state: all that was pending ends, and its run is asked."""
        books = self._books
        job.firing = None
        self._expect_nothing(job)
        if job.state is JobState.WAITING and job.waiting_for is not WaitingFor.START:
            books.move(job, Trigger.STOP, JobState.SKIPPED if job.last_run is None else JobState.FINISHED)
            job.reason = reason
            books.emit(EventName.SKIPPED, job.spec.name, reason=reason)
        elif job.state is JobState.RUNNING and job.run is not None:
            self.ask(job.run, reason)
        else:
            books.move(job, Trigger.STOP, job.state, job.waiting_for)

    def cancel(self, job: JobRecord, reason: Reason) -> None:
        """Stop the job's run, which no restart follows; its schedule goes on, a queued firing included."""
        if job.then is not Then.FIRING:
            self._expect_nothing(job)
        if job.run is not None:
            self.ask(job.run, reason)

    def ask(self, run: RunRecord, reason: Reason) -> None:
        """Ask a run to stop; what follows it is not decided here. The first reason counts, later ones are nothing."""
        if run.job.state is JobState.RUNNING:
            self._books.move(run.job, Trigger.STOP, JobState.STOPPING)
            self._ask(run, reason)

    def _expect_nothing(self, job: JobRecord) -> None:
        # A job that a reload took away goes all the same.
        if job.then is not Then.REMOVAL:
            job.then = Then.NOTHING

    def cut(self, deadline: float) -> None:
        """Let no run have longer than that, now and from now on."""
        self.latest = min(self.latest, deadline)
        for run in self.stopping.values():
            self._set_overdue(run, min(run.overdue_at, self._latest_for(run)))

    def hurry_all(self) -> None:
        """Tell every run that is awaited that little time is left."""
        for run in self.stopping.values():
            self.hurry(run)

    def release(self, run: RunRecord) -> None:
        """Await the run no more: it has ended, or is overdue."""
        self.stopping.pop(run.id, None)
        if not self.stopping:
            self._remind_at = _NEVER

    # -- what falls due

    def hurry(self, run: RunRecord) -> None:
        """Tell a run that little time is left; twice is once."""
        if not run.is_urgent:
            run.is_urgent = True
            self._books.todo.append(HurryRun(run.id))

    def name(self, run: RunRecord) -> None:
        """Have somebody look where the run stands."""
        self._books.todo.append(NameRun(run.id))

    def remind(self) -> None:
        """Say who is awaited, and come back."""
        first = tuple(islice(self.stopping, REMINDED_RUNS))
        self._books.todo.append(RemindStopping(first, len(self.stopping) - len(first)))
        self._set_reminder(REMINDER_SECONDS)

    def is_stale(self, when: float, due: Due, run: Any) -> bool:
        """Tell whether a deadline of the ladder no longer counts."""
        if due is Due.REMIND:
            return when != self._remind_at
        if run.id not in self.stopping:
            return True
        return run.is_urgent if due is Due.HURRY else bool(run.overdue_at != when)

    # -- setting deadlines

    def _ask(self, run: RunRecord, reason: Reason) -> None:
        books, now = self._books, self._books.now
        run.asked, run.reason, run.job.reason = now, reason, reason
        self.stopping[run.id] = run
        books.emit_run(EventName.CANCEL_REQUESTED, run, reason=reason)
        books.todo.append(AskRun(run.id, reason))
        self._set_overdue(run, min(now.mono + run.spec.join.within, self._latest_for(run)))
        if self._remind_at == _NEVER:
            self._set_reminder(FIRST_REMINDER_SECONDS)

    def _latest_for(self, run: RunRecord) -> float:
        # A level may be asked after the deadline of the shutdown: to look where the one before hangs takes time.
        return max(self.latest, run.asked.mono) if run.asked is not None else self.latest

    def _set_overdue(self, run: RunRecord, overdue_at: float) -> None:
        """Set when the join policy decides, and when the run is hurried before that."""
        if overdue_at == run.overdue_at or run.asked is None:
            return
        run.overdue_at = overdue_at
        self._deadlines.add(run.asked.mono + HURRY_SHARE * (overdue_at - run.asked.mono), Due.HURRY, run)
        self._deadlines.add(overdue_at, Due.OVERDUE, run)

    def _set_reminder(self, seconds: float) -> None:
        self._remind_at = self._books.now.mono + seconds
        self._deadlines.add(self._remind_at, Due.REMIND)
