"""What can only be told of all jobs together: that what a job waits for is there, and can come.

Rules: mistakes refuse the files; what may yet work, because somebody can help by hand, is a warning. Every walk is
over all jobs at once, since a file may hold tens of thousands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from taskloom.core.graph import find_cycles, stop_levels
from taskloom.core.model import JobSpec, StartMode
from taskloom.core.policies import Condition, Dependency, RestartWhen
from taskloom.diagnostics import FieldError, Problem, Related, near_match
from taskloom.jobfile.declared_job import Declared
from taskloom.jobfile.fields.after import WrittenNeed, read_after, written_needs
from taskloom.jobfile.fields.validators import JobErrors
from taskloom.text import suggest

__all__ = ["errors_in_dependencies", "warnings_in_dependencies"]

_REPLICA = re.compile(r"(.+)\.\d+", re.ASCII)
_ENDED = (Condition.SUCCEEDED, Condition.FINISHED)
# All comparisons with names that look alike, of one load: each costs microseconds, and a typo in `defaults` or an
# anchor may be a thousand typos.
_MOST_COMPARISONS = 50_000
_MOST_NAMED = 8
# Who needs whom is kept in bits: so many are 50 MB. No file that people write comes near.
_MOST_BITS = 400_000_000


def errors_in_dependencies(declared: Sequence[Declared], names: Iterable[str]) -> Iterator[Problem]:
    """Yield an error for each dependency that cannot be; `names` are those of all jobs, sound or not."""
    needs = {job.name: list(_needs_of(job)) for job in declared if "after" in job.written}
    if not needs:
        return
    jobs = {job.name: job for job in declared}
    known = _Names(names)
    for name, written in needs.items():
        for need in written:
            mistake, related = _wrong(jobs[name], need, jobs, known)
            if mistake is not None:
                yield jobs[name].error(mistake, related)
    after = {job.name: [str(need.job) for need in needs.get(job.name, ())] for job in declared}
    for circle in find_cycles(after):
        yield _circular(circle, jobs, needs)


def _needs_of(job: Declared) -> Iterator[WrittenNeed]:
    """Yield the dependencies of a job; none where they cannot be read, which is said already."""
    try:
        read_after(job.written["after"])
    except JobErrors:
        return
    yield from written_needs(job.written["after"])


def _wrong(
    job: Declared, need: WrittenNeed, jobs: Mapping[str, Declared], known: _Names
) -> tuple[FieldError | None, tuple[Related, ...]]:
    """Return what is wrong with one dependency, and what explains it; None where nothing is."""
    name = str(need.job)
    if name not in known:
        return _unknown(need, known), ()
    other = jobs.get(name)
    if other is None or other.spec is None or job.spec is None or name == job.name:
        return None, ()
    if other.spec.schedule is not None:
        message = f"cannot start after job {name!r}: it has a schedule, so its runs come and go"
        related = Related(other.place_of("schedule"), "scheduled here")
        return FieldError(need.loc, message, "give this job a schedule of its own", need.at_key), (related,)
    if job.spec.enabled and not other.spec.enabled:
        message = f"cannot start after job {name!r}: it is disabled, so it never starts"
        related = Related(other.place_of("enabled"), "disabled here")
        return FieldError(need.loc, message, "enable it, or disable this job too", need.at_key), (related,)
    return None, ()


def _unknown(need: WrittenNeed, known: _Names) -> FieldError:
    name = str(need.job)
    replica = _REPLICA.fullmatch(name)
    if replica and replica[1] in known:
        message = f"cannot wait for {name!r} alone: a job is waited for with all of its replicas"
        return FieldError(need.loc, message, f"write {replica[1]}", need.at_key)
    message = f"cannot find job {name!r} to start after; {known}"
    return FieldError(need.loc, message, suggest(known.near(name)), need.at_key)


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
        """Return the name that was meant, as long as looking for it does not take too long."""
        if self._comparisons >= _MOST_COMPARISONS:
            return None
        self._comparisons += len(self._names)
        return near_match(name, self._names)


def _circular(circle: list[str], jobs: Mapping[str, Declared], needs: Mapping[str, list[WrittenNeed]]) -> Problem:
    """Return the error of jobs that wait for each other, at the first of them."""
    found = []
    for name, awaited in pairwise(circle):
        [need] = [need for need in needs[name] if need.job == awaited]
        found.append(jobs[name].error(FieldError(need.loc, "", at_key=need.at_key)))
    shown = circle if len(circle) <= 2 * _MOST_NAMED else [*circle[:_MOST_NAMED], "...", *circle[-_MOST_NAMED:]]
    message = f"cannot start jobs that wait for each other: {' -> '.join(shown)}"
    related = [Related(each.place, f"job {each.job!r} waits here") for each in found[1:_MOST_NAMED]]
    return found[0]._replace(message=message, related=(*found[0].related, *related))


def warnings_in_dependencies(declared: Sequence[Declared]) -> Iterator[Problem]:
    """Yield a warning for each job that would not start by itself, or too late. All must be sound, without circles."""
    jobs = {job.name: job for job in declared}
    specs = {job.name: job.spec for job in declared if job.spec is not None}
    waiting = [spec for spec in specs.values() if spec.after and spec.enabled]
    for spec in waiting:
        job = jobs[spec.name]
        for written, need in zip(_needs_of(job), spec.after, strict=True):
            mistake, field = _doubt(spec, need, specs[need.job])
            if mistake:
                related = Related(jobs[need.job].place_of(field), "written here")
                where = FieldError(written.loc[1:], mistake, at_key=written.at_key)
                yield job.warning("after", where, (related,))
    if waiting:
        yield from _too_late({name: spec for name, spec in specs.items() if spec.enabled}, jobs)


def _doubt(spec: JobSpec, need: Dependency, other: JobSpec) -> tuple[str, str]:
    """Return why a dependency will not come true by itself, and the field of the other job that says so."""
    if other.start.mode is StartMode.MANUAL and spec.start.mode is StartMode.AUTO:
        return f"cannot start before somebody starts job {need.job!r}, which has start: manual", "start"
    forever = other.restart.when is RestartWhen.ALWAYS and other.restart.limit is None
    if forever and need.condition is Condition.FINISHED:
        return f"cannot expect job {need.job!r} to be finished: it is always restarted", "restart"
    return "", ""


def _too_late(specs: Mapping[str, JobSpec], jobs: Mapping[str, Declared]) -> Iterator[Problem]:
    """Yield a warning for each daemon job that waits for the end of all that keeps the program alive."""
    holding = [name for name, spec in specs.items() if not spec.daemon and spec.start.mode is StartMode.AUTO]
    if not holding or len(holding) * len(specs) > _MOST_BITS:
        return
    bits = {name: 1 << number for number, name in enumerate(holding)}
    everybody = (1 << len(holding)) - 1
    # For each job, who must have ended when it starts.
    ended: dict[str, int] = {}
    for level in reversed(stop_levels({name: [need.job for need in spec.after] for name, spec in specs.items()})):
        for name in level:
            before = 0
            for need in specs[name].after:
                before |= ended.get(need.job, 0)
                if need.condition in _ENDED:
                    before |= bits.get(need.job, 0)
            ended[name] = before
            spec = specs[name]
            if before == everybody and spec.daemon and spec.start.mode is StartMode.AUTO:
                message = (
                    "cannot start in time: this daemon job waits until every other job has ended, and then the "
                    "program ends"
                )
                yield jobs[name].warning("after", FieldError((), message, at_key=True))
