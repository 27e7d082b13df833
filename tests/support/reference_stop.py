"""The stop of everything, in the naive model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.reference_job import ReferenceJob

if TYPE_CHECKING:
    from tests.support.reference_model import ReferenceModel

__all__ = ["go_on", "hurry_all", "stop_all"]


def stop_all(naive: ReferenceModel, kind: str, words: str, within: float, now: float) -> list[str]:
    """Begin the stop of everything."""
    naive.stop_kind, naive.stop_words, naive.stop_deadline = kind, words, now + within
    seen = ["scheduler_stopping"]
    for job in naive.jobs.values():
        naive.disarm(job)
        if job.is_awaited:
            naive.set_deadline(job, min(job.deadline, naive.stop_deadline))
        if not job.is_live:
            seen += naive.stop_job(job, kind, words, now)
    return seen + go_on(naive, now)


def hurry_all(naive: ReferenceModel, within: float, now: float) -> list[str]:
    """Ask everybody at once, and give all at most so much time."""
    naive.is_hurried = True
    jobs = list(naive.jobs.values())
    seen = [line for job in jobs for line in naive.stop_job(job, naive.stop_kind, naive.stop_words or "", now)]
    naive.stop_deadline = min(naive.stop_deadline, now + within)
    for job in naive.awaited():
        naive.set_deadline(job, min(job.deadline, max(naive.stop_deadline, job.asked or 0.0)))
        seen += naive.urge(job)
    return seen + go_on(naive, now)


def go_on(naive: ReferenceModel, now: float) -> list[str]:
    """Stop whoever nobody above him is awaited for any more; be over when nobody is left."""
    if naive.stop_words is None or naive.is_stop_over:
        return []
    seen: list[str] = []
    jobs = list(naive.jobs.values())
    for height in range(len(jobs)):
        if not naive.is_hurried and any(job.is_awaited and _height(naive, job) < height for job in jobs):
            return seen
        for job in jobs:
            if _height(naive, job) == height:
                seen += naive.stop_job(job, naive.stop_kind, naive.stop_words, now)
    if naive.awaited():
        return seen
    naive.is_stop_over = True
    return [*seen, "scheduler_stopped", "ShutdownFinished"]


def _height(naive: ReferenceModel, job: ReferenceJob) -> int:
    above = [other for other in naive.jobs.values() if job.spec.family in [need.job for need in other.spec.after]]
    return max((_height(naive, other) + 1 for other in above), default=0)
