"""The reload of the reference model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from tests.support.reference_job import ReferenceJob

from taskloom.core.model import JobSpec, StartMode
from taskloom.core.policies import RestartWhen

if TYPE_CHECKING:
    from tests.support.reference_model import ReferenceModel

__all__ = ["reload_all"]


def reload_all(model: ReferenceModel, specs: Sequence[JobSpec], now: float) -> list[str]:
    """Replace all declarations and return the expected actions."""
    new = {spec.name: spec for spec in specs}
    lines = ["reloaded"]
    renewed: list[ReferenceJob] = []
    removed = [job for name, job in model.jobs.items() if name not in new]
    kept = [(job, job.spec) for name, job in model.jobs.items() if name in new]
    for name, spec in new.items():
        if name in model.jobs:
            model.jobs[name].spec = spec
            lines += _end_pause(model.jobs[name])
        else:
            lines += model.declare(spec)
            renewed.append(model.jobs[name])
    for job in removed:
        lines += _remove(model, job, now)
    for job, old in kept:
        lines += _change(model, job, old, renewed, now)
        if old.start != job.spec.start and model.is_auto_start(job) and job not in renewed:
            renewed.append(job)
    # A live job whose `daemon` changes counts by its new declaration from now on.
    model.is_work_over()
    revived = model.revive(renewed)
    lines += _begin(model, renewed, [job for job in removed if job.is_live] + _changed(kept), now)
    lines += model.arm_all(revived, now)
    model.is_work_over()
    if not any(_keeps_program_alive(job) for job in model.jobs.values()):
        model.had_non_daemon = False
    for job, old in kept:
        if "schedule" in ReferenceJob(old).changed(job.spec):
            lines += model.after_end(job, now)
    return lines


def _changed(kept: Sequence[tuple[ReferenceJob, JobSpec]]) -> list[ReferenceJob]:
    """Return the live jobs whose runs this reload ends because of a change."""
    is_ending = [(job, old) for job, old in kept if job.is_lost or (job.is_live and job.requested_at is not None)]
    changes = [(job, ReferenceJob(old)) for job, old in is_ending]
    return [
        job
        for job, before in changes
        if before.reload_action(job.spec) == "restart" or "enabled" in before.changed(job.spec)
    ]


def _begin(model: ReferenceModel, renewed: list[ReferenceJob], ended: list[ReferenceJob], now: float) -> list[str]:
    """Start what begins now, or have it wait for the runs that this reload or an earlier one has stopped."""
    earlier = {run for runs, _ in model.holds for run in runs}
    by_reload = [job for job in model.jobs.values() if job.is_live and job.first_kind == "reload"]
    stopped = {job.run: job for job in [*ended, *by_reload] if job.is_live}
    stopped |= {job.run: job for job in model.jobs.values() if job.is_live and job.run in earlier}
    awaited = {run: None for run, job in stopped.items() if job.is_lost or not job.is_overdue}
    outlived = [job.run for job in ended if job.is_overdue and not job.is_lost]
    starting = [job for job in renewed if model.is_auto_start(job)] if model.has_started else []
    held = [job for job in renewed if not job.is_live]
    lines: list[str] = []
    if awaited and held:
        model.holds.append((awaited, outlived))
        for job in held:
            job.hold = awaited
        lines = ["reload_waiting"] if starting else []
    elif outlived and starting:
        lines = ["reload_overdue"]
    return lines + model.arm_all(starting, now)


def release_run(model: ReferenceModel, run: str, now: float) -> list[str]:
    """Let the jobs begin that waited for no other run than this one, which has ended or is overdue."""
    lines: list[str] = []
    for hold in [hold for hold in model.holds if run in hold[0]]:
        awaited, outlived = hold
        del awaited[run]
        alive = {job.run for job in model.jobs.values() if job.is_live}
        outlived += [run] if run in alive else []
        if awaited:
            continue
        model.holds.remove(hold)
        waiting = [job for job in model.jobs.values() if job.hold is awaited and job.waits_for == "removal"]
        if waiting:
            lines += ["reload_overdue"] if alive.intersection(outlived) else []
            lines += model.arm_all(waiting, now)
    return lines


def _keeps_program_alive(job: ReferenceJob) -> bool:
    if job.spec.daemon or not job.spec.enabled or (job.is_live and job.follow_up == "removal"):
        return False
    return job.spec.start.mode is StartMode.AUTO or job.is_active


def _remove(model: ReferenceModel, job: ReferenceJob, now: float) -> list[str]:
    lines = model.stop_job(job, "reload", "no longer declared", now)
    if job.is_live:
        job.follow_up = "removal"
        return lines
    return lines + model.forget(job)


def _change(
    model: ReferenceModel, job: ReferenceJob, old: JobSpec, renewed: list[ReferenceJob], now: float
) -> list[str]:
    before = ReferenceJob(old)
    changed, action = before.changed(job.spec), before.reload_action(job.spec)
    if job.follow_up == "removal" and job.is_live:
        forgotten = model.forget_failures(job, now)
        _bring_back(model, job, renewed, now)
        return forgotten
    if "enabled" in changed:
        return _enable_or_disable(model, job, renewed, now)
    lines: list[str] = []
    if action == "restart":
        if job.end_state in ("finished", "skipped"):
            return _renew(model, job, renewed, now)
        if job.waits_for == "removal":
            renewed.append(job)
        was_live = job.is_live
        lines = model.forget_failures(job, now)
        if was_live:
            _release(job, renewed)
            lines += model.request_cancel(job, "reload", _reload_text(old, job.spec), now)
    elif action == "apply" and job.is_live and not job.is_abandoned:
        job.run_spec = job.spec
        model.set_limits(job)
        lines = [f"ApplySpec {job.run}"]
    elif action == "apply" and _may_fix(job, changed):
        lines = _forget_and_begin(model, job, renewed, now)
    elif action == "apply" and "restart" in changed and job.spec.restart.when is not RestartWhen.NEVER:
        lines = _hasten(model, job, now)
    if "schedule" in changed:
        return lines + _reschedule(model, job, renewed, now)
    if action == "apply" and "after" in changed and job.was_impossible and job.end_state == "skipped":
        lines += _renew(model, job, renewed, now)
    return lines


def _end_pause(job: ReferenceJob) -> list[str]:
    """End the pause of a job that has no schedule any more."""
    if job.spec.schedule is not None or not job.is_paused:
        return []
    job.is_paused = False
    return [f"resumed {job.spec.name}"]


def _release(job: ReferenceJob, renewed: list[ReferenceJob]) -> None:
    """Let another run follow the present one, unless a user stopped the job."""
    stays_stopped = job.follow_up == "nothing" and (not job.is_abandoned or job.first_kind == "user")
    if job.spec.enabled and not stays_stopped and not job.is_stopped:
        if job.follow_up == "nothing":
            renewed.append(job)
        job.follow_up = "restart"


def _may_fix(job: ReferenceJob, changed: list[str]) -> bool:
    """Return whether the last run of the job may have failed because of a field that has changed."""
    if job.gave_up and "restart" in changed and job.spec.restart.when is not RestartWhen.NEVER:
        return True
    causes = {"": ["poll_interval"], "deadline": ["timeout"], "watchdog": ["watchdog", "ready_within"]}
    return job.counts_as_failure() and bool(set(causes.get(job.first_kind, ())) & set(changed))


def _forget_and_begin(model: ReferenceModel, job: ReferenceJob, renewed: list[ReferenceJob], now: float) -> list[str]:
    lines = model.forget_failures(job, now)
    if job.is_abandoned:
        _release(job, renewed)
    elif job.end_state == "finished" and not job.is_live and job.has_failed:
        lines += _renew(model, job, renewed, now)
    return lines


def _hasten(model: ReferenceModel, job: ReferenceJob, now: float) -> list[str]:
    """Let a pending restart come after the first delay of the new policy, if that is earlier."""
    delay = min(job.spec.restart.delay, job.spec.restart.max_delay)
    if job.waits_for != "backoff" or now + delay >= job.due["backoff"][0]:
        return []
    job.delay = delay
    model.set_due(job, "backoff", now + delay)
    return [f"restart_scheduled {job.run}"]


def _reload_text(old: JobSpec, new: JobSpec) -> str:
    hidden = ("name", "place", "binding", "replica", "replicas", "declared")
    names = [one.name for one in fields(JobSpec) if one.name not in hidden]
    return ", ".join(name for name in names if getattr(old, name) != getattr(new, name)) + " changed"


def _reschedule(model: ReferenceModel, job: ReferenceJob, renewed: list[ReferenceJob], now: float) -> list[str]:
    was_armed = job.instant is not None
    model.disarm(job)
    if job.spec.schedule is None:
        waits_for_firing = job.waits_for in ("firing", "record")
        return model.stop_job(job, "reload", "it has no schedule any more", now) if waits_for_firing else []
    if was_armed or job.waits_for in ("backoff", "record") or (job.is_live and job.follow_up != "nothing"):
        return model.rearm(job, now)
    if job.end_state in ("finished", "skipped") and not job.is_live:
        return _renew(model, job, renewed, now)
    return []


def _renew(model: ReferenceModel, job: ReferenceJob, renewed: list[ReferenceJob], now: float) -> list[str]:
    lines = model.forget_failures(job, now)
    if job.end_state == "disabled" or not job.is_stopped:
        job.waits_for, job.end_state = "command", ""
        renewed.append(job)
    return lines


def _enable_or_disable(model: ReferenceModel, job: ReferenceJob, renewed: list[ReferenceJob], now: float) -> list[str]:
    if job.spec.enabled:
        if not job.is_live:
            return _renew(model, job, renewed, now)
        lines = model.forget_failures(job, now)
        _bring_back(model, job, renewed, now)
        return lines
    lines = model.stop_job(job, "reload", "it was disabled", now)
    if not job.is_live:
        job.waits_for, job.end_state = "", "disabled"
    return lines


def _bring_back(model: ReferenceModel, job: ReferenceJob, renewed: list[ReferenceJob], now: float) -> None:
    """Continue a job that is declared or enabled again before its run has ended, unless a user stopped it."""
    job.follow_up = "nothing"
    if job.spec.enabled and job.first_kind != "user" and not job.is_stopped:
        if job.spec.schedule is None:
            job.follow_up = "restart"
            if job.is_abandoned:
                renewed.append(job)
        else:
            model.rearm(job, now)
