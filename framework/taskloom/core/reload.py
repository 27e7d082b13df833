"""Replace the declarations of all jobs, and apply the changes that `changes` has found.

All or nothing: an invalid set is refused before anything changes. A job whose declaration is the same keeps its run. A
job whose policies changed keeps it too, under the new policies. Only a change of what a run is made from restarts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from taskloom.core import actions
from taskloom.core.after_run import FollowUps
from taskloom.core.changeover import Changeover, Changeovers
from taskloom.core.changes import Change, Declarations, Plan, ReloadAction, compare, make_plan, refuse_cycles
from taskloom.core.events import EventName
from taskloom.core.holding import Holder
from taskloom.core.model import JobSpec, JobState, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import RestartWhen, StartMode
from taskloom.core.recording import drop_recording
from taskloom.core.records import FollowUp, JobRecord, RunRecord
from taskloom.core.remembered import Recollection
from taskloom.core.resetting import Resetter, may_fix
from taskloom.core.restoring import declare
from taskloom.core.starting import Starter
from taskloom.core.stopping import StopSequence
from taskloom.core.store import JobStore
from taskloom.core.transitions import Decision

__all__ = ["Change", "ReloadAction", "Reloader", "compare"]

_OVER = (JobState.FINISHED, JobState.SKIPPED)
# A job with a change of these forgets the last firing that it remembers from earlier starts of the program.
_FINGERPRINTED = frozenset({"task", "params", "schedule", "enabled", "start"})


class Reloader:
    """Applies new declarations."""

    def __init__(
        self,
        store: JobStore,
        stops: StopSequence,
        starter: Starter,
        follow_ups: FollowUps,
        *,
        changeovers: Changeovers,
        resetter: Resetter,
        holder: Holder,
    ) -> None:
        self._store = store
        self._resetter = resetter
        self._holder = holder
        self._stops = stops
        self._starter = starter
        self._follow_ups = follow_ups
        self._changeovers = changeovers
        self.changes: list[Change] = []
        """The changes of the last reload, one for each job."""
        # The jobs that are new or begin again; a blocked one does when its thread exits. They are started last, since
        # their dependencies may begin again too.
        self._begun: dict[JobRecord, None] = {}

    def preview(self, specs: Iterable[JobSpec], plan: Plan | None = None) -> list[Change]:
        """Return what a reload would do with each job. Raises DuplicateJob or DependencyCycle."""
        return self._plan(tuple(specs), plan).changes

    def declarations(self) -> Declarations:
        """Return all declarations, to plan a reload."""
        return Declarations(self._store.version, {name: job.spec for name, job in self._store.jobs.items()})

    def _plan(self, specs: Sequence[JobSpec], plan: Plan | None) -> Plan:
        """Return the plan if it still fits, else a new one. Raises DuplicateJob or DependencyCycle."""
        if plan is None or plan.version != self._store.version:
            plan = make_plan(self.declarations(), specs)
        # Removed jobs count while they are stopping: a shutdown stops them by their dependencies too. One without
        # dependencies closes no cycle.
        removed = [job.spec for name, job in self._store.jobs.items() if job.run is not None and name not in plan.new]
        if any(spec.after for spec in removed):
            refuse_cycles([*removed, *plan.new.values()])
        return plan

    def reload(self, specs: Sequence[JobSpec], plan: Plan | None, memory: Recollection, *, has_started: bool) -> None:
        """Replace all declarations. Raises DuplicateJob or DependencyCycle, and has changed nothing then."""
        plan = self._plan(specs, plan)
        changes = self.changes = plan.changes
        self._store.emit(EventName.RELOADED, data=_names_by_action(changes) | _new_fingerprints(changes, memory))
        self._declare(plan, memory)
        for change in changes:
            if change.action is ReloadAction.REMOVE:
                self._remove(self._store.jobs[change.job])
        self._begun = {}
        for change in changes:
            job = self._store.jobs.get(change.job)
            if job is not None and change.action is not ReloadAction.REMOVE:
                self._act(job, change)
        # First, so that a new job that starts after one of these is not skipped. They wait for the new runs.
        revived = self._resetter.revive_dependents(self._begun)
        self._start_added(changes, has_started=has_started)
        self._resetter.wake(revived)
        for job in list(self._store.jobs.values()):
            if job.waiting_for is WaitingFor.DEPENDENCY:
                self._starter.check_dependencies(job)
        keeping = [job for job in self._store.jobs.values() if _keeps_program_alive(job)]
        if not keeping:
            self._store.leave_daemons_only()
        elif any(job.is_active for job in keeping):  # also one that was removed before, and is declared again
            self._store.note_active()

    def _declare(self, plan: Plan, memory: Recollection) -> None:
        """Replace all declarations, before any change is acted on.

        Otherwise a job could be skipped because of a removed dependency that it no longer has.
        """
        holds = self._holder.of_families()
        for change in plan.changes:
            if change.action is ReloadAction.ADD:
                job = declare(self._store, plan.new[change.job], memory)
                self._holder.inherit(job, holds.get(job.spec.family, {}))
            elif change.action is not ReloadAction.REMOVE:
                job = self._store.jobs[change.job]
                self._store.redeclare(job, plan.new[change.job])
                if not _FINGERPRINTED.isdisjoint(change.fields):
                    job.catches_up_since = None
                if job.spec.schedule is None:
                    self._holder.drop_pause(job, Reason(ReasonKind.RELOAD, "it has no schedule any more"))

    def _start_added(self, changes: Iterable[Change], *, has_started: bool) -> None:
        """Start what is new or begins again; if the reload has stopped runs, when those have ended."""
        starting = [job for job in self._begun if has_started and job.may_autostart]
        if self._begun:
            self._changeovers.begin(self._begun, starting, self._changeover(changes))
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
            is_lost = run is not None and run is job.lost_run
            is_ending = run is not None and (run.requested is not None or is_lost)
            if run is None or not is_ending or not (name in changed or _was_stopped_by_reload(run)):
                continue  # a run that nothing stops may have begun just now, because the change fixed its job
            if is_lost or (run.outcome is None and not run.is_overdue):
                awaited.append(run)
            elif name in changed:
                outlived.append(run)
        return Changeover(awaited, outlived)

    def _act(self, job: JobRecord, change: Change) -> None:
        if change.action is ReloadAction.ADD:
            self._begun[job] = None
        elif job.follow_up is FollowUp.REMOVAL:
            self._forget_failures(job, change)
            self._keep_after_all(job)
        elif change.action is ReloadAction.APPLY:
            self._apply(job, change)
        elif change.action is ReloadAction.RESTART:
            self._restart(job, change)
        if "start" in change.fields and job.may_autostart:
            self._begun[job] = None  # whatever else changed: it was manual, or was not started yet

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

    def _forget_and_begin(self, job: JobRecord, change: Change) -> None:
        """Begin what the failures of a job without a live run delayed or prevented: the change may have ended them."""
        self._forget_failures(job, change)
        if job.state is JobState.BLOCKED:
            self._release(job)
        elif job.state is JobState.FINISHED and job.has_failed:
            self._begin_again(job, change)

    def _release(self, job: JobRecord) -> None:
        """Let another run follow at once when the present one ends, unless a user stopped the job or its run."""
        if _stays_stopped(job):
            return
        if job.state is JobState.BLOCKED and job.follow_up is FollowUp.NOTHING:
            self._begun[job] = None
        self._store.set_follow_up(job, FollowUp.RESTART)

    def _forget_failures(self, job: JobRecord, change: Change) -> None:
        self._resetter.forget(job, _because_of(change))

    def _reschedule(self, job: JobRecord, change: Change) -> None:
        """Arm the new schedule if the old one was armed or would be armed again."""
        was_armed = job.next_firing is not None
        self._store.set_next_firing(job, None)
        if job.spec.schedule is None and job.recording is not None:
            drop_recording(self._store, job, "stopping")
            self._store.move(job, Decision.WAIT, WaitingFor.FIRING)
        if job.waiting_for is WaitingFor.REMOVAL:
            job.held_since = self._store.now
        has_follow_up = job.run is not None and job.follow_up is not FollowUp.NOTHING
        if job.spec.schedule is None:
            if job.waiting_for is WaitingFor.FIRING:
                self._stops.stop(job, Reason(ReasonKind.RELOAD, "it has no schedule any more"))
        elif was_armed or has_follow_up or job.waiting_for in (WaitingFor.BACKOFF, WaitingFor.RECORD):
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
            if job.waiting_for is WaitingFor.REMOVAL:
                self._begun[job] = None  # it may need now what this reload removes
            self._forget_and_begin(job, change)
        if "schedule" in change.fields:
            self._reschedule(job, change)

    def _begin_again(self, job: JobRecord, change: Change) -> None:
        """Treat a job that is over as a new one: a user who corrects its params expects it to run.

        Not a job that a user stopped: only its failures are forgotten.
        """
        self._forget_failures(job, change)
        if job.is_stopped and job.state is not JobState.DISABLED:
            return
        self._store.move(job, Decision.ENABLE if job.state is JobState.DISABLED else Decision.WAIT, WaitingFor.START)
        self._begun[job] = None

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
        if job.spec.enabled and not job.is_stopped and not _was_stopped_by_user(job):
            if job.spec.schedule is None:
                if job.state is JobState.BLOCKED:
                    self._begun[job] = None  # those that start after it were skipped
                self._store.set_follow_up(job, FollowUp.RESTART)
            else:
                self._starter.rearm(job)


def _keeps_program_alive(job: JobRecord) -> bool:
    """Return whether the program ends when this job and those like it have ended, even if daemons run.

    A manual job counts only while it is active, as at the start of a program, and one that is being removed never.
    """
    spec = job.spec
    if spec.daemon or not spec.enabled or job.follow_up is FollowUp.REMOVAL:
        return False
    return spec.start.mode is StartMode.AUTO or job.is_active


def _because_of(change: Change) -> Reason:
    return Reason(ReasonKind.RELOAD, f"{', '.join(change.fields)} changed" if change.fields else "declared again")


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
    if not job.spec.enabled or job.is_stopped:
        return True
    return job.follow_up is FollowUp.NOTHING and (job.state is JobState.STOPPING or _was_stopped_by_user(job))


def _new_fingerprints(changes: Iterable[Change], memory: Recollection) -> dict[str, dict[str, str]]:
    """Return the data of the event about the jobs whose declarations changed, if a history is kept."""
    changed = [change.job for change in changes if change.fields and change.job in memory.fingerprints]
    return {"fingerprints": {job: memory.fingerprints[job] for job in changed}} if changed else {}


def _names_by_action(changes: Iterable[Change]) -> dict[str, list[str]]:
    """Return the data of the event: the names of the jobs by the first word of the action."""
    names: dict[ReloadAction, list[str]] = {action: [] for action in ReloadAction}
    for change in changes:
        names[change.action].append(change.job)
    return {action.value.split()[0]: jobs for action, jobs in names.items() if action is not ReloadAction.KEEP}
