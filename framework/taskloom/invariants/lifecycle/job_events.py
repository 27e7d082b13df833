"""Checks each event of a job or a run for its cause, and updates the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from taskloom.core import inputs
from taskloom.core.events import Event
from taskloom.core.model import How, Otherwise, Outcome
from taskloom.invariants.event_rules import Fact, RunFacts, fact_of
from taskloom.invariants.lifecycle.actions import ActionRules
from taskloom.invariants.lifecycle.changeovers import Changeovers
from taskloom.invariants.lifecycle.commands import Commands
from taskloom.invariants.lifecycle.lost_runs import LostRuns
from taskloom.invariants.lifecycle.model import FollowUp, JobModel, Model, Wait
from taskloom.invariants.lifecycle.records import Records
from taskloom.invariants.lifecycle.restarts import Restarts
from taskloom.invariants.lifecycle.run_ends import RunEnds
from taskloom.invariants.lifecycle.run_limits import RunLimits
from taskloom.invariants.lifecycle.schedules import Schedules
from taskloom.invariants.lifecycle.starts import IMPOSSIBLE, SATISFIED, Starts, dependency_state
from taskloom.invariants.lifecycle.stops import Stops

__all__ = ["JobEvents"]

# These have no other effect on the model.
_EXPECTED = (
    "placed", "unreachable", "reachable", "gave_up", "reset", "flapping", "paused", "resumed", "unresponsive",
    "responsive", "reloaded", "reload_waiting", "reload_overdue",
)  # fmt: skip


@dataclass(slots=True, eq=False)
class JobEvents:
    """Reads the events. An event that was not expected needs another cause, such as a deadline."""

    _model: Model
    _commands: Commands
    _starts: Starts
    _schedules: Schedules
    _restarts: Restarts
    _run_ends: RunEnds
    _run_limits: RunLimits
    _stops: Stops
    _action_rules: ActionRules
    _changeovers: Changeovers
    _records: Records
    _lost_runs: LostRuns
    _shutdown_reason: tuple[str, str] | None = None
    _handlers: dict[str, Callable[[Fact], None]] = field(init=False)

    def __post_init__(self) -> None:
        self._handlers = {
            "queued": self._queued,
            "ready": lambda fact: self._run_limits.ready(fact.run or ""),
            "cancel_requested": self._cancel_requested,
            "stop_overdue": self._stop_overdue,
            "ended": self._ended,
            "late_exit": self._late_exit,
            "blocked": self._blocked,
            "released": self._released,
            "skipped": self._skipped,
            "restart_scheduled": self._restart_scheduled,
            "missed": self._missed,
            "scheduler_stopping": self._scheduler_stopping,
            "job_removed": self._job_removed,
        } | dict.fromkeys(_EXPECTED, self._check_expected)

    def check(self, event: Event) -> None:
        """Check the next event."""
        model, fact = self._model, fact_of(event)
        is_replaced = fact.event == "cancel_requested" and fact.reason is not None and fact.reason[0] == "replaced"
        if model.is_tick and is_replaced:
            self._schedules.handle_instant_of(fact)  # before the run has a cancel request
        model.event_rules.check(fact)
        if fact.job is not None:
            model.changed[fact.job] = None
        handler = self._handlers.get(fact.event)
        if handler is not None:
            handler(fact)

    def _check_expected(self, fact: Fact) -> None:
        if not self._model.fulfil(fact):
            self._model.report("I9", f"{fact.event} of {fact.run or fact.job} has no cause")

    # -- the start of a run

    def _queued(self, fact: Fact) -> None:
        self._action_rules.starts += 1
        job, run = self._model.job_of(fact), self._model.event_rules.live.get(fact.run or "")
        if job is None or run is None:
            return  # the event rules have reported it
        if not job.spec.enabled:
            self._model.report("I9", f"job {job.spec.name} was started, but is disabled")
        if job.is_stopped:
            self._model.report("I9", f"job {job.spec.name} was started, but a user had stopped it")
        self._starts.wake(job)
        self._check_start_cause(job, fact)
        self._commands.cancel_waits(job)
        self._records.check_queued(job, fact)
        job.wait, job.end_state = None, ""
        job.run = job.last_run = run
        job.run_spec, job.attempt, job.follow_up = job.spec, fact.attempt or 1, FollowUp.POLICY
        job.has_failed = job.has_given_up = False
        if job.spec.timeout is not None or job.spec.ready_within is not None:
            self._run_limits.set(run, job.spec)

    def _check_start_cause(self, job: JobModel, fact: Fact) -> None:
        model, name = self._model, job.spec.name
        if model.fulfil(fact):
            return
        if job.wait is Wait.BACKOFF and model.is_tick and fact.attempt != 1:
            self._restarts.check_restart(job, fact)
            return
        if job.wait is Wait.RECORD and model.is_tick:
            self._records.explain(job)
            model.fulfil(fact)
            return
        if job.wait is Wait.DEPENDENCY:
            if dependency_state(model, job) != SATISFIED:
                model.report("I11", f"job {name} was started before its dependencies were satisfied")
                return
            self._starts.begin_delay(job)
        elif model.is_tick and self._schedules.is_open(name) and not model.is_expected("queued", name):
            self._schedules.handle_instant(job)
        if not model.fulfil(fact) and not self._schedules.may_explain(job, fact):
            model.report("I2", f"job {name} was started without a cause")

    # -- the stop of a run

    def _cancel_requested(self, fact: Fact) -> None:
        model = self._model
        self._action_rules.cancels += 1
        job, run = model.job_of(fact), model.event_rules.live.get(fact.run or "")
        if job is None or run is None:
            return
        kind = fact.reason[0] if fact.reason is not None else ""
        if not model.fulfil(fact) and not self._schedules.may_explain(job, fact):
            self._check_cancel_cause(run, kind, fact)
        self._run_limits.drop(run.run)
        is_shutdown = not model.may_start_runs and fact.reason == self._shutdown_reason
        self._stops.begin(run, (job.run_spec or job.spec).join, is_shutdown=is_shutdown)

    def _check_cancel_cause(self, run: RunFacts, kind: str, fact: Fact) -> None:
        if self._model.is_tick and kind in ("deadline", "watchdog"):
            self._run_limits.check_cancel(run.run, kind)
        elif self._model.may_start_runs or fact.reason != self._shutdown_reason:
            self._model.report("I2", f"cancel of {run.run} was requested for {fact.reason} without a cause")

    def _stop_overdue(self, fact: Fact) -> None:
        run = self._model.event_rules.live.get(fact.run or "")
        job = self._model.job_of(fact)
        if run is not None:
            self._stops.outlive(run)
        if job is None or run is None:
            return
        join = (job.run_spec or job.spec).join
        if join.within == 0:
            self._model.report("I7", f"{fact.run} was overdue, but no stop waits for it")
        if join.otherwise is Otherwise.EXIT:
            self._run_ends.outlive(job, run)
        if join.otherwise is not Otherwise.KILL and not self._is_abandoned_next(run.run):
            self._changeovers.release(run.run)

    def _is_abandoned_next(self, run: str) -> bool:
        """Return whether this step also abandons the run; what waits for it begins after that."""
        return any(
            isinstance(action, Event) and action.run == run and action.outcome is Outcome.ABANDONED
            for action in self._model.actions
        )

    # -- the end of a run

    def _ended(self, fact: Fact) -> None:
        job = self._model.job_of(fact)
        run = self._model.event_rules.last_of_job.get(fact.job or "")
        if job is None or run is None or run.run != fact.run:
            return
        self._run_limits.drop(run.run)
        run.reason = fact.reason  # none if the cancel came too late to be the cause
        join = (job.run_spec or job.spec).join
        was_awaited = run.overdue is None or join.otherwise is Otherwise.KILL
        self._stops.end(run, is_overdue=fact.outcome == "abandoned" and was_awaited)
        if fact.outcome == "abandoned":
            self._schedules.detect_firing_before_abandon(job)
            self._run_ends.keep(job, run)
            self._changeovers.release(run.run)
            return
        self._schedules.detect_unseen_firing(job)
        message = self._model.message
        if isinstance(message, inputs.RunEnded) and not message.was_requested and job.follow_up is FollowUp.RETRY:
            job.follow_up = FollowUp.POLICY  # the run ended before it saw the watchdog's cancel
        if fact.outcome == "lost" and run.run in self._model.left:
            self._lost_runs.lose(job, run)
            return
        is_permanent = isinstance(message, inputs.RunEnded) and message.how is How.PERMANENT
        self._run_ends.end(job, run, is_permanent=is_permanent)
        self._changeovers.release(run.run)

    def _late_exit(self, fact: Fact) -> None:
        job = self._model.job_of(fact)
        run = self._model.event_rules.last_of_job.get(fact.job or "")
        if job is not None and run is not None:
            self._schedules.detect_unseen_firing(job)
            self._run_ends.exit_late(job, run)

    def _blocked(self, fact: Fact) -> None:
        if "until" in fact.data:
            self._check_expected(fact)

    def _released(self, fact: Fact) -> None:
        job = self._model.job_of(fact)
        if job is not None and job.is_lost and job.run is not None and job.run.run == fact.run:
            self._lost_runs.check_release(job, job.run, fact)

    def _restart_scheduled(self, fact: Fact) -> None:
        job = self._model.job_of(fact)
        if not self._model.fulfil(fact):
            self._model.report("I6", f"a restart after {fact.run} was scheduled against its policy")
        if job is not None:
            self._restarts.schedule(job, fact)

    # -- jobs and the scheduler

    def _missed(self, fact: Fact) -> None:
        if self._model.is_tick and not self._model.is_expected("missed", fact.job):
            self._schedules.handle_instant_of(fact)
        job = self._model.job_of(fact)
        if job is not None and job.is_paused:
            self._end_dependency_wait(job)  # the run is missed that would begin when the schedule is armed
        if not self._model.fulfil(fact) and not (job is not None and self._schedules.may_explain(job, fact)):
            self._model.report("I10", f"job {fact.job} missed {fact.data.get('count')}, but no such instant had come")

    def _end_dependency_wait(self, job: JobModel) -> None:
        """Continue with a job whose dependencies are satisfied, because an event of a later wait has come."""
        self._starts.wake(job)
        if job.wait is Wait.DEPENDENCY and dependency_state(self._model, job) == SATISFIED:
            self._starts.begin_delay(job)

    def _skipped(self, fact: Fact) -> None:
        model, job = self._model, self._model.job_of(fact)
        if job is None or model.fulfil(fact):
            return
        self._starts.wake(job)
        if job.wait is Wait.DEPENDENCY:
            state = dependency_state(model, job)
            if state == IMPOSSIBLE and fact.reason is not None and fact.reason[0] == "dependency":
                job.finish("skipped")
                job.is_dependency_impossible = True
                return
            if state == SATISFIED:
                self._starts.begin_delay(job)
        if not model.fulfil(fact) and not self._schedules.may_explain(job, fact):
            model.report("I2", f"job {fact.job} was skipped for {fact.reason} without a cause")

    def _job_removed(self, fact: Fact) -> None:
        self._check_expected(fact)
        model, job = self._model, self._model.job_of(fact)
        if job is not None:
            self._commands.cancel_waits(job)
            self._schedules.disarm(job)
            for name in model.dependents(job.spec.name):
                model.mark_changed(name)
            model.remove(job.spec.name)
            model.expect("ForgetJob", fact.job or "")

    def _scheduler_stopping(self, fact: Fact) -> None:
        model = self._model
        self._shutdown_reason = fact.reason
        if isinstance(model.message, inputs.Shutdown):
            within = model.message.within
        else:
            self._check_expected(fact)
            within, model.has_essential_failed = model.stop_within, True
            self._starts.wake_others()  # a reload may have woken them and caused this stop
        for job in model.jobs.values():
            if job.run is None and job.is_pending:
                self._commands.skip(job, fact.reason)
                model.mark_changed(job.spec.name)
            if job.is_blocked:
                model.mark_changed(job.spec.name)  # what was to follow may have kept the program alive
                if job.follow_up is not FollowUp.REMOVAL:
                    job.follow_up = FollowUp.NOTHING
            self._schedules.disarm(job)
        self._stops.begin_shutdown(within)
