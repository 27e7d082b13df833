"""The lifecycle of all jobs: the one place that decides.

Rules of this file:
- `handle(input, now) -> actions` and `next_deadline()` are its whole interface for change; it reads no clock,
  starts no thread, does no I/O, and calls nobody back.
- A job's state changes in `Books.move` alone, which obeys the table in `table.py`. A refused command raises a
  UsageError and has changed nothing.

Theory of operation. A run is queued by START; the shell answers RunStarted or RunStartFailed, and some time later
RunEnded, exactly once, whatever happened in between. A stop climbs the ladder (`ladder.py`) until the run has
ended or is named; then the join policy decides: its job is BLOCKED behind an abandoned thread, or goes on
STOPPING, overdue. A late RunEnded of an abandoned run is legal: it frees the ledger.

Stop beats everything: from the moment of a whole shutdown (`shutdown.py`) no run is queued, whatever comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskloom.core import actions, inputs
from taskloom.core.books import Books
from taskloom.core.deadlines import Deadlines, Due
from taskloom.core.events import EventName
from taskloom.core.ladder import StopLadder
from taskloom.core.model import JobState, Moment, Outcome, Phase, WaitingFor
from taskloom.core.outcome import decide_outcome
from taskloom.core.records import JobRecord, RunRecord
from taskloom.core.shutdown import WholeStop
from taskloom.core.table import TRANSITIONS, Trigger
from taskloom.errors import DuplicateJob, InternalError, SchedulerStopped

__all__ = ["Lifecycle"]


class Lifecycle:
    """All jobs and runs of one scheduler."""

    def __init__(self) -> None:
        self._books = Books()
        self._deadlines = Deadlines(self._is_stale)
        self._ladder = StopLadder(self._books, self._deadlines)
        self.shutdown = WholeStop(self._books, self._ladder)
        self.jobs = self._books.jobs
        self.runs = self._books.runs
        self.stopping = self._ladder.stopping
        self._was_work_over = True
        self._has_started = False
        self._handlers: dict[type, Callable[[Any], None]] = {
            inputs.AddJob: self._add,
            inputs.StartAll: self._start_all,
            inputs.StartJob: self._start_job,
            inputs.StopJob: self._stop_job,
            inputs.Shutdown: self._shutdown,
            inputs.HurryShutdown: self._hurry_shutdown,
            inputs.Tick: self._tick,
            inputs.RunStarted: self._run_started,
            inputs.RunStartFailed: self._run_start_failed,
            inputs.RunReady: self._run_ready,
            inputs.RunEnded: self._run_ended,
            inputs.RunNamed: self._run_named,
            inputs.CallbackFailed: self._callback_failed,
        }

    # -- the interface

    def handle(self, message: inputs.Input, now: Moment) -> list[actions.Action]:
        """Take in what happened and return what to do, in order.

        Raises a UsageError for a command that cannot be carried out; nothing has changed then.
        """
        books = self._books
        books.now = now
        todo: list[actions.Action] = []
        books.todo = todo
        self._handlers[type(message)](message)
        is_work_over = books.is_work_over
        if is_work_over and not self._was_work_over:
            todo.append(actions.WorkOver())
        self._was_work_over = is_work_over
        return todo

    def hear(self, is_heard: bool) -> None:
        """Say whether somebody listens: events that nobody would get are counted, but not among the actions."""
        self._books.is_heard = is_heard

    def next_deadline(self) -> float | None:
        """Return the monotonic second at which a Tick is due, or None."""
        return self._deadlines.next()

    # -- to look at

    @property
    def phase(self) -> Phase:
        """Where the scheduler as a whole stands."""
        return self.shutdown.phase

    @property
    def stop_deadline(self) -> float:
        """The monotonic second by which a whole shutdown is over; inf before there is one."""
        return self._ladder.latest

    @property
    def is_work_over(self) -> bool:
        """Tell whether `taskloom run` would end: nothing keeps the program alive."""
        return self._books.is_work_over

    def job(self, name: str) -> JobRecord:
        """Return a job's record. Raises UnknownJob."""
        return self._books.job(name)

    # -- commands

    def _add(self, command: inputs.AddJob) -> None:
        spec = command.spec
        if self.phase is not Phase.OPEN:
            raise SchedulerStopped(f"add job {spec.name!r}")
        if spec.name in self.jobs:
            raise DuplicateJob(spec.name)
        self.jobs[spec.name] = JobRecord.declared(spec)
        self._books.emit(EventName.JOB_ADDED, spec.name, data={"task": spec.task, "daemon": spec.daemon})

    def _start_all(self, command: inputs.StartAll) -> None:
        if self.phase is not Phase.OPEN:
            raise SchedulerStopped("start")
        if not self._has_started:
            self._has_started = True
            self._books.emit(EventName.SCHEDULER_STARTED, data={"jobs": len(self.jobs)})
        for job in self.jobs.values():
            if not job.may_autostart:
                continue
            if job.spec.start.delay_seconds > 0:
                self._books.move(job, Trigger.ARM, JobState.WAITING, WaitingFor.DELAY)
                job.due_at = self._books.now.mono + job.spec.start.delay_seconds
                self._deadlines.add(job.due_at, Due.DELAY, job)
            else:
                self._queue(job, Trigger.START)

    def _start_job(self, command: inputs.StartJob) -> None:
        job = self.job(command.job)
        if self.phase is not Phase.OPEN:
            raise SchedulerStopped(f"start job {command.job!r}")
        if Trigger.START not in TRANSITIONS[job.state]:
            raise job.refused_start()
        self._queue(job, Trigger.START)

    def _stop_job(self, command: inputs.StopJob) -> None:
        job = self.job(command.job)
        if command.run is not None and (job.run is None or job.run.id != command.run):
            return
        self._ladder.stop(job, command.reason)

    def _shutdown(self, command: inputs.Shutdown) -> None:
        self.shutdown.begin(command.reason, command.within)

    def _hurry_shutdown(self, command: inputs.HurryShutdown) -> None:
        self.shutdown.hurry(command.within)

    # -- time

    def _tick(self, command: inputs.Tick) -> None:
        for due, subject in self._deadlines.pop_until(self._books.now.mono):
            if due is Due.DELAY:
                self._queue(subject, Trigger.DELAY_OVER)
            elif due is Due.HURRY:
                self._ladder.hurry(subject)
            elif due is Due.OVERDUE:
                self._ladder.name(subject)
            else:
                self._ladder.remind()

    def _is_stale(self, when: float, due: Due, subject: Any) -> bool:
        if due is Due.DELAY:
            return subject.waiting_for is not WaitingFor.DELAY or subject.due_at != when
        return self._ladder.is_stale(when, due, subject)

    # -- reports

    def _run_started(self, report: inputs.RunStarted) -> None:
        run = self._books.live(report.run)
        if run.started is not None:
            raise InternalError(f"run {run.id} was started twice")
        self._books.move(run.job, Trigger.STARTED, run.job.state)
        if run.outcome is Outcome.ABANDONED:
            return  # it was closed while it was being made
        run.started = self._books.now
        self._books.emit_run(EventName.STARTED, run)
        if report.is_ready:
            self._be_ready(run)

    def _run_start_failed(self, report: inputs.RunStartFailed) -> None:
        run = self._books.live(report.run)
        if run.outcome is Outcome.ABANDONED:
            self._exit_late(run)
            return
        run.error = report.error
        self._end(run, Trigger.START_FAILED, Outcome.START_FAILED)

    def _run_ready(self, report: inputs.RunReady) -> None:
        run = self.runs.get(report.run)
        if run is not None and run.ready is None:
            self._books.move(run.job, Trigger.READY, run.job.state)
            self._be_ready(run)

    def _run_ended(self, report: inputs.RunEnded) -> None:
        run = self._books.live(report.run)
        if run.outcome is Outcome.ABANDONED:
            self._exit_late(run)
            return
        # A cancel that came after the body had returned is taken back here: it was too late to be the cause.
        run.reason = run.reason if report.was_asked else None
        outcome, run.error = decide_outcome(report, run.reason)
        self._end(run, Trigger.ENDED, outcome)

    def _run_named(self, report: inputs.RunNamed) -> None:
        run = self.stopping.get(report.run)
        if run is None:
            return  # it ended while it was looked at
        run.named = report
        waited = run.overdue_at - run.asked.mono if run.asked else 0.0
        details = {"within": round(waited, 3), "where": report.where, "poll_age": report.poll_age}
        if report.callbacks:
            details["callbacks"] = list(report.callbacks)
        self._books.emit_run(EventName.STOP_OVERDUE, run, data=details)
        if run.job.may_be_abandoned:
            self._abandon(run)
        else:
            self._books.move(run.job, Trigger.OVERDUE, JobState.STOPPING)
        self._await_no_more(run)

    def _callback_failed(self, report: inputs.CallbackFailed) -> None:
        run = self.runs.get(report.run)
        if run is not None:
            run.failed_callbacks += (f"{report.callback}: {report.error}",)
            self._books.emit_run(EventName.CALLBACK_FAILED, run, error=report.error, data={"callback": report.callback})

    # -- steps that commands and reports share

    def _queue(self, job: JobRecord, trigger: Trigger) -> None:
        self._books.move(job, trigger, JobState.RUNNING)
        job.runs += 1
        job.reason = None
        run = RunRecord(f"{job.spec.name}#{job.runs}", job, 1, self._books.now)
        job.run = job.last_run = run
        self.runs[run.id] = run
        self._books.emit_run(EventName.QUEUED, run)
        self._books.todo.append(actions.StartRun(run.id, job.spec, run.attempt, 1))

    def _be_ready(self, run: RunRecord) -> None:
        run.ready = self._books.now
        if run.outcome is None:
            self._books.emit_run(EventName.READY, run)

    def _abandon(self, run: RunRecord) -> None:
        """Leave the run behind: it ends for the books, and its thread stays in `runs`."""
        self._books.move(run.job, Trigger.OVERDUE, JobState.BLOCKED)
        self._books.close(run, Outcome.ABANDONED)
        self._books.emit_run(EventName.BLOCKED, run)

    def _end(self, run: RunRecord, trigger: Trigger, outcome: Outcome) -> None:
        books = self._books
        books.move(run.job, trigger, JobState.FINISHED)
        books.close(run, outcome)
        books.release(run)
        books.todo.append(actions.RunOver(run.id))
        self._await_no_more(run)

    def _exit_late(self, run: RunRecord) -> None:
        books = self._books
        books.move(run.job, Trigger.LATE_EXIT, JobState.FINISHED)
        books.release(run)
        since = books.now.mono - run.ended.mono if run.ended else 0.0
        books.emit_run(EventName.LATE_EXIT, run, seconds=since)
        books.todo.append(actions.RunOver(run.id))

    def _await_no_more(self, run: RunRecord) -> None:
        if run.asked is not None:
            self._ladder.release(run)
            self.shutdown.release(run)
