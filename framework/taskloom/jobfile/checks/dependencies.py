"""Checks of `after` over all jobs together: every dependency must exist, and it must be able to come true.

A dependency that can never come true is an error. One that may still come true, because a person can start a job, is a
warning. Each search covers all jobs at once, because a file may hold tens of thousands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from taskloom.core.graph import find_cycles, stop_levels
from taskloom.core.model import JobSpec, StartMode
from taskloom.core.policies import Condition, Dependency, RestartWhen
from taskloom.diagnostics import FieldError, Problem, Related, near_match
from taskloom.jobfile.declared_job import DeclaredJob
from taskloom.jobfile.fields.after import AFTER, WrittenDependency, written_dependencies
from taskloom.jobfile.fields.spec import JobErrors
from taskloom.text import suggest

__all__ = ["errors_in_dependencies", "warnings_in_dependencies"]

_REPLICA = re.compile(r"(.+)\.\d+", re.ASCII)
_ENDED = (Condition.SUCCEEDED, Condition.FINISHED)
# The limit of near-match comparisons in one load. Each takes microseconds, and one typo in `defaults` or at an anchor
# may be repeated a thousand times.
_MOST_COMPARISONS = 50_000
_MOST_NAMED = 8
# Which jobs must end before which is kept in bits, and this many take 50 MB. No file written by people comes near it.
_MOST_BITS = 400_000_000


def errors_in_dependencies(declared: Sequence[DeclaredJob], names: Iterable[str]) -> Iterator[Problem]:
    """Yield an error for each impossible dependency. `names` are the names of all jobs, valid or not."""
    dependencies = {job.name: list(_dependencies_of(job)) for job in declared if "after" in job.written}
    if not dependencies:
        return
    jobs = {job.name: job for job in declared}
    known = _Names(names)
    for name, written in dependencies.items():
        for dependency in written:
            error, related = _error_in(jobs[name], dependency, jobs, known)
            if error is not None:
                yield jobs[name].error(error, related)
    after = {job.name: [str(each.job) for each in dependencies.get(job.name, ())] for job in declared}
    for cycle in find_cycles(after):
        yield _error_in_cycle(cycle, jobs, dependencies)


def _dependencies_of(job: DeclaredJob) -> Iterator[WrittenDependency]:
    """Yield the dependencies of a job; none if `after` is invalid, which is reported already."""
    try:
        AFTER.read(job.written["after"])
    except JobErrors:
        return
    yield from written_dependencies(job.written["after"])


def _error_in(
    job: DeclaredJob, dependency: WrittenDependency, jobs: Mapping[str, DeclaredJob], known: _Names
) -> tuple[FieldError | None, tuple[Related, ...]]:
    """Return the error in one dependency, if any, and the places that explain it."""
    name = str(dependency.job)
    if name not in known:
        return _unknown_job(dependency, known), ()
    other = jobs.get(name)
    if other is None or other.spec is None or job.spec is None or name == job.name:
        return None, ()
    if other.spec.schedule is not None:
        message = f"cannot start after job {name!r}: it has a schedule, so its runs start and end again and again"
        related = Related(other.place_of("schedule"), "scheduled here")
        return FieldError(dependency.loc, message, "give this job a schedule of its own", dependency.at_key), (related,)
    if job.spec.enabled and not other.spec.enabled:
        message = f"cannot start after job {name!r}: it is disabled, so it never starts"
        related = Related(other.place_of("enabled"), "disabled here")
        return FieldError(dependency.loc, message, "enable it, or disable this job too", dependency.at_key), (related,)
    return None, ()


def _unknown_job(dependency: WrittenDependency, known: _Names) -> FieldError:
    name = str(dependency.job)
    replica = _REPLICA.fullmatch(name)
    if replica and replica[1] in known:
        message = f"cannot wait for {name!r} alone: a dependency means all replicas of a job"
        return FieldError(dependency.loc, message, f"write {replica[1]}", dependency.at_key)
    near = known.near(name)
    message = f"cannot find job {name!r} to start after; {known}"
    return FieldError(dependency.loc, message, suggest(near), dependency.at_key)


class _Names:
    """The names of all jobs."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = dict.fromkeys(names)
        self._comparisons = 0

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __str__(self) -> str:
        if len(self._names) > _MOST_NAMED:
            return f"none of the {len(self._names):,} jobs has that name"
        return f"jobs: {', '.join(self._names)}"

    def near(self, name: str) -> str | None:
        """Return the most similar name, or None if there is none or the comparisons are used up."""
        if self._comparisons >= _MOST_COMPARISONS:
            return None
        self._comparisons += len(self._names)
        return near_match(name, self._names)


def _error_in_cycle(
    cycle: list[str], jobs: Mapping[str, DeclaredJob], dependencies: Mapping[str, list[WrittenDependency]]
) -> Problem:
    found = []
    for name, awaited in pairwise(cycle):
        [dependency] = [each for each in dependencies[name] if each.job == awaited]
        found.append(jobs[name].error(FieldError(dependency.loc, "", at_key=dependency.at_key)))
    shown = cycle if len(cycle) <= 2 * _MOST_NAMED else [*cycle[:_MOST_NAMED], "...", *cycle[-_MOST_NAMED:]]
    message = f"cannot start jobs that wait for each other: {' -> '.join(shown)}"
    related = [Related(each.place, f"job {each.job!r} waits here") for each in found[1:_MOST_NAMED]]
    return found[0]._replace(message=message, related=(*found[0].related, *related))


def warnings_in_dependencies(declared: Sequence[DeclaredJob]) -> Iterator[Problem]:
    """Yield a warning for each job that will not start by itself, or starts too late.

    All jobs must be valid, and there must be no cycle.
    """
    jobs = {job.name: job for job in declared}
    specs = {job.name: job.spec for job in declared if job.spec is not None}
    waiting = [spec for spec in specs.values() if spec.after and spec.enabled]
    for spec in waiting:
        job = jobs[spec.name]
        for written, dependency in zip(_dependencies_of(job), spec.after, strict=True):
            message, field = _obstacle(spec, dependency, specs[dependency.job])
            if message:
                related = Related(jobs[dependency.job].place_of(field), "written here")
                error = FieldError(written.loc[1:], message, at_key=written.at_key)
                yield job.warning("after", error, (related,))
    if waiting:
        yield from _late_daemons({name: spec for name, spec in specs.items() if spec.enabled}, jobs)


def _obstacle(spec: JobSpec, dependency: Dependency, other: JobSpec) -> tuple[str, str]:
    """Return why a dependency is not satisfied by itself, and the field of the other job that causes it."""
    if other.start.mode is StartMode.MANUAL and spec.start.mode is StartMode.AUTO:
        return f"does not start by itself: it waits for job {dependency.job!r}, which has start: manual", "start"
    is_endless = other.restart.when is RestartWhen.ALWAYS and other.restart.limit is None
    if is_endless and dependency.condition is Condition.FINISHED:
        return f"does not start by itself: job {dependency.job!r} is always restarted and so never finished", "restart"
    return "", ""


def _late_daemons(specs: Mapping[str, JobSpec], jobs: Mapping[str, DeclaredJob]) -> Iterator[Problem]:
    """Yield a warning for each daemon job that waits until every job that keeps the program alive has ended."""
    holding = [name for name, spec in specs.items() if not spec.daemon and spec.start.mode is StartMode.AUTO]
    if not holding or len(holding) * len(specs) > _MOST_BITS:
        return
    bits = {name: 1 << number for number, name in enumerate(holding)}
    all_holding = (1 << len(holding)) - 1
    # For each job, the jobs that must have ended before it starts.
    ended: dict[str, int] = {}
    levels = stop_levels({name: [each.job for each in spec.after] for name, spec in specs.items()})
    for name in (name for level in reversed(levels) for name in level):
        before = 0
        for dependency in specs[name].after:
            before |= ended.get(dependency.job, 0)
            if dependency.condition in _ENDED:
                before |= bits.get(dependency.job, 0)
        ended[name] = before
        spec = specs[name]
        if before == all_holding and spec.daemon and spec.start.mode is StartMode.AUTO:
            message = (
                "starts too late: this daemon job waits until all other jobs have ended, and then the program ends"
            )
            yield jobs[name].warning("after", FieldError((), message, at_key=True))
