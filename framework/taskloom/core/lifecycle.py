"""The lifecycle of all jobs: the only place where decisions are made.

Rules of this file:
- `handle(input, now) -> actions` and `next_deadline()` are its whole interface for change. It reads no clock, starts
  no thread, does no I/O and calls no callback.
- A job's state changes only in `JobStore.move`, as the table in `transitions.py` says. A refused command raises a
  UsageError and has changed nothing.

Theory of operation. A START, or the end of what a job waited for, queues a run (`starting.py`). The engine answers with
RunStarted or RunStartFailed, and later with exactly one RunEnded, whatever happened in between. A stop climbs the stop
ladder (`stopping.py`) until the run has ended or its stack was captured. Then the join policy decides: the run is
abandoned and its job is BLOCKED; or the job stays STOPPING, and the run is overdue or is killed. A late RunEnded of an
abandoned run is legal: its thread has exited. After every end `after_run.py` decides what follows: a restart, the next
firing, or nothing.

Stopping has priority: once a whole shutdown begins (`shutdown.py`), no run is queued.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taskloom.core import actions, inputs
from taskloom.core.after_run import FollowUps
from taskloom.core.changeover import Changeovers
from taskloom.core.events import NOTHING, Audience, EventName
from taskloom.core.holding import Holder
from taskloom.core.lost_runs import LostRuns
from taskloom.core.model import (
    WAIT_FOR_EVER,
    How,
    JobSpec,
    JobState,
    Moment,
    Outcome,
    Phase,
    Reason,
    ReasonKind,
    WaitingFor,
)
from taskloom.core.outcome import decide_outcome
from taskloom.core.policies import WatchdogThen
from taskloom.core.records import FollowUp, JobRecord, RunRecord
from taskloom.core.reload import Reloader
from taskloom.core.remembered import NOTHING_REMEMBERED, Recollection
from taskloom.core.requirements import DependencyState
from taskloom.core.resetting import Resetter
from taskloom.core.restoring import declare
from taskloom.core.shutdown import WholeStop
from taskloom.core.starting import Starter
from taskloom.core.stopping import StopSequence
from taskloom.core.store import JobStore
from taskloom.core.transitions import TRANSITIONS, Decision
from taskloom.core.waits import make_waits
from taskloom.core.whereabouts import PlaceKeeper
from taskloom.errors import DependencyCycle, DependencyUnmet, DuplicateJob, InternalError, JobDisabled, SchedulerStopped
from taskloom.text import measured

__all__ = ["Lifecycle"]


class Lifecycle:
    """All jobs and runs of one scheduler.

    `random` returns a number from 0.0 to 1.0. `stop_within`: seconds for a shutdown that an essential job causes.
    """

    def __init__(self, random: Callable[[], float], stop_within: float) -> None:
        self._store = JobStore()
        self.stops = StopSequence(self._store, self._outlive)
        self.shutdown = WholeStop(self._store, self.stops, stop_within)
        self._starter = Starter(self._store, self.stops, self.shutdown, random)
        self._follow_ups = FollowUps(self._store, self._starter, self.shutdown, random)
        self._changeovers = Changeovers(self._store, self._starter)
        self._lost = LostRuns(
            self._store,
            self.stops,
            self._follow_ups,
            changeovers=self._changeovers,
            shutdown=self.shutdown,
            exit_late=self._exit_late,
        )
        self._resetter = Resetter(self._store, self._starter)
        self._holder = Holder(self._store, self._starter, self.shutdown)
        self.reloader = Reloader(
            self._store,
            self.stops,
            self._starter,
            self._follow_ups,
            changeovers=self._changeovers,
            resetter=self._resetter,
            holder=self._holder,
        )
        self.jobs = self._store.jobs
        self.runs = self._store.runs
        self.stopping = self.stops.stopping
        places = PlaceKeeper(self._store)
        self._was_work_over = True
        self._has_started = False
        self._handlers: dict[type, Callable[[Any], None]] = {
            inputs.AddJob: lambda command: self._add_all((command.spec,)),
            inputs.AddJobs: lambda command: self._add_all(command.specs, command.memory),
            inputs.StartAll: self._start_all,
            inputs.StartJob: self._start_job,
            inputs.ArmJob: self._arm_job,
            inputs.RestartJob: self._restart_job,
            inputs.ResetJob: self._reset_job,
            inputs.PauseJob: self._pause_job,
            inputs.ResumeJob: self._resume_job,
            inputs.StopJob: self._stop_job,
            inputs.Reload: self._reload,
            inputs.Shutdown: lambda command: self.shutdown.begin(command.reason, command.within),
            inputs.HurryShutdown: lambda command: self.shutdown.hurry(command.within),
            inputs.Tick: self._tick,
            inputs.RunStarted: self._run_started,
            inputs.RunStartFailed: self._run_start_failed,
            inputs.RunReady: self._run_ready,
            inputs.RunUnresponsive: self._run_unresponsive,
            inputs.RunResponsive: self._run_responsive,
            inputs.RunPlaced: places.place,
            inputs.RunUnreachable: places.mark_unreachable,
            inputs.RunReachable: places.mark_reachable,
            inputs.RunEnded: self._run_ended,
            inputs.RunReleased: self._lost.confirm,
            inputs.StackCaptured: self._stack_captured,
            inputs.CallbackFailed: self._callback_failed,
            inputs.InstantRecorded: self._starter.records.answer,
        }

    # -- the interface

    def handle(self, message: inputs.Input, now: Moment) -> list[actions.Action]:
        """Apply one input and return the actions that it causes, in order.

        Raises a UsageError for a command that is refused; nothing has changed then.
        """
        store = self._store
        store.now = now
        result: list[actions.Action] = []
        store.actions = result
        self._handlers[type(message)](message)
        is_work_over = self.is_work_over
        if is_work_over and not self._was_work_over:
            result.append(actions.WorkFinished())
        self._was_work_over = is_work_over
        if store.changed:
            changed, store.changed = store.changed, {}
            if self.phase is Phase.OPEN:  # afterwards no job waits for anything
                result.extend(make_waits(changed, now))
        return result

    def enable_events(self, audience: Audience) -> None:
        """Make the events that this audience wants, and only count the others."""
        self._store.audience = audience

    def enable_waits(self) -> None:
        """Make a Wait for each job that a message has changed, from now on."""
        if self._store.changed is None:
            self._store.changed = {}

    def next_deadline(self) -> float | None:
        """Return when the next Tick is due, in monotonic seconds, or None."""
        due, check_at = self._store.deadlines.next(), self.clock_check_at
        return due if check_at == WAIT_FOR_EVER or (due is not None and due <= check_at) else check_at

    def next_deadline_by_steady_clock(self) -> float | None:
        """Return the same for a wall clock that is known not to be set: no Tick is due to check it."""
        return self._store.deadlines.next()

    @property
    def clock_check_at(self) -> float:
        """When a Tick is due to check the wall clock, in monotonic seconds; inf while no calendar is armed."""
        return self._starter.timers.clock.check_at

    # -- queries

    @property
    def phase(self) -> Phase:
        """The phase of the scheduler as a whole."""
        return self.shutdown.phase

    @property
    def last_seq(self) -> int:
        """The number of the last event; 0 before the first."""
        return self._store.last_seq

    @property
    def is_work_over(self) -> bool:
        """Whether `taskloom run` would end: nothing keeps the program alive, or an essential job has failed."""
        return self._store.is_work_over or self.shutdown.reason.kind is ReasonKind.ESSENTIAL

    def describe_dependency_wait(self, job: JobRecord) -> str:
        """Return which condition of which job, or the end of which old runs, a job waits for; empty if for none."""
        if job.waiting_for is WaitingFor.REMOVAL and job.changeover is not None:
            return job.changeover.describe()
        return job.dependencies.describe() if job.waits_for_dependencies else ""

    def job(self, name: str) -> JobRecord:
        """Return a job's record. Raises UnknownJob."""
        return self._store.job(name)

    # -- commands

    def _add_all(self, specs: Sequence[JobSpec], memory: Recollection = NOTHING_REMEMBERED) -> None:
        """Declare all jobs, or none if one of them is refused."""
        added: set[str] = set()
        for spec in specs:
            self._must_be_open(f"add job {spec.name!r}")
            if spec.name in self.jobs or spec.name in added:
                raise DuplicateJob(spec.name)
            added.add(spec.name)
        cycle = self._store.dependencies.find_cycle(specs)
        if cycle:
            raise DependencyCycle(cycle)
        for spec in specs:
            declare(self._store, spec, memory)

    def _start_all(self, command: inputs.StartAll) -> None:
        self._must_be_open("start")
        if not self._has_started:
            self._has_started = True
            self._store.emit(EventName.SCHEDULER_STARTED, data={"jobs": len(self.jobs)})
        for job in list(self.jobs.values()):
            if job.may_autostart:
                self._starter.arm(job)

    def _start_job(self, command: inputs.StartJob) -> None:
        job = self._startable(command.job)
        if job.changeover is not None and job.awaits_removal and not command.is_now:
            raise DependencyUnmet(command.job, job.changeover.describe(), is_lost=False)
        state = job.dependencies.state
        if state is not DependencyState.SATISFIED and not command.is_now:
            is_lost = state is DependencyState.IMPOSSIBLE
            raise DependencyUnmet(command.job, job.dependencies.describe(), is_lost=is_lost)
        self._holder.end_stop(job)
        self._starter.queue(job, reason=command.reason)
        self._starter.rearm(job)

    def _arm_job(self, command: inputs.ArmJob) -> None:
        job = self._startable(command.job)
        self._holder.end_stop(job)
        if not job.is_active:  # idempotent
            self._starter.arm(job)

    def _restart_job(self, command: inputs.RestartJob) -> None:
        job = self.job(command.job)
        self._must_be_open(f"restart job {command.job!r}")
        if not job.spec.enabled:
            raise JobDisabled(command.job)  # in any state: its run may be stopping because it was disabled
        if job.state is JobState.BLOCKED:
            raise job.refused_start(self._store.now.mono)
        if job.run is None:
            self._start_job(inputs.StartJob(command.job, command.is_now, command.reason))
            return
        self._holder.end_stop(job)
        if job.follow_up is not FollowUp.REMOVAL:
            self._store.set_follow_up(job, FollowUp.RESTART)
            self._starter.rearm(job)
        self.stops.request(job.run, command.reason)

    def _reset_job(self, command: inputs.ResetJob) -> None:
        job = self.job(command.job)
        self._must_be_open(f"reset job {command.job!r}")
        self._resetter.reset(job, command.reason)

    def _pause_job(self, command: inputs.PauseJob) -> None:
        job = self.job(command.job)
        self._must_be_open(f"pause job {command.job!r}")
        self._holder.pause(job, command.reason)

    def _resume_job(self, command: inputs.ResumeJob) -> None:
        job = self.job(command.job)
        self._must_be_open(f"resume job {command.job!r}")
        self._holder.resume(job, command.reason, has_started=self._has_started)

    def _startable(self, name: str) -> JobRecord:
        job = self.job(name)
        self._must_be_open(f"start job {name!r}")
        if Decision.RUN not in TRANSITIONS[job.state]:
            raise job.refused_start(self._store.now.mono)
        return job

    def _must_be_open(self, request: str) -> None:
        if self.phase is not Phase.OPEN:
            raise SchedulerStopped(request)

    def _stop_job(self, command: inputs.StopJob) -> None:
        if command.run is not None and command.job not in self.jobs:
            return  # a reload removed the job after the end of that run
        job = self.job(command.job)
        if command.run is None:
            if self.phase is Phase.OPEN:
                self._holder.stop(job, command.reason)
            self.stops.stop(job, command.reason)
        elif job.run is not None and job.run.id == command.run:
            self.stops.cancel(job, command.reason)
        self._starter.update_dependents(job)

    def _reload(self, command: inputs.Reload) -> None:
        self._must_be_open("reload")
        self.reloader.reload(command.specs, command.plan, command.memory, has_started=self._has_started)
        for change in self.reloader.changes:
            # After everything else: an essential job that failed and now never fires again stops all jobs.
            if "schedule" in change.fields and change.job in self.jobs:
                self._starter.propagate(self.jobs[change.job])

    # -- time

    def _tick(self, tick: inputs.Tick) -> None:
        self._starter.timers.check_clock(tick.steady_until)
        self._store.deadlines.run_due(self._store.now.mono, tick.ended)

    # -- reports

    def _run_started(self, report: inputs.RunStarted) -> None:
        run = self._store.live(report.run)
        if run.started is not None:
            raise InternalError(f"run {run.id} was started twice")
        if run.outcome is Outcome.ABANDONED:
            return  # it was abandoned while the runner was beginning it
        self._store.record_start(run)
        self._store.emit_run(EventName.STARTED, run)
        if report.is_ready:
            self._be_ready(run)
        else:
            self._starter.update_dependents(run.job)

    def _run_start_failed(self, report: inputs.RunStartFailed) -> None:
        run = self._store.live(report.run)
        if run.outcome is Outcome.ABANDONED:
            self._exit_late(run)
            return
        run.error = report.error
        self._end(run, Outcome.START_FAILED)

    def _run_ready(self, report: inputs.RunReady) -> None:
        run = self.runs.get(report.run)
        if run is not None and run.ready is None:
            self._be_ready(run)

    def _run_unresponsive(self, report: inputs.RunUnresponsive) -> None:
        run = self.runs.get(report.run)
        watchdog = run.spec.watchdog if run is not None else None
        if run is None or watchdog is None or run.ready is None or run.requested or run.unresponsive:
            return
        run.unresponsive = self._store.now
        data: dict[str, Any] = {"poll_age": round(report.poll_age, 3)}
        if report.because:
            data["because"] = report.because
        self._store.emit_run(EventName.UNRESPONSIVE, run, data=data)
        if watchdog.then is not WatchdogThen.WARN:
            if run.job.follow_up is FollowUp.POLICY:  # a queued firing still follows
                follow_up = FollowUp.NOTHING if watchdog.then is WatchdogThen.STOP else FollowUp.RETRY
                self._store.set_follow_up(run.job, follow_up)
            because = report.because or f"no poll for {measured(report.poll_age)}"
            self.stops.request(run, Reason(ReasonKind.WATCHDOG, because))

    def _run_responsive(self, report: inputs.RunResponsive) -> None:
        run = self.runs.get(report.run)
        if run is not None and run.unresponsive is not None and run.outcome is None:
            since, run.unresponsive = run.unresponsive, None
            self._store.emit_run(EventName.RESPONSIVE, run, seconds=self._store.now.mono - since.mono)

    def _run_ended(self, report: inputs.RunEnded) -> None:
        run = self._store.live(report.run)
        is_lost = report.how is How.LOST and report.stopped_by > self._store.now.mono
        if run.outcome is Outcome.ABANDONED:
            if is_lost:
                self._lost.await_end(run, report.stopped_by)
            else:
                self._exit_late(run)
            return
        if not report.was_requested:
            # A cancel that came after the body had returned is not the cause of the end: undo what it set.
            run.reason = None
            if run.job.follow_up is FollowUp.RETRY:
                self._store.set_follow_up(run.job, FollowUp.POLICY)
        elif report.how is How.NOT_ENTERED and self.phase is not Phase.OPEN:
            # The stop kept it from being entered, although its level has not been requested to stop yet.
            self.stops.request(run, self.shutdown.reason)
        run.how = report.how
        outcome, run.error = decide_outcome(report, run.reason)
        if is_lost:
            self._lost.lose(run, report.stopped_by)
            return
        self._end(run, outcome, is_permanent=report.how is How.PERMANENT)

    def _stack_captured(self, report: inputs.StackCaptured) -> None:
        run = self.stopping.get(report.run)
        if run is None or run.captured is not None:
            return  # it ended meanwhile, or is being killed
        run.captured = report
        if run.spec.join.is_awaited:
            self._report_overdue(run, report)
        if run.spec.join.kills:
            self.stops.kill(run)
        else:
            self._outlive(run)

    def _outlive(self, run: RunRecord) -> None:
        """Decide about a run that no stop waits for any more; one that was killed in vain is abandoned."""
        self.stops.release(run)
        if run.spec.join.abandons or run.killed is not None:
            self._abandon(run)
        else:
            self._follow_ups.outlive(run)
        self._changeovers.release(run)
        self.shutdown.release(run)

    def _report_overdue(self, run: RunRecord, report: inputs.StackCaptured) -> None:
        run.overdue = self._store.now
        waited = run.overdue_at - run.requested.mono if run.requested else 0.0
        details = {"within": round(waited, 3), "where": report.where, "poll_age": report.poll_age}
        if report.callbacks:
            details["callbacks"] = list(report.callbacks)
        if run.spec.join.kills:
            details["otherwise"] = run.spec.join.otherwise.value  # the run ends before long
        self._store.emit_run(EventName.STOP_OVERDUE, run, data=details)

    def _callback_failed(self, report: inputs.CallbackFailed) -> None:
        """Report it even if the run has ended since: nothing waits for `terminate`."""
        job = self.jobs.get(report.run.rpartition("#")[0])
        if job is None:
            return  # it was removed, or a helper did something else than a callback of a run
        fields = {"error": report.error, "data": {"callback": report.callback}}
        run = self.runs.get(report.run) or job.last_run
        if run is not None and run.id == report.run:
            run.failed_callbacks += (f"{report.callback}: {report.error}",)
            self._store.emit_run(EventName.CALLBACK_FAILED, run, **fields)
        else:
            self._store.emit(EventName.CALLBACK_FAILED, job.spec.name, run=report.run, **fields)

    # -- steps that several inputs share

    def _be_ready(self, run: RunRecord) -> None:
        self._store.record_ready(run)
        if run.outcome is None:
            self._store.emit_run(EventName.READY, run)
        self._starter.update_dependents(run.job)

    def _abandon(self, run: RunRecord) -> None:
        """End the run in the store, and keep it in `runs` because its thread may still be alive."""
        self._store.move(run.job, Decision.ABANDON)
        # If the run is overdue, both were reported before.
        where = run.captured.where if run.captured is not None else ""
        data = NOTHING if run.overdue is not None else {"within": 0.0, "where": where}
        self._store.record_end(run, Outcome.ABANDONED, data)
        self._store.emit_run(EventName.BLOCKED, run, data=_killed_in_vain(run))
        self._follow_ups.remember(run)

    def _end(self, run: RunRecord, outcome: Outcome, *, is_permanent: bool = False) -> None:
        store = self._store
        store.record_end(run, outcome)
        store.remove_run(run)
        store.actions.append(actions.ReleaseRun(run.id))
        if run.requested is not None:
            self.stops.release(run)  # before what follows, which may be a shutdown that reports what it waits for
        self._follow_ups.begin(run, is_permanent=is_permanent)
        self._changeovers.release(run)
        if run.requested is not None:
            self.shutdown.release(run)

    def _exit_late(self, run: RunRecord) -> None:
        store = self._store
        store.remove_run(run)
        since = store.now.mono - run.ended.mono if run.ended else 0.0
        store.emit_run(EventName.LATE_EXIT, run, seconds=since, data=_killed_in_vain(run))
        store.actions.append(actions.ReleaseRun(run.id))
        self._follow_ups.begin_remembered(run)


def _killed_in_vain(run: RunRecord) -> Mapping[str, Any]:
    """Return the data of an event of an abandoned run: it has processes, not a thread, if it was killed."""
    return NOTHING if run.killed is None else {"otherwise": run.spec.join.otherwise.value}
