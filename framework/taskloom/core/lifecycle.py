"""The lifecycle of all jobs: the one place that decides.

Rules of this file:
- `handle(input, now) -> actions` and `next_deadline()` are its whole interface for change; it reads no clock,
  starts no thread, does no I/O, and calls nobody back.
- A job's state changes in `Books.move` alone, which obeys the table in `table.py`. A refused command raises a
  UsageError and has changed nothing.

Theory of operation. A run is queued (`supervision.py`) by a START or by what a job waited for; the shell answers
RunStarted or RunStartFailed, and some time later RunEnded, exactly once, whatever happened in between. A stop climbs
the stops (`stops.py`) until the run has ended or is named; then the join policy decides: its job is BLOCKED behind
an abandoned thread, or goes on STOPPING, overdue. A late RunEnded of an abandoned run is legal: it frees the ledger.
After every end `supervision` decides what follows: a restart, the next firing, or nothing.

Stop beats everything: from the moment of a whole shutdown (`shutdown.py`) no run is queued, whatever comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from taskloom.core import actions, inputs
from taskloom.core.deadlines import Deadlines, Due
from taskloom.core.dependencies import evaluate, find_cycle
from taskloom.core.events import EventName
from taskloom.core.model import How, JobSpec, JobState, Moment, Outcome, Phase, Reason, ReasonKind, WaitingFor
from taskloom.core.outcome import decide_outcome
from taskloom.core.policies import WatchdogThen
from taskloom.core.records import FollowUp, JobRecord, RunRecord
from taskloom.core.reload import Change, Reloader
from taskloom.core.shutdown import WholeStop
from taskloom.core.starting import Supervision
from taskloom.core.stopping import StopSequence
from taskloom.core.store import JobStore
from taskloom.core.transitions import TRANSITIONS, Trigger
from taskloom.errors import DependencyCycle, DependencyUnmet, DuplicateJob, InternalError, JobDisabled, SchedulerStopped
from taskloom.text import duration, measured

__all__ = ["Lifecycle"]


class Lifecycle:
    """All jobs and runs of one scheduler."""

    def __init__(self, random: Callable[[], float], stop_within: float) -> None:
        self._store = JobStore()
        self._deadlines = Deadlines(self._is_stale)
        self._stops = StopSequence(self._store, self._deadlines)
        self.shutdown = WholeStop(self._store, self._stops)
        self._supervision = Supervision(
            self._store, self._deadlines, self._stops, self.shutdown, random=random, stop_within=stop_within
        )
        self._reloader = Reloader(self._store, self._stops, self._supervision)
        self.jobs = self._store.jobs
        self.runs = self._store.runs
        self.stopping = self._stops.stopping
        self._was_work_over = True
        self._has_started = False
        self._handlers: dict[type, Callable[[Any], None]] = {
            inputs.AddJob: self._add,
            inputs.StartAll: self._start_all,
            inputs.StartJob: self._start_job,
            inputs.ArmJob: self._arm_job,
            inputs.RestartJob: self._restart_job,
            inputs.StopJob: self._stop_job,
            inputs.Reload: self._reload,
            inputs.Shutdown: self._shutdown,
            inputs.HurryShutdown: self._hurry_shutdown,
            inputs.Tick: self._tick,
            inputs.RunStarted: self._run_started,
            inputs.RunStartFailed: self._run_start_failed,
            inputs.RunReady: self._run_ready,
            inputs.RunUnresponsive: self._run_unresponsive,
            inputs.RunResponsive: self._run_responsive,
            inputs.RunEnded: self._run_ended,
            inputs.StackCaptured: self._stack_captured,
            inputs.CallbackFailed: self._callback_failed,
        }
        self._falls_due: dict[Due, Callable[[Any], None]] = {
            Due.DELAY: self._supervision.delay_over,
            Due.BACKOFF: self._supervision.backoff_over,
            Due.GATE: lambda _: self._supervision.open_gate(),
            Due.FIRING: self._supervision.timers.fire_due,
            Due.CLOCK: lambda _: self._supervision.timers.check_clock(),
            Due.TIMEOUT: self._time_out,
            Due.UNREADY: self._miss_readiness,
            Due.URGENT: self._stops.mark_urgent,
            Due.OVERDUE: self._stops.capture_stack,
            Due.PROGRESS: lambda _: self._stops.report_progress(),
        }

    # -- the interface

    def handle(self, message: inputs.Input, now: Moment) -> list[actions.Action]:
        """Take in what happened and return what to do, in order.

        Raises a UsageError for a command that cannot be carried out; nothing has changed then.
        """
        store = self._store
        store.now = now
        todo: list[actions.Action] = []
        store.actions = todo
        self._handlers[type(message)](message)
        is_work_over = self.is_work_over
        if is_work_over and not self._was_work_over:
            todo.append(actions.WorkFinished())
        self._was_work_over = is_work_over
        return todo

    def enable_events(self, is_heard: bool) -> None:
        """Say whether somebody listens: events that nobody would get are counted, but not among the actions."""
        self._store.has_listeners = is_heard

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
        return self._stops.latest

    @property
    def is_work_over(self) -> bool:
        """Tell whether `taskloom run` would end: nothing keeps the program alive, or an essential job has failed."""
        return self._store.is_work_over or self.shutdown.reason.kind is ReasonKind.ESSENTIAL

    def describe_dependency_wait(self, job: JobRecord) -> str:
        """Say what a job waits for in another one; empty where it does not."""
        return evaluate(job.spec.after, self._store.families).text if job.waiting_for is WaitingFor.DEPENDENCY else ""

    def job(self, name: str) -> JobRecord:
        """Return a job's record. Raises UnknownJob."""
        return self._store.job(name)

    # -- commands

    def _add(self, command: inputs.AddJob) -> None:
        spec = command.spec
        self._must_be_open(f"add job {spec.name!r}")
        if spec.name in self.jobs:
            raise DuplicateJob(spec.name)
        self._refuse_cycle(spec)
        self._store.declare(spec)

    def _refuse_cycle(self, spec: JobSpec) -> None:
        store, needs = self._store, [need.job for need in spec.after]
        # A new job closes a circle only where somebody waits for it already: a long chain is not walked at each link.
        if spec.family in needs or (needs and store.has_dependents(spec.family)):
            circle = find_cycle(spec.family, lambda name: needs if name == spec.family else store.dependencies_of(name))
            if circle:
                raise DependencyCycle(circle)

    def _start_all(self, command: inputs.StartAll) -> None:
        self._must_be_open("start")
        if not self._has_started:
            self._has_started = True
            self._store.emit(EventName.SCHEDULER_STARTED, data={"jobs": len(self.jobs)})
        for job in list(self.jobs.values()):
            if job.may_autostart:
                self._supervision.arm(job)

    def _start_job(self, command: inputs.StartJob) -> None:
        job = self._startable(command.job, Trigger.START)
        if job.spec.after and not command.is_now:
            verdict = evaluate(job.spec.after, self._store.families)
            if not verdict.is_satisfied:
                raise DependencyUnmet(command.job, verdict.text, is_lost=verdict.is_impossible)
        self._supervision.queue(job, Trigger.START)
        self._supervision.rearm(job)

    def _arm_job(self, command: inputs.ArmJob) -> None:
        job = self._startable(command.job, Trigger.ARM)
        if not job.is_active:  # twice is once
            self._supervision.arm(job)

    def _restart_job(self, command: inputs.RestartJob) -> None:
        job = self.job(command.job)
        self._must_be_open(f"restart job {command.job!r}")
        if not job.spec.enabled:
            raise JobDisabled(command.job)  # its run may be stopping for just that
        if job.state is JobState.BLOCKED:
            raise job.refused_start()
        if job.run is None:
            self._start_job(inputs.StartJob(command.job, is_now=True))
            return
        if job.follow_up is not FollowUp.REMOVAL:
            job.follow_up = FollowUp.RESTART
            self._supervision.rearm(job)
        self._stops.request(job.run, command.reason)

    def _startable(self, name: str, trigger: Trigger) -> JobRecord:
        job = self.job(name)
        self._must_be_open(f"start job {name!r}")
        if trigger not in TRANSITIONS[job.state]:
            raise job.refused_start()
        return job

    def _must_be_open(self, wish: str) -> None:
        if self.phase is not Phase.OPEN:
            raise SchedulerStopped(wish)

    def _stop_job(self, command: inputs.StopJob) -> None:
        job = self.job(command.job)
        if command.run is None:
            self._stops.stop(job, command.reason)
        elif job.run is not None and job.run.id == command.run:
            self._stops.cancel(job, command.reason)
        self._supervision.update_dependents(job)

    def _reload(self, command: inputs.Reload) -> None:
        self._must_be_open("reload")
        self._reloader.reload(command.specs, has_started=self._has_started)
        for change in self._reloader.changes:
            # Last of all: an essential job that failed and now never fires again stops everything.
            if "schedule" in change.fields and change.job in self.jobs:
                self._supervision.propagate(self.jobs[change.job])

    def preview(self, specs: Iterable[JobSpec]) -> list[Change]:
        """Say what a reload with these declarations would do with each job; nothing changes."""
        return self._reloader.preview(specs)

    @property
    def changes(self) -> list[Change]:
        """What the last reload did with each job."""
        return self._reloader.changes

    def _shutdown(self, command: inputs.Shutdown) -> None:
        self.shutdown.begin(command.reason, command.within)

    def _hurry_shutdown(self, command: inputs.HurryShutdown) -> None:
        self.shutdown.hurry(command.within)

    # -- time

    def _tick(self, command: inputs.Tick) -> None:
        for due, subject in self._deadlines.pop_until(self._store.now.mono):
            self._falls_due[due](subject)

    def _is_stale(self, when: float, due: Due, subject: Any) -> bool:
        if due is Due.DELAY or due is Due.BACKOFF:
            return self._supervision.is_stale(when, due, subject)
        if due is Due.FIRING or due is Due.CLOCK:
            return self._supervision.timers.is_stale(when, due, subject)
        if due is Due.GATE:
            return False
        if due is Due.TIMEOUT:
            return bool(subject.timeout_at != when or subject.requested or subject.ended)
        if due is Due.UNREADY:
            return bool(subject.unready_at != when or subject.ready or subject.requested or subject.ended)
        return self._stops.is_stale(when, due, subject)

    def _time_out(self, run: RunRecord) -> None:
        reason = Reason(ReasonKind.DEADLINE, f"longer than its timeout of {duration(run.spec.timeout or 0.0)}")
        self._stops.request(run, reason)

    def _miss_readiness(self, run: RunRecord) -> None:
        self._stops.request(
            run, Reason(ReasonKind.WATCHDOG, f"not ready within {duration(run.spec.ready_within or 0.0)}")
        )

    # -- reports

    def _run_started(self, report: inputs.RunStarted) -> None:
        run = self._store.live(report.run)
        if run.started is not None:
            raise InternalError(f"run {run.id} was started twice")
        self._store.move(run.job, Trigger.STARTED, run.job.state)
        if run.outcome is Outcome.ABANDONED:
            return  # it was closed while it was being made
        run.started = self._store.now
        self._store.emit_run(EventName.STARTED, run)
        if report.is_ready:
            self._be_ready(run)
        else:
            self._supervision.update_dependents(run.job)

    def _run_start_failed(self, report: inputs.RunStartFailed) -> None:
        run = self._store.live(report.run)
        if run.outcome is Outcome.ABANDONED:
            self._exit_late(run)
            return
        run.error = report.error
        self._end(run, Trigger.START_FAILED, Outcome.START_FAILED)

    def _run_ready(self, report: inputs.RunReady) -> None:
        run = self.runs.get(report.run)
        if run is not None and run.ready is None:
            self._store.move(run.job, Trigger.READY, run.job.state)
            self._be_ready(run)

    def _run_unresponsive(self, report: inputs.RunUnresponsive) -> None:
        run = self.runs.get(report.run)
        watchdog = run.spec.watchdog if run is not None else None
        if run is None or watchdog is None or run.ready is None or run.requested or run.unresponsive:
            return
        run.unresponsive = self._store.now
        self._store.emit_run(EventName.UNRESPONSIVE, run, data={"poll_age": round(report.poll_age, 3)})
        if watchdog.then is not WatchdogThen.WARN:
            if run.job.follow_up is FollowUp.POLICY:  # a firing that waits for the end of this run still comes
                run.job.follow_up = FollowUp.NOTHING if watchdog.then is WatchdogThen.STOP else FollowUp.RETRY
            self._stops.request(run, Reason(ReasonKind.WATCHDOG, f"no poll for {measured(report.poll_age)}"))

    def _run_responsive(self, report: inputs.RunResponsive) -> None:
        run = self.runs.get(report.run)
        if run is not None and run.unresponsive is not None and run.outcome is None:
            since, run.unresponsive = run.unresponsive, None
            self._store.emit_run(EventName.RESPONSIVE, run, seconds=self._store.now.mono - since.mono)

    def _run_ended(self, report: inputs.RunEnded) -> None:
        run = self._store.live(report.run)
        if run.outcome is Outcome.ABANDONED:
            self._exit_late(run)
            return
        if not report.was_requested:
            # A cancel that came after the body had returned is taken back here: it was too late to be the cause.
            run.reason = None
            if run.job.follow_up is FollowUp.RETRY:
                run.job.follow_up = FollowUp.POLICY
        outcome, run.error = decide_outcome(report, run.reason)
        self._end(run, Trigger.ENDED, outcome, is_permanent=report.how is How.PERMANENT)

    def _stack_captured(self, report: inputs.StackCaptured) -> None:
        run = self.stopping.get(report.run)
        if run is None:
            return  # it ended while it was looked at
        run.captured = report
        waited = run.overdue_at - run.requested.mono if run.requested else 0.0
        details = {"within": round(waited, 3), "where": report.where, "poll_age": report.poll_age}
        if report.callbacks:
            details["callbacks"] = list(report.callbacks)
        self._store.emit_run(EventName.STOP_OVERDUE, run, data=details)
        self._stops.release(run)
        if run.may_be_abandoned:
            self._abandon(run)
        else:
            self._store.move(run.job, Trigger.OVERDUE, JobState.STOPPING)
        self._release(run)

    def _callback_failed(self, report: inputs.CallbackFailed) -> None:
        run = self.runs.get(report.run)
        if run is not None:
            run.failed_callbacks += (f"{report.callback}: {report.error}",)
            self._store.emit_run(EventName.CALLBACK_FAILED, run, error=report.error, data={"callback": report.callback})

    # -- steps that commands and reports share

    def _be_ready(self, run: RunRecord) -> None:
        run.ready = self._store.now
        if run.outcome is None:
            self._store.emit_run(EventName.READY, run)
        self._supervision.update_dependents(run.job)

    def _abandon(self, run: RunRecord) -> None:
        """Leave the run behind: it ends for the store, and its thread stays in `runs`."""
        self._store.move(run.job, Trigger.OVERDUE, JobState.BLOCKED)
        self._store.record_end(run, Outcome.ABANDONED)
        self._store.emit_run(EventName.BLOCKED, run)
        self._supervision.remember_follow_up(run)

    def _end(self, run: RunRecord, trigger: Trigger, outcome: Outcome, *, is_permanent: bool = False) -> None:
        store = self._store
        store.record_end(run, outcome)
        store.remove_run(run)
        store.actions.append(actions.ReleaseRun(run.id))
        self._stops.release(run)  # before what follows: that may be a stop of everything, which reminds of others
        self._supervision.begin_follow_up(run, trigger, is_permanent=is_permanent)
        if run.requested is not None:
            self._release(run)

    def _exit_late(self, run: RunRecord) -> None:
        store = self._store
        store.remove_run(run)
        since = store.now.mono - run.ended.mono if run.ended else 0.0
        store.emit_run(EventName.LATE_EXIT, run, seconds=since)
        store.actions.append(actions.ReleaseRun(run.id))
        self._supervision.begin_follow_up(run, Trigger.LATE_EXIT)

    def _release(self, run: RunRecord) -> None:
        self._stops.release(run)
        self.shutdown.release(run)
