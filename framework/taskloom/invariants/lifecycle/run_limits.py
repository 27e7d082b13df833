"""The deadlines and the liveness of a run: `timeout`, `ready_within`, `watchdog`."""

from __future__ import annotations

from taskloom.core import inputs
from taskloom.core.model import JobSpec
from taskloom.core.policies import WatchdogThen
from taskloom.invariants.event_rules import RunFacts
from taskloom.invariants.lifecycle.model import NEVER, FollowUp, JobModel, Model
from taskloom.text import measured

__all__ = ["RunLimits"]

TIMEOUT, READY_WITHIN = "the timeout", "the ready_within"


class RunLimits:
    """The limits of all live runs; their time counts from when the run was queued."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._limited: set[str] = set()
        """Runs that have a limit."""

    def set(self, run: RunFacts, spec: JobSpec) -> None:
        """Set the limits of a declaration; one that would be in the past is due now."""
        if run.cancel_requested is None and run.ended is None:
            self._limited.add(run.run)
            self._set(TIMEOUT, run, spec.timeout)
            self._set(READY_WITHIN, run, spec.ready_within if run.ready is None else None)

    def _set(self, limit: str, run: RunFacts, seconds: float | None) -> None:
        due = NEVER if seconds is None else max(run.queued + seconds, self._model.now)
        self._model.deadlines.set((limit, run.run), due)

    def ready(self, run: str) -> None:
        """Drop `ready_within`: the run is ready."""
        if run in self._limited:
            self._model.deadlines.drop((READY_WITHIN, run))

    def drop(self, run: str) -> None:
        """Drop all limits: the cancel was requested, or the run has ended."""
        if run not in self._limited:
            return
        self._limited.remove(run)
        self._model.deadlines.drop((TIMEOUT, run))
        self._model.deadlines.drop((READY_WITHIN, run))

    def check_cancel(self, run: str, kind: str) -> None:
        """Check a cancel request that a limit caused."""
        limit = TIMEOUT if kind == "deadline" else READY_WITHIN
        due = self._model.deadlines.due_of((limit, run))
        if due is None:
            self._model.report("I7", f"cancel of {run} was requested for {kind}, but {limit} was not set")
        else:
            self._model.check_time(f"{limit} of {run}", due)

    # -- the watchdog

    def expect_unresponsive(self, report: inputs.RunUnresponsive) -> None:
        """Expect the event and the watchdog's reaction."""
        job = self._job_of(report.run)
        watchdog = job.run_spec.watchdog if job is not None and job.run_spec is not None else None
        if job is None or job.run is None or watchdog is None:
            return
        if job.run.ready is None or not job.is_running or job.run.unresponsive is not None:
            return
        self._model.expect("unresponsive", report.run, poll_age=round(report.poll_age, 3))
        if watchdog.then is WatchdogThen.WARN:
            return
        if job.follow_up is FollowUp.POLICY:
            job.follow_up = FollowUp.NOTHING if watchdog.then is WatchdogThen.STOP else FollowUp.RETRY
        reason = ("watchdog", f"no poll for {measured(report.poll_age)}")
        self._model.expect("cancel_requested", report.run, reason=reason)

    def expect_responsive(self, report: inputs.RunResponsive) -> None:
        """Expect the event if the run was unresponsive."""
        job = self._job_of(report.run)
        if job is not None and job.run is not None and not job.is_blocked and job.run.unresponsive is not None:
            self._model.expect("responsive", report.run)

    def _job_of(self, run: str) -> JobModel | None:
        found = self._model.event_rules.live.get(run)
        return self._model.jobs.get(found.job) if found is not None else None
