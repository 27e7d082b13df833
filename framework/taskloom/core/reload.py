"""New declarations in the place of old ones: what changes for which job, and how it is carried out.

All or nothing: what cannot be is refused before anything changes. A job whose declaration is the same keeps its
run; one whose policies changed keeps it too, under the new ones; only what a run was made from restarts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import NamedTuple

from taskloom.core import actions
from taskloom.core.dependencies import find_cycle
from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.events import EventName
from taskloom.core.graph import stop_levels
from taskloom.core.model import JobSpec, JobState, Reason, ReasonKind, WaitingFor
from taskloom.core.records import FollowUp, JobRecord
from taskloom.core.starting import Supervision
from taskloom.core.stopping import StopSequence
from taskloom.core.store import JobStore
from taskloom.core.transitions import Trigger
from taskloom.errors import DependencyCycle, DuplicateJob

__all__ = ["Change", "ReloadAction", "Reloader", "compare"]

# What a run is made from: a change of these cannot reach a run that goes on.
_MAKING = ("task", "params", "daemon", "runner")
_OVER = (JobState.FINISHED, JobState.SKIPPED)
_IGNORED = ("name", "place", "binding", "replica", "replicas", "declared")


@plain_members
class ReloadAction(FastEnum):
    """What a reload does with a job."""

    ADD = "add"
    """It is new."""
    REMOVE = "remove"
    """It is gone: its run is stopped, and it is forgotten."""
    KEEP = "keep"
    """Nothing about it has changed."""
    APPLY = "apply now"
    """The changed fields hold from now on, for the live run too."""
    RESTART = "restart"
    """Its run is stopped by its policies, and another follows."""


class Change(NamedTuple):
    """What a reload does with one job, and the fields that cause it."""

    job: str
    action: ReloadAction
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        because = f" ({', '.join(self.fields)})" if self.fields else ""
        return f"{self.job}: {self.action.value}{because}"


def compare(old: Mapping[str, JobSpec], new: Iterable[JobSpec]) -> list[Change]:
    """Say what putting `new` in the place of `old` does with each job: removals first, then in their new order."""
    specs = {spec.name: spec for spec in new}
    changes = [Change(name, ReloadAction.REMOVE) for name in old if name not in specs]
    changes.extend(_compare(old.get(name), spec) for name, spec in specs.items())
    return changes


def _compare(old: JobSpec | None, new: JobSpec) -> Change:
    if old is None:
        return Change(new.name, ReloadAction.ADD)
    changed = tuple(
        field.name
        for field in fields(JobSpec)
        if field.name not in _IGNORED and getattr(old, field.name) != getattr(new, field.name)
    )
    if not changed:
        return Change(new.name, ReloadAction.KEEP)
    is_new_making = any(name in _MAKING for name in changed)
    return Change(new.name, ReloadAction.RESTART if is_new_making else ReloadAction.APPLY, changed)


class Reloader:
    """Carries a reload out."""

    def __init__(self, store: JobStore, stops: StopSequence, supervision: Supervision) -> None:
        self._store = store
        self._stops = stops
        self._supervision = supervision
        self.changes: list[Change] = []
        """What the last one did."""
        # What is new or begins again; started last of all, for what a job needs may begin again as well.
        self._to_arm: list[JobRecord] = []

    def preview(self, specs: Iterable[JobSpec]) -> list[Change]:
        """Say what a reload would do. Raises DuplicateJob or DependencyCycle."""
        new = _by_name(specs)
        # A job that is taken away is still waited for while it stops.
        leaving = (job.spec for job in self._store.jobs.values() if job.run is not None)
        families = {spec.family: spec for specs in (leaving, new.values()) for spec in specs}
        _refuse_circles({name: [need.job for need in spec.after] for name, spec in families.items()})
        return compare({name: job.spec for name, job in self._store.jobs.items()}, new.values())

    def reload(self, specs: Iterable[JobSpec], *, has_started: bool) -> None:
        """Do it. Raises DuplicateJob or DependencyCycle, and has changed nothing then."""
        new = _by_name(specs)
        changes = self.changes = self.preview(new.values())
        self._store.emit(EventName.RELOADED, data=_told(changes))
        # All declarations before the first consequence: nobody is skipped for a job that is gone from a list of
        # needs which is gone as well.
        for change in changes:
            if change.action is ReloadAction.ADD:
                self._store.declare(new[change.job])
            elif change.action is not ReloadAction.REMOVE:
                self._store.redeclare(self._store.jobs[change.job], new[change.job])
        for change in changes:
            if change.action is ReloadAction.REMOVE:
                self._remove(self._store.jobs[change.job])
        self._to_arm = []
        for change in changes:
            job = self._store.jobs.get(change.job)
            if job is not None and change.action is not ReloadAction.REMOVE:
                self._carry_out(job, change)
        for job in self._to_arm:
            if has_started and job.may_autostart:
                self._supervision.arm(job)
        for job in list(self._store.jobs.values()):
            if job.waiting_for is WaitingFor.DEPENDENCY:
                self._supervision.check_dependencies(job)

    def _carry_out(self, job: JobRecord, change: Change) -> None:
        if change.action is ReloadAction.ADD:
            self._to_arm.append(job)
        elif job.follow_up is FollowUp.REMOVAL:
            self._come_back(job)
        elif change.action is ReloadAction.APPLY:
            self._apply(job, change)
        elif change.action is ReloadAction.RESTART:
            self._restart(job, change)

    def _remove(self, job: JobRecord) -> None:
        self._stops.stop(job, Reason(ReasonKind.RELOAD, "no longer declared"))
        if job.run is not None:
            job.follow_up = FollowUp.REMOVAL
        else:
            self._supervision.remove(job)

    def _apply(self, job: JobRecord, change: Change) -> None:
        """Have the new policies hold, for the live run too."""
        run, spec = job.run, job.spec
        if "enabled" in change.fields:
            self._switch(job)
            return
        if run is not None and run.outcome is None:
            run.spec = spec
            self._supervision.set_limits(run)
            self._store.actions.append(actions.ApplySpec(run.id, spec))
        if "schedule" in change.fields:
            self._reschedule(job)
        elif "after" in change.fields and job.state is JobState.SKIPPED and _was_lost(job):
            self._begin_again(job)
        elif "start" in change.fields:
            self._to_arm.append(job)

    def _reschedule(self, job: JobRecord) -> None:
        """Have the new schedule count from now on, where the old one was armed or would be."""
        was_armed = job.next_firing is not None
        job.next_firing = None
        is_going_on = job.waiting_for is WaitingFor.BACKOFF or (
            job.run is not None and job.follow_up is not FollowUp.NOTHING
        )
        if job.spec.schedule is None:
            if job.waiting_for is WaitingFor.FIRING:
                self._stops.stop(job, Reason(ReasonKind.RELOAD, "it has no schedule any more"))
        elif was_armed or is_going_on:
            is_armed = self._supervision.timers.arm(job, job.spec.schedule)
            if not is_armed and job.waiting_for is WaitingFor.FIRING:
                self._supervision.schedule_exhausted(job)
        elif job.state in _OVER:
            self._begin_again(job)

    def _restart(self, job: JobRecord, change: Change) -> None:
        reason = Reason(ReasonKind.RELOAD, f"{', '.join(change.fields)} changed")
        if "enabled" in change.fields:
            self._switch(job)
        elif job.run is not None:
            if not _is_to_stay_stopped(job):
                job.follow_up = FollowUp.RESTART
            self._stops.request(job.run, reason)
            if "schedule" in change.fields:
                self._reschedule(job)
        elif job.state in _OVER:
            self._begin_again(job)
        elif "schedule" in change.fields:
            self._reschedule(job)

    def _begin_again(self, job: JobRecord) -> None:
        """Treat a job that is over as a new one: whoever mends its params wants to see it run."""
        self._store.move(job, Trigger.RELOADED, JobState.WAITING, WaitingFor.START)
        self._to_arm.append(job)

    def _switch(self, job: JobRecord) -> None:
        """Switch a job on or off."""
        if job.spec.enabled:
            if job.state is JobState.DISABLED:
                self._begin_again(job)
            else:
                self._come_back(job)
            return
        self._stops.stop(job, Reason(ReasonKind.RELOAD, "it was disabled"))
        if job.run is None:
            self._store.move(job, Trigger.RELOADED, JobState.DISABLED)

    def _come_back(self, job: JobRecord) -> None:
        """Treat a job as kept that was taken away or switched off, and is back before its run has stopped."""
        job.follow_up = FollowUp.NOTHING
        if job.spec.enabled and not _was_stopped_by_person(job):
            if job.spec.schedule is None:
                job.follow_up = FollowUp.RESTART
            else:
                self._supervision.rearm(job)


def _by_name(specs: Iterable[JobSpec]) -> dict[str, JobSpec]:
    new: dict[str, JobSpec] = {}
    for spec in specs:
        if spec.name in new:
            raise DuplicateJob(spec.name)
        new[spec.name] = spec
    return new


def _refuse_circles(needs: Mapping[str, Sequence[str]]) -> None:
    try:
        stop_levels(needs)
    except ValueError:
        for name in needs:
            circle = find_cycle(name, lambda job: needs.get(job, ()))
            if circle:
                raise DependencyCycle(circle) from None
        raise


def _was_lost(job: JobRecord) -> bool:
    """Tell whether a skipped job waited for what could not come true any more."""
    return job.reason is not None and job.reason.kind is ReasonKind.DEPENDENCY


def _was_stopped_by_person(job: JobRecord) -> bool:
    return job.run is not None and job.run.reason is not None and job.run.reason.kind is ReasonKind.USER


def _is_to_stay_stopped(job: JobRecord) -> bool:
    """Tell whether no run is to follow though the declaration changed: a stop by a person wins."""
    if not job.spec.enabled:
        return True
    return job.follow_up is FollowUp.NOTHING and (job.state is JobState.STOPPING or _was_stopped_by_person(job))


def _told(changes: Iterable[Change]) -> dict[str, list[str]]:
    told: dict[str, list[str]] = {
        verdict.value.split()[0]: [] for verdict in ReloadAction if verdict is not ReloadAction.KEEP
    }
    for change in changes:
        if change.action is not ReloadAction.KEEP:
            told[change.action.value.split()[0]].append(change.job)
    return told
