"""Replace the declarations of all jobs: what changes for which job, and how it is applied.

All or nothing: an invalid set is refused before anything changes. A job whose declaration is the same keeps its run. A
job whose policies changed keeps it too, under the new policies. Only a change of what a run is made from restarts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import NamedTuple

from taskloom.core import actions
from taskloom.core.after_run import FollowUps
from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.events import EventName
from taskloom.core.graph import find_cycles
from taskloom.core.model import JobSpec, JobState, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import Dependency, RestartWhen
from taskloom.core.records import FollowUp, JobRecord
from taskloom.core.resetting import Resetter, may_fix
from taskloom.core.starting import Starter
from taskloom.core.stopping import StopSequence
from taskloom.core.store import JobStore
from taskloom.core.transitions import Decision
from taskloom.errors import DependencyCycle, DuplicateJob

__all__ = ["Change", "ReloadAction", "Reloader", "compare"]

# The fields that a run is made from: a change of these cannot be applied to a live run.
_NEEDS_NEW_RUN = ("task", "params", "daemon", "runner")
_OVER = (JobState.FINISHED, JobState.SKIPPED)
_IGNORED = ("name", "place", "binding", "replica", "replicas", "declared")


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
    changed = tuple(
        field.name
        for field in fields(JobSpec)
        if field.name not in _IGNORED and _differ(getattr(old, field.name), getattr(new, field.name))
    )
    if not changed:
        return Change(new.name, ReloadAction.KEEP)
    needs_new_run = any(name in _NEEDS_NEW_RUN for name in changed)
    return Change(new.name, ReloadAction.RESTART if needs_new_run else ReloadAction.APPLY, changed)


def _differ(old: object, new: object) -> bool:
    """Return whether two values differ. Params that cannot be compared, such as arrays, differ unless identical."""
    try:
        return bool(old != new)
    except Exception:  # noqa: BLE001 - the method of an object of the program
        return old is not new


class Reloader:
    """Applies new declarations."""

    def __init__(
        self, store: JobStore, stops: StopSequence, starter: Starter, follow_ups: FollowUps, resetter: Resetter
    ) -> None:
        self._store = store
        self._resetter = resetter
        self._stops = stops
        self._starter = starter
        self._follow_ups = follow_ups
        self.changes: list[Change] = []
        """The changes of the last reload, one for each job."""
        # The jobs that are new or begin again; a blocked one does when its thread exits. They are started last, since
        # their dependencies may begin again too.
        self._begun: list[JobRecord] = []

    def preview(self, specs: Iterable[JobSpec]) -> list[Change]:
        """Return what a reload would do with each job. Raises DuplicateJob or DependencyCycle."""
        new = _by_name(specs)
        # Removed jobs count while they are stopping: a shutdown stops them by their dependencies too.
        old = self._store.jobs.items()
        removed = [job.spec for name, job in old if job.run is not None and name not in new]
        _refuse_cycles(_after_by_family([*removed, *new.values()]))
        return compare({name: job.spec for name, job in self._store.jobs.items()}, new.values())

    def reload(self, specs: Iterable[JobSpec], *, has_started: bool) -> None:
        """Replace all declarations. Raises DuplicateJob or DependencyCycle, and has changed nothing then."""
        new = _by_name(specs)
        changes = self.changes = self.preview(new.values())
        self._store.emit(EventName.RELOADED, data=_names_by_action(changes))
        # All declarations are replaced before any is acted on. Otherwise a job could be skipped because of a removed
        # dependency that it no longer has.
        for change in changes:
            if change.action is ReloadAction.ADD:
                self._store.declare(new[change.job])
            elif change.action is not ReloadAction.REMOVE:
                self._store.redeclare(self._store.jobs[change.job], new[change.job])
        for change in changes:
            if change.action is ReloadAction.REMOVE:
                self._remove(self._store.jobs[change.job])
        self._begun = []
        for change in changes:
            job = self._store.jobs.get(change.job)
            if job is not None and change.action is not ReloadAction.REMOVE:
                self._act(job, change)
        # First, so that a new job that starts after one of these is not skipped.
        self._resetter.wake_dependents(self._begun)
        for job in self._begun:
            if has_started and job.may_autostart:
                self._starter.arm(job)
        for job in list(self._store.jobs.values()):
            if job.waiting_for is WaitingFor.DEPENDENCY:
                self._starter.check_dependencies(job)

    def _act(self, job: JobRecord, change: Change) -> None:
        if change.action is ReloadAction.ADD:
            self._begun.append(job)
        elif job.follow_up is FollowUp.REMOVAL:
            self._forget_failures(job, change)
            self._keep_after_all(job)
        elif change.action is ReloadAction.APPLY:
            self._apply(job, change)
        elif change.action is ReloadAction.RESTART:
            self._restart(job, change)

    def _remove(self, job: JobRecord) -> None:
        self._stops.stop(job, Reason(ReasonKind.RELOAD, "no longer declared"))
        if job.run is not None:
            self._store.set_follow_up(job, FollowUp.REMOVAL)
        else:
            self._follow_ups.remove(job)

    def _apply(self, job: JobRecord, change: Change) -> None:
        """Apply the new policies, also to the live run."""
        run, spec = job.run, job.spec
        if "enabled" in change.fields:
            self._set_enabled(job, change)
            return
        if run is not None and run.outcome is None:
            run.spec = spec
            self._starter.set_limits(run)
            self._store.actions.append(actions.ApplySpec(run.id, spec))
        elif may_fix(job, change.fields):
            self._forget_and_begin(job, change)
        elif "restart" in change.fields and spec.restart.when is not RestartWhen.NEVER:
            self._follow_ups.hasten(job)
        if "schedule" in change.fields:
            self._reschedule(job, change)
        elif "after" in change.fields and job.state is JobState.SKIPPED and _was_impossible(job):
            self._begin_again(job, change)
        elif "start" in change.fields:
            self._begun.append(job)

    def _forget_and_begin(self, job: JobRecord, change: Change) -> None:
        """Begin what the failures of a job without a live run delayed or prevented: the change may have ended them."""
        self._forget_failures(job, change)
        if job.state is JobState.BLOCKED:
            self._release(job)
        elif job.state is JobState.FINISHED and job.has_failed:
            self._begin_again(job, change)

    def _release(self, job: JobRecord) -> None:
        """Let another run follow at once when the present one ends, unless a user stopped the job."""
        if _stays_stopped(job):
            return
        if job.state is JobState.BLOCKED and job.follow_up is FollowUp.NOTHING:
            self._begun.append(job)
        self._store.set_follow_up(job, FollowUp.RESTART)

    def _forget_failures(self, job: JobRecord, change: Change) -> None:
        self._resetter.forget(job, _because_of(change))

    def _reschedule(self, job: JobRecord, change: Change) -> None:
        """Arm the new schedule if the old one was armed or would be armed again."""
        was_armed = job.next_firing is not None
        self._store.set_next_firing(job, None)
        has_follow_up = job.run is not None and job.follow_up is not FollowUp.NOTHING
        if job.spec.schedule is None:
            if job.waiting_for is WaitingFor.FIRING:
                self._stops.stop(job, Reason(ReasonKind.RELOAD, "it has no schedule any more"))
        elif was_armed or has_follow_up or job.waiting_for is WaitingFor.BACKOFF:
            is_armed = self._starter.timers.arm(job, job.spec.schedule)
            if not is_armed and job.waiting_for is WaitingFor.FIRING:
                self._starter.schedule_exhausted(job)
        elif job.state in _OVER:
            self._begin_again(job, change)

    def _restart(self, job: JobRecord, change: Change) -> None:
        if "enabled" in change.fields:
            self._set_enabled(job, change)
            return
        if job.run is not None:
            self._forget_failures(job, change)
            self._release(job)
            self._stops.request(job.run, _because_of(change))
        elif job.state in _OVER:
            self._begin_again(job, change)
            return
        else:
            self._forget_and_begin(job, change)
        if "schedule" in change.fields:
            self._reschedule(job, change)

    def _begin_again(self, job: JobRecord, change: Change) -> None:
        """Treat a job that is over as a new one: a user who corrects its params expects it to run."""
        self._forget_failures(job, change)
        self._store.move(job, Decision.ENABLE if job.state is JobState.DISABLED else Decision.WAIT, WaitingFor.START)
        self._begun.append(job)

    def _set_enabled(self, job: JobRecord, change: Change) -> None:
        """Enable or disable a job, as its new declaration says."""
        if job.spec.enabled:
            if job.state is JobState.DISABLED:
                self._begin_again(job, change)
            else:
                self._forget_failures(job, change)
                self._keep_after_all(job)
            return
        self._stops.stop(job, Reason(ReasonKind.RELOAD, "it was disabled"))
        if job.run is None:
            self._store.move(job, Decision.DISABLE)

    def _keep_after_all(self, job: JobRecord) -> None:
        """Keep a job that was removed or disabled, and is declared again before its run has stopped."""
        self._store.set_follow_up(job, FollowUp.NOTHING)
        if job.spec.enabled and not _was_stopped_by_user(job):
            if job.spec.schedule is None:
                self._store.set_follow_up(job, FollowUp.RESTART)
            else:
                self._starter.rearm(job)


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


def _refuse_cycles(after: Mapping[str, Sequence[str]]) -> None:
    for name, names in after.items():
        if name in names:
            raise DependencyCycle([name, name])
    for cycle in find_cycles(after):
        raise DependencyCycle(cycle)


def _because_of(change: Change) -> Reason:
    return Reason(ReasonKind.RELOAD, f"{', '.join(change.fields)} changed" if change.fields else "declared again")


def _was_impossible(job: JobRecord) -> bool:
    """Return whether a skipped job was skipped because of its dependencies."""
    return job.reason is not None and job.reason.kind is ReasonKind.DEPENDENCY


def _was_stopped_by_user(job: JobRecord) -> bool:
    return job.run is not None and job.run.reason is not None and job.run.reason.kind is ReasonKind.USER


def _stays_stopped(job: JobRecord) -> bool:
    """Return whether no run follows although the declaration changed: a stop by a user has priority."""
    if not job.spec.enabled:
        return True
    return job.follow_up is FollowUp.NOTHING and (job.state is JobState.STOPPING or _was_stopped_by_user(job))


def _names_by_action(changes: Iterable[Change]) -> dict[str, list[str]]:
    """Return the data of the event: the names of the jobs by the first word of the action."""
    names: dict[ReloadAction, list[str]] = {action: [] for action in ReloadAction}
    for change in changes:
        names[change.action].append(change.job)
    return {action.value.split()[0]: jobs for action, jobs in names.items() if action is not ReloadAction.KEEP}
