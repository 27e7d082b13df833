"""What falls due, in the naive model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.reference_job import ReferenceJob

from taskloom.core.policies import Missed, Overlap

if TYPE_CHECKING:
    from tests.support.reference_model import ReferenceModel

__all__ = ["bring"]


def bring(naive: ReferenceModel, job: ReferenceJob, what: str, now: float) -> list[str]:
    """Say what comes of what fell due for a job."""
    when, _ = job.due.pop(what)
    if what == "delay":
        return [*naive.after_delay(job, now), *naive.look(now)]
    if what == "backoff":
        return _restart(naive, job, now)
    if what == "firing":
        return _fire(naive, job, when, now)
    if what == "timeout":
        return naive.ask(job, "deadline", f"longer than its timeout of {(job.run_spec or job.spec).timeout:g} s", now)
    if what == "unready":
        return naive.ask(job, "watchdog", f"not ready within {(job.run_spec or job.spec).ready_within:g} s", now)
    if what == "hurry":
        return naive.urge(job)
    job.is_looked_at = True
    return [f"CaptureStack {job.run}"]


def _restart(naive: ReferenceModel, job: ReferenceJob, now: float) -> list[str]:
    was_flapping = job.flaps(now)
    job.restarts.append(now)
    seen = naive.begin(job, now, job.attempt + 1)
    return [*seen, f"flapping {job.spec.name}"] if job.flaps(now) and not was_flapping else seen


def _fire(naive: ReferenceModel, job: ReferenceJob, instant: float, now: float) -> list[str]:
    """Handle the latest of the instants that have come; the older ones are missed, in one word."""
    schedule = job.spec.schedule
    if schedule is None or schedule.every is None:
        return []
    missed = f"missed {job.spec.name}"
    seen = []
    if instant + schedule.every <= now:
        seen = [missed]
        while instant + schedule.every <= now:
            instant += schedule.every
    naive.aim(job, instant + schedule.every)
    late = now - instant
    if late > 1 and (schedule.missed is Missed.SKIP or late > schedule.grace):
        return [*seen, missed]
    if not job.is_live:
        return seen + naive.begin(job, now)
    if job.is_abandoned or schedule.overlap is Overlap.SKIP or job.then in ("firing", "again", "removal"):
        return [*seen, missed]
    job.then = "firing"
    if schedule.overlap is Overlap.REPLACE:
        seen += naive.ask(job, "replaced", "its schedule fired again", now)
    return seen
