"""I12: a reload restarts the jobs whose runs must begin again, applies changes to other runs, and leaves the rest."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from taskloom.core import actions, inputs
from taskloom.core.model import JobSpec, Reason, ReasonKind, StartMode
from taskloom.core.policies import RestartWhen
from taskloom.invariants.lifecycle.changeovers import Changeovers
from taskloom.invariants.lifecycle.commands import Commands
from taskloom.invariants.lifecycle.holds import Holds
from taskloom.invariants.lifecycle.model import FollowUp, JobModel, Model, Wait
from taskloom.invariants.lifecycle.restarts import Restarts
from taskloom.invariants.lifecycle.run_ends import RunEnds, has_failed
from taskloom.invariants.lifecycle.run_limits import RunLimits
from taskloom.invariants.lifecycle.schedules import Schedules
from taskloom.invariants.lifecycle.starts import Starts

__all__ = ["Reloads"]

# A change of one of these fields needs a new run.
RESTARTING = {"task", "params", "daemon", "runner"}
NOT_COMPARED = {"name", "place", "binding", "replica", "replicas", "declared"}


@dataclass(slots=True, eq=False)
class Reloads:
    """Reads reloads."""

    _model: Model
    _starts: Starts
    _schedules: Schedules
    _run_limits: RunLimits
    _commands: Commands
    _run_ends: RunEnds
    _changeovers: Changeovers
    _restarts: Restarts
    _holds: Holds
    _renewed: list[str] = field(default_factory=list)
    """Jobs of this reload that may start automatically again, and blocked ones that run again."""
    _declared: list[str] = field(default_factory=list)
    """The jobs of the reload in this step."""

    def reload(self, command: inputs.Reload) -> None:
        """Expect the event, and the consequence for each job."""
        model, jobs = self._model, self._model.jobs
        new = {spec.name: spec for spec in command.specs}
        removed = [name for name in jobs if name not in new]
        added = [name for name in new if name not in jobs]
        changes = {name: _changed_fields(jobs[name].spec, spec) for name, spec in new.items() if name in jobs}
        restarted = [name for name, changed in changes.items() if RESTARTING & {*changed}]
        applied = [name for name, changed in changes.items() if changed and name not in restarted]
        model.expect("reloaded", "", add=added, remove=removed, apply=applied, restart=restarted)
        self._declare(new)
        for name in removed:
            self._remove(jobs[name])
        self._renewed = []
        for name, changed in changes.items():
            if jobs[name].follow_up is FollowUp.REMOVAL:
                self._forget(jobs[name], changed)
                self._bring_back(jobs[name])
            elif name in restarted:
                self._restart(jobs[name], changed)
            elif changed:
                self._apply(jobs[name], changed)
            if "start" in changed and jobs[name].is_auto_start and name not in self._renewed:
                self._renewed.append(name)
        # A job whose `daemon` changes counts by its new declaration, even if it is skipped before the step ends.
        model.had_non_daemon = model.had_non_daemon or any(_is_active_non_daemon(jobs[name]) for name in changes)
        begun = {*self._renewed, *added}
        to_start = [name for name in new if name in begun]
        starting = [name for name in to_start if model.has_started and jobs[name].is_auto_start]
        if to_start:
            toggled = [name for name, changed in changes.items() if "enabled" in changed]
            self._changeovers.begin(to_start, starting, {*removed, *restarted, *toggled})
        for name in starting:
            self._starts.arm(jobs[name])
        self._starts.expect_waking((jobs[name] for name in (*self._renewed, *added)), frozenset(removed))
        self._declared = list(new)
        for name, changed in changes.items():
            if "schedule" in changed:
                self._run_ends.expect_essential_shutdown(jobs[name])

    def end_step(self) -> None:
        """Take in what the reload of this step has left: by now those are skipped that waited for what it removed."""
        model, names = self._model, self._declared
        self._declared = []
        keeping = [job for job in map(model.jobs.get, names) if job is not None and _keeps_program_alive(job)]
        # An active one counts also if it was removed before, and is declared again while its run still ends.
        model.had_non_daemon = bool(keeping) and (model.had_non_daemon or any(job.is_active for job in keeping))

    def _declare(self, specs: dict[str, JobSpec]) -> None:
        model, holds = self._model, self._holds.of_families()
        for name, spec in specs.items():
            if name in model.jobs:
                model.redeclare(model.jobs[name], spec)
                self._holds.end_without_schedule(model.jobs[name])
            else:
                self._holds.inherit(model.declare(spec), holds.get(spec.family, {}))
            model.mark_changed(name)

    def _remove(self, job: JobModel) -> None:
        self._commands.stop_job(job, Reason(ReasonKind.RELOAD, "no longer declared"))
        if job.run is not None:
            job.follow_up = FollowUp.REMOVAL
        else:
            self._model.expect("job_removed", job.spec.name)

    def _apply(self, job: JobModel, changed: list[str]) -> None:
        if "enabled" in changed:
            self._enable_or_disable(job, changed)
            return
        if job.run is not None and not job.is_blocked:
            job.run_spec = job.spec
            self._run_limits.set(job.run, job.spec)
            self._model.expect("ApplySpec", job.run.run)
        elif _may_fix(job, changed):
            self._forget_and_begin(job, changed)
        elif "restart" in changed and job.spec.restart.when is not RestartWhen.NEVER:
            self._restarts.hasten(job)
        if "schedule" in changed:
            self._reschedule(job, changed)
        elif "after" in changed and job.end_state == "skipped" and job.is_dependency_impossible:
            self._renew(job, changed)

    def _forget_and_begin(self, job: JobModel, changed: list[str]) -> None:
        """Expect what the failures of a job without a live run delayed or prevented."""
        self._forget(job, changed)
        if job.is_blocked:
            self._release(job)
        elif job.end_state == "finished" and job.has_failed:
            self._renew(job, changed)

    def _forget(self, job: JobModel, changed: list[str]) -> None:
        self._restarts.forget(job, ("reload", f"{', '.join(changed)} changed" if changed else "declared again"))

    def _release(self, job: JobModel) -> None:
        """Have another run follow at once, unless a user stopped the job."""
        is_released = job.follow_up is not FollowUp.NOTHING or self._is_ended_by_policy(job)
        if job.spec.enabled and not job.is_stopped and is_released:
            if job.is_blocked and job.follow_up is FollowUp.NOTHING:
                self._renewed.append(job.spec.name)
            job.follow_up = FollowUp.RESTART

    def _reschedule(self, job: JobModel, changed: list[str]) -> None:
        was_armed = job.instant is not None
        self._schedules.disarm(job)
        job.held_wall = self._model.wall
        if job.spec.schedule is None:
            if job.wait is Wait.RECORD:
                self._commands.miss_recorded(job)
            if job.wait is Wait.FIRING:
                self._commands.stop_job(job, Reason(ReasonKind.RELOAD, "it has no schedule any more"))
            return
        waits = job.wait in (Wait.BACKOFF, Wait.RECORD)
        continues = waits or (job.run is not None and job.follow_up is not FollowUp.NOTHING)
        if was_armed or continues:
            self._schedules.arm(job)
            if job.instant is None and job.wait is Wait.FIRING:
                self._schedules.finish_exhausted(job)
        elif job.end_state and job.end_state != "disabled":
            self._renew(job, changed)

    def _restart(self, job: JobModel, changed: list[str]) -> None:
        if "enabled" in changed:
            self._enable_or_disable(job, changed)
            return
        if job.run is not None:
            self._forget(job, changed)
            self._release(job)
            if job.is_running:
                reason = ("reload", f"{', '.join(changed)} changed")
                self._model.expect("cancel_requested", job.run.run, reason=reason)
        elif job.end_state and job.end_state != "disabled":
            self._renew(job, changed)
            return
        else:
            if job.wait is Wait.REMOVAL:
                self._renewed.append(job.spec.name)
            self._forget_and_begin(job, changed)
        if "schedule" in changed:
            self._reschedule(job, changed)

    def _renew(self, job: JobModel, changed: list[str]) -> None:
        self._forget(job, changed)
        if job.is_stopped and job.end_state != "disabled":
            return
        job.wait_for(Wait.COMMAND)
        self._renewed.append(job.spec.name)

    def _enable_or_disable(self, job: JobModel, changed: list[str]) -> None:
        if not job.spec.enabled:
            self._commands.stop_job(job, Reason(ReasonKind.RELOAD, "it was disabled"))
            if job.run is None:
                job.finish("disabled")
        elif job.end_state == "disabled":
            self._renew(job, changed)
        else:
            self._forget(job, changed)
            self._bring_back(job)

    def _bring_back(self, job: JobModel) -> None:
        """Continue a job that was removed or disabled and is declared again before its run has ended."""
        job.follow_up = FollowUp.NOTHING
        if not job.spec.enabled or job.is_stopped or _was_stopped_by_user(job):
            return
        if job.spec.schedule is None:
            if job.is_blocked:
                self._renewed.append(job.spec.name)
            job.follow_up = FollowUp.RESTART
        else:
            self._schedules.rearm(job)

    def _is_ended_by_policy(self, job: JobModel) -> bool:
        """Return whether only the policy lets nothing follow the run: no user stopped the job."""
        return job.is_running or (job.is_blocked and not _was_stopped_by_user(job))

    # -- actions

    def check_apply_spec(self, action: actions.ApplySpec) -> None:
        """Check that the live run got its job's declaration."""
        job = self._model.jobs.get(action.spec.name)
        if job is None or action.spec is not job.spec or not self._model.fulfil_action("ApplySpec", action.run):
            self._model.report("I12", f"ApplySpec of {action.run}, whose declaration has not changed")

    def check_forget_job(self, action: actions.ForgetJob) -> None:
        """Check that the job was removed."""
        if not self._model.fulfil_action("ForgetJob", action.job):
            self._model.report("I12", f"ForgetJob of {action.job}, which was not removed")


def _is_active_non_daemon(job: JobModel) -> bool:
    return job.spec.enabled and not job.spec.daemon and job.is_active


def _keeps_program_alive(job: JobModel) -> bool:
    """Return whether a declared job counts for the end of the work even if daemons run."""
    spec = job.spec
    return spec.enabled and not spec.daemon and (spec.start.mode is StartMode.AUTO or job.is_active)


# The policy that a run may have failed by, for the kind of reason that stopped it; "" if it was not stopped.
_CAUSES = {"": ("poll_interval",), "deadline": ("timeout",), "watchdog": ("watchdog", "ready_within")}


def _may_fix(job: JobModel, changed: list[str]) -> bool:
    """Return whether the last run of the job may have failed because of a field that has changed."""
    run = job.last_run
    if job.has_given_up and "restart" in changed and job.spec.restart.when is not RestartWhen.NEVER:
        return True
    if run is None or not has_failed(run):
        return False
    return any(name in changed for name in _CAUSES.get(run.reason[0] if run.reason else "", ()))


def _was_stopped_by_user(job: JobModel) -> bool:
    return job.run is not None and job.run.reason is not None and job.run.reason[0] == "user"


def _changed_fields(old: JobSpec, new: JobSpec) -> list[str]:
    names = [each.name for each in fields(JobSpec) if each.name not in NOT_COMPARED]
    return [name for name in names if getattr(old, name) != getattr(new, name)]
