"""I11: a job starts after its dependencies, and is skipped when one can no longer be satisfied."""

from __future__ import annotations

from taskloom.core.policies import Condition
from taskloom.invariants.lifecycle.model import FollowUp, JobModel, Model

__all__ = ["IMPOSSIBLE", "PENDING", "SATISFIED", "dependency_state"]

SATISFIED, PENDING, IMPOSSIBLE = "satisfied", "pending", "impossible"


def dependency_state(model: Model, job: JobModel) -> str:
    """Return the state of a job's dependencies together: an impossible one counts before a pending one."""
    found = SATISFIED
    for dependency in job.spec.after:
        members = list(model.members(dependency.job))
        if not members:
            return IMPOSSIBLE
        for member in members:
            if _is_satisfied(member, dependency.condition):
                continue
            if _is_impossible(member, dependency.condition):
                return IMPOSSIBLE
            found = PENDING
    return found


def _is_satisfied(job: JobModel, condition: Condition) -> bool:
    if condition is Condition.FINISHED:
        return job.end_state == "finished"
    run = job.last_run
    if run is None:
        return False
    if condition is Condition.SUCCEEDED or run.outcome is not None:
        reached = run.started if condition is Condition.STARTED else run.ready
        return run.outcome == "succeeded" and (condition is Condition.SUCCEEDED or reached is not None)
    since = run.started if condition is Condition.STARTED else run.ready
    return since is not None and run.cancel_requested is None


def _is_impossible(job: JobModel, condition: Condition) -> bool:
    """Return whether only a command can bring it: the job has an end state, or is blocked and no run follows."""
    if job.is_blocked:
        return condition is not Condition.FINISHED and job.follow_up in (FollowUp.NOTHING, FollowUp.REMOVAL)
    return job.end_state != ""
