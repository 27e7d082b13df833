"""Pauses and resumes in the reference model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.reference_job import ReferenceJob, dependency_state
from tests.support.reference_time import fire

from taskloom.core.policies import WatchdogThen

if TYPE_CHECKING:
    from tests.support.reference_model import ReferenceModel

__all__ = ["pause_job", "resume_job"]


def pause_job(model: ReferenceModel, name: str, now: float) -> list[str] | None:
    """Have each firing missed, also the one that waits for the end of the run; None if that is refused."""
    job = model.jobs.get(name)
    if job is None or job.spec.schedule is None:
        return None
    if job.is_paused:
        return []
    job.is_paused = True
    lines = [f"paused {name}"]
    if job.waits_for == "record":
        lines += model.miss_recorded(job)
        job.waits_for = "firing"
        return lines
    if not job.is_live or job.follow_up != "firing":
        return lines
    job.follow_up = _without_firing(job)
    if job.is_abandoned:
        job.has_failed = job.gave_up or job.counts_as_failure()
    return [*lines, f"missed {name}", *model.after_end(job, now)]


def _without_firing(job: ReferenceJob) -> str:
    if job.is_abandoned or job.first_kind not in ("", "deadline", "watchdog"):
        return "nothing"
    watchdog = job.run_spec.watchdog if job.run_spec is not None else None
    if job.first_kind == "watchdog" and job.is_unresponsive and watchdog is not None:
        return "retry" if watchdog.then is WatchdogThen.RESTART else "nothing"
    return "policy"


def resume_job(model: ReferenceModel, name: str, now: float) -> list[str] | None:
    """Have the firings start runs again, and arm the schedule of a stopped job; None if that is refused."""
    job = model.jobs.get(name)
    if job is None or job.spec.schedule is None:
        return None
    if not job.is_paused and not job.is_stopped:
        return []
    was_stopped = job.is_stopped
    is_unmet = job.hold or dependency_state(job, model.jobs.values()) != "satisfied"
    if was_stopped and job.spec.enabled and is_unmet:
        return None
    lines: list[str] = []
    if not was_stopped and job.instant is not None and job.instant <= now:
        lines = fire(model, job, job.instant, now)
    job.is_paused = job.is_stopped = False
    lines.append(f"resumed {name}")
    starts_later = not model.has_started and model.is_auto_start(job)
    if was_stopped and job.spec.enabled and job.follow_up != "removal" and not starts_later:
        if not job.is_live:
            job.waits_for, job.end_state = "firing", ""
        model.rearm(job, now)
        lines += model.after_end(job, now)
    return lines
