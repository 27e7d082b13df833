"""What a job waits for in others: whether it has come true, may still, or no longer can."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from taskloom.core.enums import Word, direct
from taskloom.core.model import JobState, Outcome
from taskloom.core.policies import Condition, Need
from taskloom.core.records import JobRecord, Then

__all__ = ["Standing", "Verdict", "find_cycle", "judge"]


@direct
class Standing(Word):
    """How a dependency stands."""

    MET = "met"
    """It has come true."""
    OPEN = "open"
    """It may yet come true."""
    LOST = "lost"
    """It cannot come true any more, unless a person helps."""


class Verdict(NamedTuple):
    """How a job's dependencies stand together: the first lost one counts, then the first open one."""

    standing: Standing
    text: str = ""
    """What is waited for, or why it is lost."""

    @property
    def is_met(self) -> bool:
        """Tell whether all of them came true."""
        return self.standing is Standing.MET

    @property
    def is_lost(self) -> bool:
        """Tell whether one of them cannot come true any more."""
        return self.standing is Standing.LOST


_MET = Verdict(Standing.MET)


def judge(needs: Sequence[Need], families: Mapping[str, Sequence[JobRecord]]) -> Verdict:
    """Say how the needs stand; `families` has the records of each declared job, replicas together."""
    first_open = _MET
    for need in needs:
        members = families.get(need.job)
        if not members:
            return Verdict(Standing.LOST, f"there is no job {need.job!r}")
        for job in members:
            standing = _stands(job, need.condition)
            if standing is Standing.LOST:
                return Verdict(standing, _why_lost(job, need))
            if standing is Standing.OPEN and first_open is _MET:
                first_open = Verdict(standing, f"job {job.spec.name!r} to be {need.condition.value}")
    return first_open


def _stands(job: JobRecord, condition: Condition) -> Standing:
    if _MET_BY[condition](job):
        return Standing.MET
    if job.state is JobState.BLOCKED:
        # The late exit of its thread ends it, and may release a restart.
        can_come = condition is Condition.FINISHED or job.then not in (Then.NOTHING, Then.REMOVAL)
        return Standing.OPEN if can_come else Standing.LOST
    is_at_rest = job.state in (JobState.FINISHED, JobState.SKIPPED, JobState.DISABLED)
    return Standing.LOST if is_at_rest else Standing.OPEN


def _has_started(job: JobRecord) -> bool:
    run = job.last_run
    return run is not None and run.started is not None and _is_sound(job)


def _is_ready(job: JobRecord) -> bool:
    run = job.last_run
    return run is not None and run.ready is not None and _is_sound(job)


def _is_sound(job: JobRecord) -> bool:
    """Tell whether the last run succeeded, or is going on and nobody asked it to stop."""
    run = job.last_run
    return run is not None and (run.outcome is Outcome.SUCCEEDED or (run.outcome is None and run.asked is None))


def _has_succeeded(job: JobRecord) -> bool:
    return job.last_run is not None and job.last_run.outcome is Outcome.SUCCEEDED


def _has_finished(job: JobRecord) -> bool:
    return job.state is JobState.FINISHED


_MET_BY = {
    Condition.STARTED: _has_started,
    Condition.READY: _is_ready,
    Condition.SUCCEEDED: _has_succeeded,
    Condition.FINISHED: _has_finished,
}


def _why_lost(job: JobRecord, need: Need) -> str:
    name, run = job.spec.name, job.last_run
    if job.state is JobState.FINISHED and run is not None and run.outcome is not None:
        how = f"ended {run.outcome.value}"
    elif job.state is JobState.BLOCKED:
        how = "is blocked"
    else:
        how = f"is {job.state.value}"
    return f"job {name!r} {how}, and was to be {need.condition.value}"


def find_cycle(name: str, needs: Callable[[str], Iterable[str]]) -> list[str]:
    """Return the jobs of a circle through `name`, which is first and last; empty where there is none.

    `needs` returns for a job those that it starts after, and none for a name that is not declared.
    """
    came_from: dict[str, str] = {}
    todo = [name]
    while todo:
        job = todo.pop()
        for need in needs(job):
            if need == name:
                path = [name, job]
                while path[-1] != name:
                    path.append(came_from[path[-1]])
                return path[::-1]
            if need not in came_from:
                came_from[need] = job
                todo.append(need)
    return []
