"""The shutdown of the reference model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.reference_job import ReferenceJob

if TYPE_CHECKING:
    from tests.support.reference_model import ReferenceModel

__all__ = ["continue_shutdown", "hurry_all", "stop_all"]


def stop_all(model: ReferenceModel, kind: str, text: str, within: float, now: float) -> list[str]:
    """Begin the shutdown."""
    model.stop_kind, model.stop_text, model.stop_deadline = kind, text, now + within
    lines = ["scheduler_stopping"]
    for job in model.jobs.values():
        model.disarm(job)
        if job.is_awaited and job.deadline > now:
            model.set_deadline(job, min(job.deadline, model.stop_deadline))
        if not job.is_live or job.is_abandoned:
            lines += model.stop_job(job, kind, text, now)
    return lines + continue_shutdown(model, now)


def hurry_all(model: ReferenceModel, within: float, now: float) -> list[str]:
    """Cancel all runs at once, and allow them at most `within` more seconds."""
    model.is_hurried = True
    jobs = list(model.jobs.values())
    lines = [line for job in jobs for line in model.stop_job(job, model.stop_kind, model.stop_text or "", now)]
    model.stop_deadline = min(model.stop_deadline, now + within)
    for job in model.awaited():
        if job.deadline > now:
            model.set_deadline(job, min(job.deadline, max(model.stop_deadline, job.requested_at or 0.0)))
        lines += model.mark_urgent(job)
    return lines + continue_shutdown(model, now)


def continue_shutdown(model: ReferenceModel, now: float) -> list[str]:
    """Stop the jobs whose dependents are all done, and finish once no run is awaited."""
    if model.stop_text is None or model.is_stop_over:
        return []
    lines: list[str] = []
    jobs = list(model.jobs.values())
    for level in range(len(jobs)):
        if not model.is_hurried and any(job.is_awaited and _level(model, job) < level for job in jobs):
            return lines
        if level > model.stop_level:
            # Those that can be killed have to be gone, before the next level is stopped.
            if not model.is_hurried and _decide(model, [job for job in jobs if job.kills], now):
                return lines
            model.stop_level = level
        for job in jobs:
            if _level(model, job) == level:
                lines += model.stop_job(job, model.stop_kind, model.stop_text, now)
    if model.awaited():
        return lines
    if _decide(model, [job for job in jobs if job.kills], now) or _decide(model, jobs, now):
        return lines
    model.is_stop_over = True
    return [*lines, "scheduler_stopped", "ShutdownFinished"]


def _decide(model: ReferenceModel, jobs: list[ReferenceJob], now: float) -> bool:
    """Have the live runs captured that the shutdown did not wait for, and return whether there are any."""
    unawaited = [job for job in jobs if job.is_unawaited and job.is_live]
    for job in unawaited:
        job.is_unawaited, job.deadline = False, now
        model.set_decision(job)
    return bool(unawaited)


def _level(model: ReferenceModel, job: ReferenceJob) -> int:
    dependents = [
        other for other in model.jobs.values() if job.spec.family in [dependency.job for dependency in other.spec.after]
    ]
    return max((_level(model, other) + 1 for other in dependents), default=0)
