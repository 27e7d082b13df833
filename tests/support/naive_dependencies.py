"""The dependencies of jobs, evaluated from the start each time: what the counts of the core must agree with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from taskloom.core.model import JobState, Outcome
from taskloom.core.policies import Condition
from taskloom.core.records import FollowUp, JobRecord

__all__ = ["IMPOSSIBLE", "PENDING", "SATISFIED", "decided_dependents", "evaluate"]

SATISFIED, PENDING, IMPOSSIBLE = "met", "open", "lost"
OVER = (JobState.FINISHED, JobState.SKIPPED, JobState.DISABLED)


def evaluate(job: JobRecord, jobs: Iterable[JobRecord]) -> tuple[str, str]:
    """Return the state of a job's dependencies, and the text that explains it; `jobs` are all jobs as declared."""
    found = (SATISFIED, "")
    for dependency in job.spec.after:
        members = [each for each in jobs if each.spec.family == dependency.job]
        if not members:
            return IMPOSSIBLE, f"there is no job {dependency.job!r}"
        for member in members:
            state = _state_of(member, dependency.condition)
            if state == IMPOSSIBLE:
                return (
                    IMPOSSIBLE,
                    f"job {member.spec.name!r} {_how(member)}, and was to be {dependency.condition.value}",
                )
            if state == PENDING and found[0] == SATISFIED:
                found = (PENDING, f"job {member.spec.name!r} to be {dependency.condition.value}")
    return found


def decided_dependents(job: JobRecord, jobs: Mapping[str, JobRecord]) -> Iterator[JobRecord]:
    """Yield the jobs that wait for this one and whose dependencies are decided when it is their turn."""
    in_order = sorted(jobs.values(), key=lambda each: each.order)
    for dependent in in_order:
        awaits = any(dependency.job == job.spec.family for dependency in dependent.spec.after)
        if awaits and dependent.waits_for_dependencies and evaluate(dependent, in_order)[0] != PENDING:
            yield dependent


def _state_of(job: JobRecord, condition: Condition) -> str:
    if _is_satisfied(job, condition):
        return SATISFIED
    if job.state is JobState.BLOCKED:
        will_go_on = job.follow_up not in (FollowUp.NOTHING, FollowUp.REMOVAL)
        return PENDING if will_go_on or condition is Condition.FINISHED else IMPOSSIBLE
    return IMPOSSIBLE if job.state in OVER else PENDING


def _is_satisfied(job: JobRecord, condition: Condition) -> bool:
    run = job.last_run
    if condition is Condition.FINISHED:
        return job.state is JobState.FINISHED
    if run is None or (run.outcome is None and run.requested is not None and condition is not Condition.SUCCEEDED):
        return False
    if run.outcome not in (None, Outcome.SUCCEEDED):
        return False
    if condition is Condition.SUCCEEDED:
        return run.outcome is Outcome.SUCCEEDED
    return (run.started if condition is Condition.STARTED else run.ready) is not None


def _how(job: JobRecord) -> str:
    if job.state is JobState.FINISHED and job.last_run is not None and job.last_run.outcome is not None:
        return f"ended {job.last_run.outcome.value}"
    return "is blocked" if job.state is JobState.BLOCKED else f"is {job.state.value}"
