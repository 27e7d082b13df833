"""A reload, in the naive model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from tests.support.reference_job import ReferenceJob

from taskloom.core.model import JobSpec

if TYPE_CHECKING:
    from tests.support.reference_model import ReferenceModel

__all__ = ["reload_all"]


def reload_all(naive: ReferenceModel, specs: Sequence[JobSpec], now: float) -> list[str]:
    """Put the declarations in the place of the old ones, and say what has to be seen of it."""
    new = {spec.name: spec for spec in specs}
    seen = ["reloaded"]
    begun: list[ReferenceJob] = []
    gone = [job for name, job in naive.jobs.items() if name not in new]
    kept = [(job, job.spec) for name, job in naive.jobs.items() if name in new]
    for name, spec in new.items():
        if name in naive.jobs:
            naive.jobs[name].spec = spec
        else:
            seen += naive.declare(spec)
            begun.append(naive.jobs[name])
    for job in gone:
        seen += _remove(naive, job, now)
    for job, old in kept:
        seen += _change(naive, job, old, begun, now)
    # Who becomes or ceases to be a daemon while it runs counts as what it is from now on.
    naive.is_work_over()
    if naive.is_announced:
        seen += naive.arm_all([job for job in begun if naive.starts_itself(job)], now)
    seen += naive.look(now)
    for job, old in kept:
        if "schedule" in ReferenceJob(old).changed(job.spec):
            seen += naive.settle(job, now)
    return seen


def _remove(naive: ReferenceModel, job: ReferenceJob, now: float) -> list[str]:
    seen = naive.stop_job(job, "reload", "no longer declared", now)
    if job.is_live:
        job.then = "removal"
        return seen
    return seen + naive.forget(job)


def _change(naive: ReferenceModel, job: ReferenceJob, old: JobSpec, begun: list[ReferenceJob], now: float) -> list[str]:
    before = ReferenceJob(old)
    changed, verdict = before.changed(job.spec), before.verdict(job.spec)
    if job.then == "removal" and job.is_live:
        _come_back(naive, job, now)
        return []
    if "enabled" in changed:
        return _switch(naive, job, begun, now)
    seen: list[str] = []
    if verdict == "restart":
        if job.is_live:
            if not (job.then == "nothing" and (not job.is_abandoned or job.first_kind == "user")) and job.spec.enabled:
                job.then = "again"
            seen = naive.ask(job, "reload", _why(old, job.spec), now)
        elif job.rest in ("finished", "skipped"):
            _begin_again(job, begun)
            return []
    elif verdict == "apply" and job.is_live and not job.is_abandoned:
        job.run_spec = job.spec
        naive.set_limits(job)
        seen = [f"ApplySpec {job.run}"]
    if "schedule" in changed:
        return seen + _reschedule(naive, job, begun, now)
    if verdict == "apply" and "after" in changed and job.was_lost and job.rest == "skipped":
        _begin_again(job, begun)
    return seen


def _why(old: JobSpec, new: JobSpec) -> str:
    hidden = ("name", "place", "binding", "replica", "replicas", "declared")
    names = [one.name for one in fields(JobSpec) if one.name not in hidden]
    return ", ".join(name for name in names if getattr(old, name) != getattr(new, name)) + " changed"


def _reschedule(naive: ReferenceModel, job: ReferenceJob, begun: list[ReferenceJob], now: float) -> list[str]:
    was_armed = job.instant is not None
    naive.disarm(job)
    if job.spec.schedule is None:
        is_left = job.waits == "firing"
        return naive.stop_job(job, "reload", "it has no schedule any more", now) if is_left else []
    if was_armed or job.waits == "backoff" or (job.is_live and job.then != "nothing"):
        return naive.rearm(job, now)
    if job.rest in ("finished", "skipped") and not job.is_live:
        _begin_again(job, begun)
    return []


def _begin_again(job: ReferenceJob, begun: list[ReferenceJob]) -> None:
    job.waits, job.rest = "person", ""
    begun.append(job)


def _switch(naive: ReferenceModel, job: ReferenceJob, begun: list[ReferenceJob], now: float) -> list[str]:
    if job.spec.enabled:
        if job.is_live:
            _come_back(naive, job, now)
        else:
            _begin_again(job, begun)
        return []
    seen = naive.stop_job(job, "reload", "it was disabled", now)
    if not job.is_live:
        job.waits, job.rest = "", "disabled"
    return seen


def _come_back(naive: ReferenceModel, job: ReferenceJob, now: float) -> None:
    """It was taken away or switched off, and is back before its run has stopped: it goes on unless a person said no."""
    job.then = "nothing"
    if job.spec.enabled and job.first_kind != "user":
        if job.spec.schedule is None:
            job.then = "again"
        else:
            naive.rearm(job, now)
