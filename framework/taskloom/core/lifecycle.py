"""The lifecycle of all jobs: the one place that decides.

Rules of this file:
- `handle(input, now) -> actions` and `next_deadline()` are its whole interface for change; it reads no clock,
  starts no thread, does no I/O, and calls nobody back.
- A job's state changes in `_move` alone, which obeys the table in `table.py`. A refused command raises a
  UsageError and has changed nothing.

Theory of operation. A run is queued by START; the shell answers RunStarted or inputs.RunStartFailed, and some time
later inputs.RunEnded, exactly once, whatever happened in between. A stop sets deadlines as data: at three quarters of
`within` the run is hurried, at `within` it is named (the shell looks where it stands), and the answer lets the
join policy decide: its job is BLOCKED behind an abandoned thread, or goes on STOPPING, overdue. A late inputs.RunEnded
of an abandoned run is legal: it frees the ledger.

A whole shutdown walks the levels of the dependency graph: a level is left when each of its runs has ended, was
abandoned or is overdue; a run that was being stopped before is awaited in its own level alone. Stop beats everything:
from the moment of a shutdown no run is queued, whatever comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from taskloom.core import actions, graph, inputs
from taskloom.core.deadlines import Deadlines, Due
from taskloom.core.events import Event, EventName
from taskloom.core.model import JobState, Moment, Outcome, Phase, Reason, ReasonKind, WaitingFor
from taskloom.core.outcome import decide_outcome
from taskloom.core.records import JobRecord, RunRecord
from taskloom.core.table import TRANSITIONS, Trigger
from taskloom.errors import DuplicateJob, InternalError, SchedulerStopped, UnknownJob

__all__ = ["FIRST_REMINDER_SECONDS", "REMINDED_RUNS", "REMINDER_SECONDS", "Lifecycle"]

# A stop that is quicker than this needs no words; supervisord and process-compose say "waiting for" every 3 s.
FIRST_REMINDER_SECONDS = 2.0
REMINDER_SECONDS = 3.0
REMINDED_RUNS = 5
# The last quarter of the time is for those who can drop work: benthos splits its shutdown at 3/4 too.
HURRY_SHARE = 0.75
_NEVER = float("inf")


class Lifecycle:
    """All jobs and runs of one scheduler."""

    def __init__(self) -> None:
        self.phase = Phase.OPEN
        self.jobs: dict[str, JobRecord] = {}
        self.runs: dict[str, RunRecord] = {}
        """Every run whose body may still be executing: running, stopping, or abandoned."""
        self.stopping: dict[str, RunRecord] = {}
        """The runs that a stop awaits, oldest ask first; an overdue one is awaited no more."""
        self.stop_reason: Reason | None = None
        self.stop_asked: Moment | None = None
        self.stop_ended: Moment | None = None
        self.stop_deadline = _NEVER
        self._levels: list[list[str]] = []
        # The runs of the levels that were asked already; always part of `stopping`.
        self._awaited: set[str] = set()
        self._deadlines = Deadlines(self._is_stale)
        self._remind_at = _NEVER
        # How many jobs keep the program alive, daemons apart.
        self._holding = 0
        self._active_daemons = 0
        self._has_held = False
        self._was_work_over = True
        self._has_started = False
        self._seq = 0
        self._now = Moment(0.0, 0.0)
        self._todo: list[actions.Action] = []
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
        self._now = now
        todo: list[actions.Action] = []
        self._todo = todo
        self._handlers[type(message)](message)
        is_work_over = self.is_work_over
        if is_work_over and not self._was_work_over:
            todo.append(actions.WorkOver())
        self._was_work_over = is_work_over
        return todo

    def next_deadline(self) -> float | None:
        """Return the monotonic second at which a Tick is due, or None."""
        return self._deadlines.next()

    @property
    def is_work_over(self) -> bool:
        """Tell whether `taskloom run` would end: nothing keeps the program alive.

        That is: no job that is no daemon runs, stops or waits for a time of its own. Where no such job was
        ever started, living daemons keep the program alive by themselves.
        """
        return self._holding == 0 and (self._has_held or self._active_daemons == 0)

    def job(self, name: str) -> JobRecord:
        """Return a job's record. Raises UnknownJob."""
        try:
            return self.jobs[name]
        except KeyError:
            raise UnknownJob(name, self.jobs) from None

    # -- commands

    def _add(self, command: inputs.AddJob) -> None:
        spec = command.spec
        if self.phase is not Phase.OPEN:
            raise SchedulerStopped(f"add job {spec.name!r}")
        if spec.name in self.jobs:
            raise DuplicateJob(spec.name)
        self.jobs[spec.name] = JobRecord.declared(spec)
        self._emit(EventName.JOB_ADDED, spec.name, data={"task": spec.task, "daemon": spec.daemon})

    def _start_all(self, command: inputs.StartAll) -> None:
        if self.phase is not Phase.OPEN:
            raise SchedulerStopped("start")
        if not self._has_started:
            self._has_started = True
            self._emit(EventName.SCHEDULER_STARTED, data={"jobs": len(self.jobs)})
        for job in self.jobs.values():
            if not job.may_autostart:
                continue
            if job.spec.start.delay_seconds > 0:
                self._move(job, Trigger.ARM, JobState.WAITING, WaitingFor.DELAY)
                job.due_at = self._now.mono + job.spec.start.delay_seconds
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
        self._stop(job, command.reason)

    def _shutdown(self, command: inputs.Shutdown) -> None:
        if self.phase is not Phase.OPEN:
            return
        self.phase = Phase.STOPPING
        self.stop_reason, self.stop_asked = command.reason, self._now
        self.stop_deadline = self._now.mono + command.within
        self._emit(EventName.SCHEDULER_STOPPING, reason=command.reason)
        for job in self.jobs.values():
            if job.run is None:
                self._stop(job, command.reason)
        for run in self.stopping.values():
            self._schedule_overdue(run, min(run.overdue_at, self.stop_deadline))
        self._levels = graph.stop_levels({name: job.spec.after for name, job in self.jobs.items()})
        self._advance_shutdown()

    def _hurry_shutdown(self, command: inputs.HurryShutdown) -> None:
        if self.phase is not Phase.STOPPING:
            return
        self.stop_deadline = min(self.stop_deadline, self._now.mono + command.within)
        waiting, self._levels = self._levels, []
        for level in waiting:
            self._stop_level(level)
        for run in self.stopping.values():
            self._schedule_overdue(run, min(run.overdue_at, self.stop_deadline))
            self._hurry(run)
        self._advance_shutdown()

    # -- time

    def _tick(self, command: inputs.Tick) -> None:
        for due, subject in self._deadlines.pop_until(self._now.mono):
            if due is Due.DELAY:
                self._queue(subject, Trigger.DELAY_OVER)
            elif due is Due.HURRY:
                self._hurry(subject)
            elif due is Due.OVERDUE:
                self._todo.append(actions.NameRun(subject.id))
            else:
                self._remind()

    def _is_stale(self, when: float, due: Due, subject: Any) -> bool:
        if due is Due.DELAY:
            return subject.waiting_for is not WaitingFor.DELAY or subject.due_at != when
        if due is Due.REMIND:
            return when != self._remind_at
        if subject.id not in self.stopping:
            return True
        return subject.is_urgent if due is Due.HURRY else bool(subject.overdue_at != when)

    def _remind(self) -> None:
        first = tuple(islice(self.stopping, REMINDED_RUNS))
        self._todo.append(actions.RemindStopping(first, len(self.stopping) - len(first)))
        self._schedule_reminder(REMINDER_SECONDS)

    def _schedule_reminder(self, seconds: float) -> None:
        self._remind_at = self._now.mono + seconds
        self._deadlines.add(self._remind_at, Due.REMIND)

    # -- reports

    def _run_started(self, report: inputs.RunStarted) -> None:
        run = self._live(report.run)
        if run.started is not None:
            raise InternalError(f"run {run.id} was started twice")
        self._move(run.job, Trigger.STARTED, run.job.state)
        if run.outcome is Outcome.ABANDONED:
            return  # it was closed while it was being made
        run.started = self._now
        self._emit_run(EventName.STARTED, run)
        if report.is_ready:
            self._be_ready(run)

    def _run_start_failed(self, report: inputs.RunStartFailed) -> None:
        run = self._live(report.run)
        if run.outcome is Outcome.ABANDONED:
            self._exit_late(run)
            return
        run.error = report.error
        self._end(run, Trigger.START_FAILED, Outcome.START_FAILED)

    def _run_ready(self, report: inputs.RunReady) -> None:
        run = self.runs.get(report.run)
        if run is not None and run.ready is None:
            self._move(run.job, Trigger.READY, run.job.state)
            self._be_ready(run)

    def _run_ended(self, report: inputs.RunEnded) -> None:
        run = self._live(report.run)
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
        self._await_no_more(run)
        run.named = report
        waited = run.overdue_at - run.asked.mono if run.asked else 0.0
        details = {"within": round(waited, 3), "where": report.where, "poll_age": report.poll_age}
        if report.callbacks:
            details["callbacks"] = list(report.callbacks)
        self._emit_run(EventName.STOP_OVERDUE, run, data=details)
        if run.job.may_be_abandoned:
            self._abandon(run)
        else:
            self._move(run.job, Trigger.OVERDUE, JobState.STOPPING)
        self._advance_shutdown()

    def _callback_failed(self, report: inputs.CallbackFailed) -> None:
        run = self.runs.get(report.run)
        if run is not None:
            run.failed_callbacks.append(f"{report.callback}: {report.error}")
            self._emit_run(EventName.CALLBACK_FAILED, run, error=report.error, data={"callback": report.callback})

    # -- steps that commands and reports share

    def _queue(self, job: JobRecord, trigger: Trigger) -> None:
        self._move(job, trigger, JobState.RUNNING)
        job.runs += 1
        job.reason = None
        run = RunRecord(f"{job.spec.name}#{job.runs}", job, 1, self._now)
        job.run = job.last_run = run
        self.runs[run.id] = run
        self._emit_run(EventName.QUEUED, run)
        self._todo.append(actions.StartRun(run.id, job.spec, run.attempt, 1))

    def _be_ready(self, run: RunRecord) -> None:
        run.ready = self._now
        if run.outcome is None:
            self._emit_run(EventName.READY, run)

    def _stop(self, job: JobRecord, reason: Reason) -> None:
        """Carry out a STOP on the job, whatever its state."""
        if job.state is JobState.WAITING and job.waiting_for is not WaitingFor.START:
            self._move(job, Trigger.STOP, JobState.SKIPPED)
            job.reason = reason
            self._emit(EventName.SKIPPED, job.spec.name, reason=reason)
        elif job.state is JobState.RUNNING and job.run is not None:
            self._move(job, Trigger.STOP, JobState.STOPPING)
            self._ask(job.run, reason)
        else:
            self._move(job, Trigger.STOP, job.state, job.waiting_for)

    def _ask(self, run: RunRecord, reason: Reason) -> None:
        run.asked, run.reason = self._now, reason
        run.job.reason = reason
        self.stopping[run.id] = run
        self._emit_run(EventName.CANCEL_REQUESTED, run, reason=reason)
        self._todo.append(actions.AskRun(run.id, reason))
        # A level may be asked after the deadline of the shutdown: to look where the one before hangs takes time.
        latest = max(self.stop_deadline, self._now.mono)
        self._schedule_overdue(run, min(self._now.mono + run.job.spec.join.within, latest))
        if self._remind_at == _NEVER:
            self._schedule_reminder(FIRST_REMINDER_SECONDS)

    def _await_no_more(self, run: RunRecord) -> None:
        self.stopping.pop(run.id, None)
        self._awaited.discard(run.id)
        if not self.stopping:
            self._remind_at = _NEVER

    def _schedule_overdue(self, run: RunRecord, overdue_at: float) -> None:
        """Set when the join policy decides, and when the run is hurried before that."""
        if overdue_at == run.overdue_at or run.asked is None:
            return
        run.overdue_at = overdue_at
        self._deadlines.add(run.asked.mono + HURRY_SHARE * (overdue_at - run.asked.mono), Due.HURRY, run)
        self._deadlines.add(overdue_at, Due.OVERDUE, run)

    def _hurry(self, run: RunRecord) -> None:
        if not run.is_urgent:
            run.is_urgent = True
            self._todo.append(actions.HurryRun(run.id))

    def _abandon(self, run: RunRecord) -> None:
        """Leave the run behind: it ends for the books, and its thread stays in `runs`."""
        self._move(run.job, Trigger.OVERDUE, JobState.BLOCKED)
        self._close(run, Outcome.ABANDONED)
        self._emit(EventName.BLOCKED, run.job.spec.name, run=run)

    def _end(self, run: RunRecord, trigger: Trigger, outcome: Outcome) -> None:
        self._move(run.job, trigger, JobState.FINISHED)
        self._close(run, outcome)
        run.job.run = None
        del self.runs[run.id]
        self._todo.append(actions.RunOver(run.id))
        self._advance_shutdown()

    def _close(self, run: RunRecord, outcome: Outcome) -> None:
        """Write the run's one end into the books."""
        run.outcome, run.ended = outcome, self._now
        run.job.outcomes[outcome] += 1
        self._await_no_more(run)
        self._emit_run(EventName.ENDED, run, reason=run.reason, outcome=outcome, seconds=run.seconds, error=run.error)

    def _exit_late(self, run: RunRecord) -> None:
        self._move(run.job, Trigger.LATE_EXIT, JobState.FINISHED)
        run.job.run = None
        del self.runs[run.id]
        since = self._now.mono - run.ended.mono if run.ended else 0.0
        self._emit_run(EventName.LATE_EXIT, run, seconds=since)
        self._todo.append(actions.RunOver(run.id))

    # -- the whole shutdown

    def _shutdown_reason(self) -> Reason:
        return self.stop_reason or Reason(ReasonKind.SHUTDOWN)

    def _advance_shutdown(self) -> None:
        """Go on to the next level once nobody of this one is awaited, and end after the last."""
        if self.phase is not Phase.STOPPING:
            return
        while not self._awaited:
            if not self._levels:
                self.phase = Phase.STOPPED
                self.stop_ended = self._now
                self._emit(EventName.SCHEDULER_STOPPED, data={"survivors": len(self.runs)})
                self._todo.append(actions.StopOver())
                return
            self._stop_level(self._levels.pop(0))

    def _stop_level(self, names: Iterable[str]) -> None:
        for name in names:
            job = self.jobs[name]
            self._stop(job, self._shutdown_reason())
            if job.run is not None and job.run.id in self.stopping:
                self._awaited.add(job.run.id)

    # -- the table and the events

    def _move(self, job: JobRecord, trigger: Trigger, target: JobState, waiting_for: WaitingFor | None = None) -> None:
        if target not in TRANSITIONS[job.state].get(trigger, ()):
            raise InternalError(f"{trigger.value} leads no job from {job.state.value} to {target.value}")
        was_active = job.is_active
        job.state, job.waiting_for = target, waiting_for
        change = job.is_active - was_active
        if change and job.spec.daemon:
            self._active_daemons += change
        elif change:
            self._holding += change
            self._has_held = True

    def _live(self, run_id: str) -> RunRecord:
        try:
            return self.runs[run_id]
        except KeyError:
            raise InternalError(f"a report came for run {run_id}, which is not live") from None

    def _emit_run(self, name: EventName, run: RunRecord, **fields: Any) -> None:
        self._emit(name, run.job.spec.name, run=run, **fields)

    def _emit(self, name: EventName, job: str | None = None, *, run: RunRecord | None = None, **fields: Any) -> None:
        self._seq += 1
        run_id, attempt = (run.id, run.attempt) if run is not None else (None, None)
        self._todo.append(Event(self._seq, self._now.wall, self._now.mono, name, job, run_id, attempt, **fields))
