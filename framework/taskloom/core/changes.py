"""The plan of a reload: its change for each job, made from the old and the new declarations alone.

A plan reads no state of a job, so the thread that requests the reload makes it: comparing ten thousand jobs takes a
tenth of a second, and a stop that comes meanwhile must not wait for that. The lifecycle makes the plan again if the
declarations have changed since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import NamedTuple

from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.graph import find_cycles
from taskloom.core.model import JobSpec
from taskloom.core.policies import Dependency
from taskloom.errors import DependencyCycle, DuplicateJob

__all__ = ["Change", "Declarations", "Plan", "ReloadAction", "compare", "make_plan", "refuse_cycles"]

# The fields that a run is made from: a change of these cannot be applied to a live run.
_NEEDS_NEW_RUN = ("task", "params", "daemon", "runner")
_IGNORED = ("name", "place", "binding", "replica", "replicas", "declared")
_COMPARED = tuple(field.name for field in fields(JobSpec) if field.name not in _IGNORED)
_values_of = attrgetter(*_COMPARED)


@plain_members
class ReloadAction(FastEnum):
    """The action of a reload for one job."""

    ADD = "add"
    """It is new."""
    REMOVE = "remove"
    """It is no longer declared: its run is stopped, and the job is removed."""
    KEEP = "keep"
    """Nothing about it has changed."""
    APPLY = "apply now"
    """The changed fields apply from now on, also to the live run."""
    RESTART = "restart"
    """Its run is stopped by its join policy, and another follows."""


class Change(NamedTuple):
    """One job, the action of a reload for it, and the changed fields that cause it."""

    job: str
    action: ReloadAction
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        because = f" ({', '.join(self.fields)})" if self.fields else ""
        return f"{self.job}: {self.action.value}{because}"


def compare(old: Mapping[str, JobSpec], new: Iterable[JobSpec]) -> list[Change]:
    """Return the changes that lead from `old` to `new`: removals first, then the others in their new order."""
    specs = {spec.name: spec for spec in new}
    changes = [Change(name, ReloadAction.REMOVE) for name in old if name not in specs]
    changes.extend(_compare(old.get(name), spec) for name, spec in specs.items())
    return changes


def _compare(old: JobSpec | None, new: JobSpec) -> Change:
    if old is None:
        return Change(new.name, ReloadAction.ADD)
    changed = _changed_fields(old, new)
    if not changed:
        return Change(new.name, ReloadAction.KEEP)
    needs_new_run = any(name in _NEEDS_NEW_RUN for name in changed)
    return Change(new.name, ReloadAction.RESTART if needs_new_run else ReloadAction.APPLY, changed)


def _changed_fields(old: JobSpec, new: JobSpec) -> tuple[str, ...]:
    before, after = _values_of(old), _values_of(new)
    try:
        # Most of thousands of jobs are the same, and this is five times as fast as one field after another.
        if before == after:
            return ()
    except Exception:  # noqa: BLE001 - as below
        pass
    return tuple(name for name, was, now in zip(_COMPARED, before, after, strict=True) if _differ(was, now))


def _differ(old: object, new: object) -> bool:
    """Return whether two values differ. Params that cannot be compared, such as arrays, differ unless identical."""
    try:
        return bool(old != new)
    except Exception:  # noqa: BLE001 - the method of an object of the program
        return old is not new


class Declarations(NamedTuple):
    """All declarations at one moment. `version` changes with each of them."""

    version: int
    specs: Mapping[str, JobSpec]


class Plan(NamedTuple):
    """The plan of a reload, if the declarations still have this version."""

    version: int
    new: Mapping[str, JobSpec]
    changes: list[Change]


def make_plan(old: Declarations, specs: Sequence[JobSpec]) -> Plan:
    """Return what a reload with these declarations does. Raises DuplicateJob or DependencyCycle."""
    new = _by_name(specs)
    refuse_cycles(new.values())
    return Plan(old.version, new, compare(old.specs, new.values()))


def refuse_cycles(specs: Iterable[JobSpec]) -> None:
    """Raise DependencyCycle if jobs with these declarations would wait for each other."""
    after = _after_by_family(specs)
    for name, names in after.items():
        if name in names:
            raise DependencyCycle([name, name])
    for cycle in find_cycles(after):
        raise DependencyCycle(cycle)


def _by_name(specs: Iterable[JobSpec]) -> dict[str, JobSpec]:
    new: dict[str, JobSpec] = {}
    for spec in specs:
        if spec.name in new:
            raise DuplicateJob(spec.name)
        new[spec.name] = spec
    return new


def _after_by_family(specs: Iterable[JobSpec]) -> dict[str, Sequence[str]]:
    """Return for each declared name the names that its jobs start after."""
    # A removed replica may have other dependencies than those that stay; equal ones are counted once.
    groups: dict[str, dict[tuple[Dependency, ...], None]] = {}
    previous: JobSpec | None = None
    for spec in specs:
        if previous is None or spec.after is not previous.after or spec.family != previous.family:
            groups.setdefault(spec.family, {})[spec.after] = None
        previous = spec
    return {
        family: tuple(dict.fromkeys(dependency.job for after in group for dependency in after))
        for family, group in groups.items()
    }
