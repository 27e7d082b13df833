"""What a job waits for in others: whether it has come true, may still, or no longer can."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.model import JobState, Outcome
from taskloom.core.policies import Condition, Dependency
from taskloom.core.records import FollowUp, JobRecord

__all__ = ["DependencyState", "DependencyStatus", "evaluate", "find_cycle"]


@plain_members
class DependencyState(FastEnum):
    """How a dependency stands."""

    SATISFIED = "met"
    """It has come true."""
    PENDING = "open"
    """It may yet come true."""
    IMPOSSIBLE = "lost"
    """It cannot come true any more, unless a person helps."""


class DependencyStatus(NamedTuple):
    """How a job's dependencies stand together: the first lost one counts, then the first open one."""

    state: DependencyState
    text: str = ""
    """What is waited for, or why it is lost."""

    @property
    def is_satisfied(self) -> bool:
        """Tell whether all of them came true."""
        return self.state is DependencyState.SATISFIED

    @property
    def is_impossible(self) -> bool:
        """Tell whether one of them cannot come true any more."""
        return self.state is DependencyState.IMPOSSIBLE


_SATISFIED = DependencyStatus(DependencyState.SATISFIED)


def evaluate(dependencies: Sequence[Dependency], families: Mapping[str, Sequence[JobRecord]]) -> DependencyStatus:
    """Say how the needs stand; `families` has the records of each declared job, replicas together."""
    first_open = _SATISFIED
    for need in dependencies:
        members = families.get(need.job)
        if not members:
            return DependencyStatus(DependencyState.IMPOSSIBLE, f"there is no job {need.job!r}")
        for job in members:
            standing = _state_of(job, need.condition)
            if standing is DependencyState.IMPOSSIBLE:
                return DependencyStatus(standing, _why_impossible(job, need))
            if standing is DependencyState.PENDING and first_open is _SATISFIED:
                first_open = DependencyStatus(standing, f"job {job.spec.name!r} to be {need.condition.value}")
    return first_open


def _state_of(job: JobRecord, condition: Condition) -> DependencyState:
    if _SATISFIED_BY[condition](job):
        return DependencyState.SATISFIED
    if job.state is JobState.BLOCKED:
        # The late exit of its thread ends it, and may release a restart.
        can_come = condition is Condition.FINISHED or job.follow_up not in (FollowUp.NOTHING, FollowUp.REMOVAL)
        return DependencyState.PENDING if can_come else DependencyState.IMPOSSIBLE
    is_at_rest = job.state in (JobState.FINISHED, JobState.SKIPPED, JobState.DISABLED)
    return DependencyState.IMPOSSIBLE if is_at_rest else DependencyState.PENDING


def _has_started(job: JobRecord) -> bool:
    run = job.last_run
    return run is not None and run.started is not None and _is_sound(job)


def _is_ready(job: JobRecord) -> bool:
    run = job.last_run
    return run is not None and run.ready is not None and _is_sound(job)


def _is_sound(job: JobRecord) -> bool:
    """Tell whether the last run succeeded, or is going on and nobody asked it to stop."""
    run = job.last_run
    return run is not None and (run.outcome is Outcome.SUCCEEDED or (run.outcome is None and run.requested is None))


def _has_succeeded(job: JobRecord) -> bool:
    return job.last_run is not None and job.last_run.outcome is Outcome.SUCCEEDED


def _has_finished(job: JobRecord) -> bool:
    return job.state is JobState.FINISHED


_SATISFIED_BY = {
    Condition.STARTED: _has_started,
    Condition.READY: _is_ready,
    Condition.SUCCEEDED: _has_succeeded,
    Condition.FINISHED: _has_finished,
}


def _why_impossible(job: JobRecord, need: Dependency) -> str:
    name, run = job.spec.name, job.last_run
    if job.state is JobState.FINISHED and run is not None and run.outcome is not None:
        how = f"ended {run.outcome.value}"
    elif job.state is JobState.BLOCKED:
        how = "is blocked"
    else:
        how = f"is {job.state.value}"
    return f"job {name!r} {how}, and was to be {need.condition.value}"


def find_cycle(name: str, dependencies_of: Callable[[str], Iterable[str]]) -> list[str]:
    """Return the jobs of a circle through `name`, which is first and last; empty where there is none.

    `needs` returns for a job those that it starts after, and none for a name that is not declared.
    """
    came_from: dict[str, str] = {}
    todo = [name]
    while todo:
        job = todo.pop()
        for need in dependencies_of(job):
            if need == name:
                path = [name, job]
                while path[-1] != name:
                    path.append(came_from[path[-1]])
                return path[::-1]
            if need not in came_from:
                came_from[need] = job
                todo.append(need)
    return []
