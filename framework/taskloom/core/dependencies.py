"""Evaluate the dependencies of a job: each is satisfied, pending, or has become impossible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.model import JobState, Outcome
from taskloom.core.policies import Condition, Dependency
from taskloom.core.records import FollowUp, JobRecord

__all__ = ["DependencyState", "DependencyStatus", "evaluate"]


@plain_members
class DependencyState(FastEnum):
    """The state of a dependency."""

    SATISFIED = "met"
    """Its condition is true."""
    PENDING = "open"
    """Its condition may yet become true."""
    IMPOSSIBLE = "lost"
    """Its condition cannot become true unless a user intervenes."""


class DependencyStatus(NamedTuple):
    """The state of all dependencies of a job: the first impossible one decides, then the first pending one."""

    state: DependencyState
    text: str = ""
    """Which condition is pending, or why it is impossible."""


_SATISFIED = DependencyStatus(DependencyState.SATISFIED)


def evaluate(dependencies: Sequence[Dependency], families: Mapping[str, Sequence[JobRecord]]) -> DependencyStatus:
    """Return the state of the dependencies; `families` has the records of each declared job, replicas together."""
    found = _SATISFIED
    for dependency in dependencies:
        members = families.get(dependency.job)
        if not members:
            return DependencyStatus(DependencyState.IMPOSSIBLE, f"there is no job {dependency.job!r}")
        for job in members:
            state = _state_of(job, dependency.condition)
            if state is DependencyState.IMPOSSIBLE:
                return DependencyStatus(state, _why_impossible(job, dependency))
            if state is DependencyState.PENDING and found is _SATISFIED:
                found = DependencyStatus(state, f"job {job.spec.name!r} to be {dependency.condition.value}")
    return found


def _state_of(job: JobRecord, condition: Condition) -> DependencyState:
    if _is_satisfied(job, condition):
        return DependencyState.SATISFIED
    if job.state is JobState.BLOCKED:
        # When its thread exits, the job finishes or begins another run.
        is_possible = condition is Condition.FINISHED or job.follow_up not in (FollowUp.NOTHING, FollowUp.REMOVAL)
        return DependencyState.PENDING if is_possible else DependencyState.IMPOSSIBLE
    is_over = job.state in (JobState.FINISHED, JobState.SKIPPED, JobState.DISABLED)
    return DependencyState.IMPOSSIBLE if is_over else DependencyState.PENDING


def _is_satisfied(job: JobRecord, condition: Condition) -> bool:
    run = job.last_run
    if condition is Condition.FINISHED:
        return job.state is JobState.FINISHED
    if run is None:
        return False
    if condition is Condition.SUCCEEDED:
        return run.outcome is Outcome.SUCCEEDED
    since = run.started if condition is Condition.STARTED else run.ready
    # A run that failed, or was requested to stop, counts no longer.
    is_sound = run.outcome is Outcome.SUCCEEDED or (run.outcome is None and run.requested is None)
    return since is not None and is_sound


def _why_impossible(job: JobRecord, dependency: Dependency) -> str:
    name, run = job.spec.name, job.last_run
    if job.state is JobState.FINISHED and run is not None and run.outcome is not None:
        how = f"ended {run.outcome.value}"
    elif job.state is JobState.BLOCKED:
        how = "is blocked"
    else:
        how = f"is {job.state.value}"
    return f"job {name!r} {how}, and was to be {dependency.condition.value}"
