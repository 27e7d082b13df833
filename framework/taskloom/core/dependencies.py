"""The dependencies between all jobs: who starts after whom, and which of the waiting jobs are decided.

How the state of a dependency is counted is described in `requirements`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count

from taskloom.core.graph import find_cycles
from taskloom.core.model import JobSpec
from taskloom.core.policies import Dependency
from taskloom.core.records import JobRecord
from taskloom.core.requirements import DependencyState, Dependents, Family

__all__ = ["Dependencies"]


class Dependencies:
    """All declared names, and the jobs that start after them."""

    def __init__(self) -> None:
        self.families: dict[str, Family] = {}
        """Each name that is declared or that a job starts after."""
        self._dependents: dict[tuple[Dependency, ...], Dependents] = {}
        # Those of the job that was declared last. Replicas share one tuple, which may be long, so it is not hashed for
        # each of them.
        self._latest: Dependents | None = None
        self._order = count()

    # -- declarations

    def add(self, job: JobRecord) -> None:
        """Take in a job that is declared."""
        family = job.family = self._family(job.spec.family)
        family.members[job.spec.name] = job
        family.refresh(job)
        job.order = next(self._order)
        self._join(job)

    def remove(self, job: JobRecord) -> None:
        """Drop a job that is removed."""
        self._leave(job)
        family = job.family
        del family.members[job.spec.name]
        for requirement in family.requirements.values():
            requirement.remove(job)
        self._drop_unused(family)

    def replace(self, job: JobRecord) -> None:
        """Take in a job whose declaration was replaced; it is then the last in the order of the declarations."""
        family = job.family
        if family.name != job.spec.family:
            self.remove(job)
            self.add(job)
            return
        job.order = next(self._order)
        del family.members[job.spec.name]
        family.members[job.spec.name] = job
        del self.families[family.name]
        self.families[family.name] = family
        for requirement in family.requirements.values():
            requirement.reorder()
        if job.dependencies.after != job.spec.after:
            self._leave(job)
            self._join(job)

    def _family(self, name: str) -> Family:
        family = self.families.get(name)
        if family is None:
            family = self.families[name] = Family(name)
        return family

    def _join(self, job: JobRecord) -> None:
        after, latest = job.spec.after, self._latest
        is_same = latest is not None and latest.after is after and latest.jobs > 0
        dependents = latest if is_same else self._dependents.get(after)
        if dependents is None:
            # A set: one dependency may be listed twice.
            needed = dict.fromkeys((dependency.job, dependency.condition) for dependency in after)
            requirements = tuple(self._family(name).require(condition) for name, condition in needed)
            dependents = self._dependents[after] = Dependents(after, requirements)
        dependents.jobs += 1
        job.dependencies = self._latest = dependents
        if job.waits_for_dependencies:
            dependents.waiting[job] = None
            dependents.announce()

    def _leave(self, job: JobRecord) -> None:
        dependents = job.dependencies
        dependents.waiting.pop(job, None)
        dependents.jobs -= 1
        if dependents.jobs:
            return
        del self._dependents[dependents.after]
        for requirement in dependents.requirements:
            family = requirement.family
            del requirement.dependents[dependents]
            family.decided.pop(dependents, None)
            if not requirement.dependents:
                del family.requirements[requirement.condition]
                self._drop_unused(family)

    def _drop_unused(self, family: Family) -> None:
        if not family.members and not family.requirements:
            self.families.pop(family.name, None)

    # -- queries

    def decided_dependents(self, job: JobRecord) -> Iterator[JobRecord]:
        """Yield the jobs that wait for this one (and others) and are decided, in the order of their declarations.

        The caller acts on each before it takes the next: that may decide further ones, which are visited if they come
        later in the order. The others are decided by a job that has changed too, so the caller visits its dependents.
        """
        decided, latest = job.family.decided, -1
        orders: list[int] = []
        found: dict[int, JobRecord] = {}
        while True:
            while decided:
                for dependent in decided.popitem()[0].waiting:
                    if dependent.order > latest and dependent.order not in found:
                        found[dependent.order] = dependent
                        heappush(orders, dependent.order)
            if not orders:
                return
            latest = heappop(orders)
            dependent = found[latest]
            if dependent.waits_for_dependencies and dependent.dependencies.state is not DependencyState.PENDING:
                yield dependent

    def after(self) -> dict[str, Sequence[str]]:
        """Return for each declared name the names that it starts after; they may be undeclared."""
        return {name: tuple(family.after) for name, family in self.families.items() if family.members}

    def find_cycle(self, specs: Iterable[JobSpec]) -> list[str]:
        """Return a cycle that these new jobs would close, or an empty list; its first name comes last as well.

        Only what the new jobs can reach is searched, and nothing if no job starts after one of them. So a chain of any
        length may be added job by job.
        """
        added: dict[str, tuple[Dependency, ...]] = {}
        for spec in specs:
            # Most jobs have no dependencies.
            if spec.after and not self._is_known(spec) and added.get(spec.family) is not spec.after:
                added[spec.family] = (*added.get(spec.family, ()), *spec.after) if spec.family in added else spec.after
        if not added:
            return []
        awaited = {dependency.job for dependencies in added.values() for dependency in dependencies}
        # Reversed: a cycle is shown from the job that closes it, which is usually the last.
        names = [name for name in reversed(added) if name in awaited or self._has_dependents(name)]
        after = {name: self._after(name, added.get(name, ())) for name in names}
        reached = [other for others in after.values() for other in others]
        while reached:
            name = reached.pop()
            if name not in after:
                after[name] = self._after(name, added.get(name, ()))
                reached.extend(after[name])
        for name, others in after.items():
            if name in others:
                return [name, name]
        return next(find_cycles({name: tuple(others) for name, others in after.items()}), [])

    def _after(self, name: str, added: tuple[Dependency, ...]) -> dict[str, None]:
        family = self.families.get(name)
        return (family.after if family is not None else {}) | dict.fromkeys(dependency.job for dependency in added)

    def _is_known(self, spec: JobSpec) -> bool:
        """Return whether the last job of the same declared name has these dependencies too, as a replica has."""
        family = self.families.get(spec.family)
        last = next(reversed(family.members.values()), None) if family is not None else None
        return last is not None and last.dependencies.after == spec.after

    def _has_dependents(self, name: str) -> bool:
        family = self.families.get(name)
        return family is not None and bool(family.requirements)
