"""Replace the declarations of all jobs: what changes for which job, and how it is applied.

All or nothing: an invalid set is refused before anything changes. A job whose declaration is the same keeps its run. A
job whose policies changed keeps it too, under the new policies. Only a change of what a run is made from restarts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import NamedTuple

from taskloom.core import actions
from taskloom.core.after_run import FollowUps
from taskloom.core.changeover import Changeover, Changeovers
from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.events import EventName
from taskloom.core.graph import find_cycles
from taskloom.core.model import JobSpec, JobState, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import Dependency, StartMode
from taskloom.core.records import FollowUp, JobRecord, RunRecord
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
        # Of thousands of jobs most are the same, and this is five times as fast as one field after another.
        if before == after:
            return ()
    except Exception:  # noqa: BLE001, S110 - as below
        pass
    return tuple(name for name, was, now in zip(_COMPARED, before, after, strict=True) if _differ(was, now))


def _differ(old: object, new: object) -> bool:
    """Return whether two values differ. Params that cannot be compared, such as arrays, differ unless identical."""
    try:
        return bool(old != new)
    except Exception:  # noqa: BLE001 - the method of an object of the program
        return old is not new


class Reloader:
    """Applies new declarations."""

    def __init__(
        self,
        store: JobStore,
        stops: StopSequence,
        starter: Starter,
        follow_ups: FollowUps,
        changeovers: Changeovers,
    ) -> None:
        self._store = store
        self._stops = stops
        self._starter = starter
        self._follow_ups = follow_ups
        self._changeovers = changeovers
        self.changes: list[Change] = []
        """The changes of the last reload, one for each job."""
        # The jobs that are new or begin again. They are started last, since their dependencies may begin again too.
        self._to_arm: list[JobRecord] = []

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
        self._to_arm = []
        for change in changes:
            job = self._store.jobs.get(change.job)
            if job is not None and change.action is not ReloadAction.REMOVE:
                self._act(job, change)
        self._start_added(changes, has_started=has_started)
        for job in list(self._store.jobs.values()):
            if job.waiting_for is WaitingFor.DEPENDENCY:
                self._starter.check_dependencies(job)
        if not any(map(_keeps_program_alive, self._store.jobs.values())):
            self._store.leave_daemons_only()

    def _start_added(self, changes: Iterable[Change], *, has_started: bool) -> None:
        """Start what is new or begins again; if the reload has stopped runs, when those have ended."""
        starting = [job for job in self._to_arm if has_started and job.may_autostart]
        if self._to_arm:
            self._changeovers.begin(self._to_arm, starting, self._changeover(changes))
        for job in starting:
            if job.may_autostart:
                self._starter.arm(job)

    def _changeover(self, changes: Iterable[Change]) -> Changeover:
        """Return the runs that this reload or an earlier one has stopped: those that still end, and the others."""
        changed = {change.job for change in changes if _ends_run(change)}
        awaited: list[RunRecord] = []
        outlived: list[RunRecord] = []
        for name, job in self._store.jobs.items():
            run = job.run
            if run is None or not (name in changed or _was_stopped_by_reload(run)):
                continue
            if run.outcome is None and not run.is_overdue:
                awaited.append(run)
            elif name in changed:
                outlived.append(run)
        return Changeover(awaited, outlived)

    def _act(self, job: JobRecord, change: Change) -> None:
        if change.action is ReloadAction.ADD:
            self._to_arm.append(job)
        elif job.follow_up is FollowUp.REMOVAL:
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
            self._set_enabled(job)
            return
        if run is not None and run.outcome is None:
            run.spec = spec
            self._starter.set_limits(run)
            self._store.actions.append(actions.ApplySpec(run.id, spec))
        if "schedule" in change.fields:
            self._reschedule(job)
        elif "after" in change.fields and job.state is JobState.SKIPPED and _was_impossible(job):
            self._begin_again(job)
        elif "start" in change.fields:
            self._to_arm.append(job)

    def _reschedule(self, job: JobRecord) -> None:
        """Arm the new schedule if the old one was armed or would be armed again."""
        was_armed = job.next_firing is not None
        self._store.set_next_firing(job, None)
        if job.waiting_for is WaitingFor.REMOVAL:
            job.held_since = self._store.now
        has_follow_up = job.run is not None and job.follow_up is not FollowUp.NOTHING
        if job.spec.schedule is None:
            if job.waiting_for is WaitingFor.FIRING:
                self._stops.stop(job, Reason(ReasonKind.RELOAD, "it has no schedule any more"))
        elif was_armed or has_follow_up or job.waiting_for is WaitingFor.BACKOFF:
            is_armed = self._starter.timers.arm(job, job.spec.schedule)
            if not is_armed and job.waiting_for is WaitingFor.FIRING:
                self._starter.schedule_exhausted(job)
        elif job.state in _OVER:
            self._begin_again(job)

    def _restart(self, job: JobRecord, change: Change) -> None:
        if "enabled" in change.fields:
            self._set_enabled(job)
        elif job.run is not None:
            if not _stays_stopped(job):
                self._store.set_follow_up(job, FollowUp.RESTART)
            self._stops.request(job.run, Reason(ReasonKind.RELOAD, f"{', '.join(change.fields)} changed"))
            if "schedule" in change.fields:
                self._reschedule(job)
        elif job.state in _OVER:
            self._begin_again(job)
        else:
            if job.waiting_for is WaitingFor.REMOVAL:
                self._to_arm.append(job)  # it may need now what this reload removes
            if "schedule" in change.fields:
                self._reschedule(job)

    def _begin_again(self, job: JobRecord) -> None:
        """Treat a job that is over as a new one: a user who corrects its params expects it to run."""
        self._store.move(job, Decision.ENABLE if job.state is JobState.DISABLED else Decision.WAIT, WaitingFor.START)
        self._to_arm.append(job)

    def _set_enabled(self, job: JobRecord) -> None:
        """Enable or disable a job, as its new declaration says."""
        if job.spec.enabled:
            if job.state is JobState.DISABLED:
                self._begin_again(job)
            else:
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


def _keeps_program_alive(job: JobRecord) -> bool:
    """Return whether the program ends when this job and those like it have ended, even if daemons run.

    A manual job counts only while it is active, as at the start of a program, and one that is being removed never.
    """
    spec = job.spec
    if spec.daemon or not spec.enabled or job.follow_up is FollowUp.REMOVAL:
        return False
    return spec.start.mode is StartMode.AUTO or job.is_active


def _was_impossible(job: JobRecord) -> bool:
    """Return whether a skipped job was skipped because of its dependencies."""
    return job.reason is not None and job.reason.kind is ReasonKind.DEPENDENCY


def _was_stopped_by_user(job: JobRecord) -> bool:
    return job.run is not None and job.run.reason is not None and job.run.reason.kind is ReasonKind.USER


def _ends_run(change: Change) -> bool:
    """Return whether the present run of the job ends because of this change, if it has one."""
    return change.action in (ReloadAction.REMOVE, ReloadAction.RESTART) or "enabled" in change.fields


def _was_stopped_by_reload(run: RunRecord) -> bool:
    """Return whether a reload stopped the run, or one has waited for its end."""
    return bool(run.changeovers) or (run.reason is not None and run.reason.kind is ReasonKind.RELOAD)


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
