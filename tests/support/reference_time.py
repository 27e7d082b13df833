"""The deadlines of the reference model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.reference_job import ReferenceJob

from taskloom.core.policies import Missed, Overlap
from taskloom.text import duration

if TYPE_CHECKING:
    from tests.support.reference_model import ReferenceModel

__all__ = ["fire", "handle_due"]


def handle_due(model: ReferenceModel, job: ReferenceJob, name: str, now: float) -> list[str]:
    """Handle one deadline of a job that is due, and return the expected actions."""
    when, _ = job.due.pop(name)
    if name == "delay":
        return [*model.after_delay(job, now), *model.propagate(now)]
    if name == "backoff":
        return _restart(model, job, now)
    if name == "firing":
        return fire(model, job, when, now)
    if name == "record":
        return model.recorded(job, now)
    if name == "timeout":
        return model.request_cancel(
            job, "deadline", f"longer than its timeout of {duration((job.run_spec or job.spec).timeout or 0.0)}", now
        )
    if name == "ready_within":
        return model.request_cancel(
            job, "watchdog", f"not ready within {duration((job.run_spec or job.spec).ready_within or 0.0)}", now
        )
    if name == "urgent":
        return model.mark_urgent(job)
    if name == "terminate":
        job.is_terminated = True
        return [f"TerminateRun {job.run}"]
    if name == "release":
        return model.released(job, now)
    if name == "unkillable":
        return model.outlive(job, now)
    job.is_captured = True
    return [f"CaptureStack {job.run}"]


def _restart(model: ReferenceModel, job: ReferenceJob, now: float) -> list[str]:
    was_flapping = job.is_flapping(now)
    job.restarts.append(now)
    lines = model.begin(job, now, job.attempt + 1)
    return [*lines, f"flapping {job.spec.name}"] if job.is_flapping(now) and not was_flapping else lines


def fire(model: ReferenceModel, job: ReferenceJob, instant: float, now: float) -> list[str]:
    """Handle the latest instant that has come; the older ones are missed, in one event."""
    schedule = job.spec.schedule
    if schedule is None or schedule.every is None:
        return []
    missed = f"missed {job.spec.name}"
    lines: list[str] = []
    if instant + schedule.every <= now:
        lines = [missed]
        while instant + schedule.every <= now:
            instant += schedule.every
    model.set_instant(job, instant + schedule.every)
    if job.is_paused:
        return [missed]
    late = now - instant
    if late > 1 and (schedule.missed is Missed.SKIP or late > schedule.grace):
        return [*lines, missed]
    if job.waits_for == "record":
        return [*lines, missed]
    if not job.is_live:
        return lines + model.begin_firing(job, now)
    if job.is_abandoned or schedule.overlap is Overlap.SKIP or job.follow_up in ("firing", "restart", "removal"):
        return [*lines, missed]
    job.follow_up = "firing"
    if schedule.overlap is Overlap.REPLACE:
        lines += model.request_cancel(job, "replaced", "its schedule fired again", now)
    return lines
