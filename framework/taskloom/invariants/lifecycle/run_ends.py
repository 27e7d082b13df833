"""The follow-up of a run: nothing, a restart after a delay, another run at once, or the removal of the job."""

from __future__ import annotations

from taskloom.core.policies import RestartWhen
from taskloom.invariants.event_rules import RunFacts
from taskloom.invariants.lifecycle.model import FollowUp, JobModel, Model, Wait
from taskloom.invariants.lifecycle.restarts import Restarts

__all__ = ["RunEnds", "has_failed"]

FAILURES = ("failed", "timed_out", "start_failed", "lost")
# An abandoned run counts as a failure if it was stopped for one of these reasons.
FAILURE_KINDS = ("deadline", "watchdog")


class RunEnds:
    """The ends of all runs."""

    def __init__(self, model: Model, restarts: Restarts) -> None:
        self._model = model
        self._restarts = restarts

    def keep(self, job: JobModel, run: RunFacts) -> None:
        """Keep the follow-up of an abandoned or lost run until nothing of it is left."""
        job.follow_up = self._decide(job, run, is_permanent=False)
        self.expect_essential_shutdown(job)

    def end(self, job: JobModel, run: RunFacts, *, is_permanent: bool) -> None:
        """Expect the follow-up of a run that has ended. `is_permanent`: it raised PermanentFailure."""
        job.run = None
        self._follow(job, run, self._decide(job, run, is_permanent=is_permanent))

    def exit_late(self, job: JobModel, run: RunFacts) -> None:
        """Expect the follow-up that was kept until nothing of an abandoned or lost run was left."""
        job.run = None
        self._follow(job, run, job.follow_up if self._model.may_start_runs else FollowUp.NOTHING)

    def _follow(self, job: JobModel, run: RunFacts, follow_up: FollowUp) -> None:
        model, name = self._model, job.spec.name
        if follow_up is FollowUp.RETRY:
            self._restarts.expect_restart(job, run)
        elif follow_up is FollowUp.FIRING and job.catches_up:
            job.wait_for(Wait.COMMAND)
            model.expect("RecordInstant", name)
        elif follow_up is FollowUp.RESTART or follow_up is FollowUp.FIRING:
            job.wait_for(Wait.COMMAND)
            model.expect("queued", name, attempt=1)
        else:
            if job.instant is not None:
                job.wait_for(Wait.FIRING)
            else:
                job.finish("finished" if job.spec.enabled else "disabled")
            if follow_up is FollowUp.REMOVAL:
                model.expect("job_removed", name)
        self.expect_essential_shutdown(job)

    def _decide(self, job: JobModel, run: RunFacts, *, is_permanent: bool) -> FollowUp:
        is_failure = has_failed(run)
        found = job.follow_up
        if not self._model.may_start_runs:
            found = FollowUp.NOTHING
        elif found is FollowUp.POLICY or found is FollowUp.RETRY:
            found = self._decide_by_policy(job, run, is_failure=is_failure, is_permanent=is_permanent)
        job.has_failed = job.has_given_up or (is_failure and found is FollowUp.NOTHING)
        return found

    def _decide_by_policy(self, job: JobModel, run: RunFacts, *, is_failure: bool, is_permanent: bool) -> FollowUp:
        when = job.spec.restart.when
        is_required = job.follow_up is FollowUp.RETRY or when is RestartWhen.ALWAYS
        if not is_required and not (is_failure and when is RestartWhen.ON_FAILURE):
            return FollowUp.NOTHING
        if is_permanent or self._restarts.is_exhausted(job):
            job.has_given_up = True
            self._model.expect("gave_up", run.run)
            return FollowUp.NOTHING
        return FollowUp.RETRY

    def outlive(self, job: JobModel, run: RunFacts) -> None:
        """Expect a shutdown if the overdue run of an essential job, which is not abandoned, failed for good.

        Neither a restart nor a firing counts: none can start while the thread lives.
        """
        if _was_stopped_for_failure(run) and job.follow_up not in (FollowUp.RESTART, FollowUp.REMOVAL):
            self._expect_shutdown(job)

    def expect_essential_shutdown(self, job: JobModel) -> None:
        """Expect a shutdown if the job is essential and has failed for good."""
        if job.has_failed and (job.has_given_up or job.instant is None):
            self._expect_shutdown(job)

    def _expect_shutdown(self, job: JobModel) -> None:
        model = self._model
        if job.spec.essential and model.may_start_runs and not model.is_expected("scheduler_stopping"):
            model.expect("scheduler_stopping", "", reason=("essential", f"job {job.spec.name!r} failed for good"))


def has_failed(run: RunFacts) -> bool:
    """Return whether a run that has ended, or was abandoned, counts as a failure."""
    return _was_stopped_for_failure(run) if run.outcome == "abandoned" else run.outcome in FAILURES


def _was_stopped_for_failure(run: RunFacts) -> bool:
    return run.reason is not None and run.reason[0] in FAILURE_KINDS
