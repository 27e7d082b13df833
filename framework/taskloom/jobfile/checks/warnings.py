"""What is legal in one job, and will not do what its writer expects: warnings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from taskloom.core.model import WAIT_FOR_EVER, JobSpec
from taskloom.diagnostics import FieldError, Problem
from taskloom.jobfile.declared_job import Declared
from taskloom.text import duration

__all__ = ["warnings_of_each_job"]

# Ages are sampled once a second, so a poll that is due each second may look two seconds old.
_SURE_WATCHDOG_SECONDS = 2.0


def warnings_of_each_job(declared: Iterable[Declared], stop_within: float) -> Iterator[Problem]:
    """Yield the warnings about each enabled job; one that comes from `defaults:` is given once."""
    seen = set()
    for job in declared:
        spec = job.spec
        if spec is None or not spec.enabled:
            continue
        for field, mistake in _of_job(spec, stop_within):
            path = job.path_of(field)
            # What a job says itself is said once anyway.
            key = (job.document.path, *path, mistake.message) if path[0] == "defaults" else None
            if key is None or key not in seen:
                seen.add(key)
                yield job.warning(field, mistake)


def _of_job(spec: JobSpec, stop_within: float) -> Iterator[tuple[str, FieldError]]:
    """Yield the field and what is to be said of it, with a location inside the field."""
    if spec.join.within > stop_within:
        yield "join", FieldError((), _slow(spec, stop_within))
    if spec.ready_within is not None:
        yield from _unready(spec, spec.ready_within)
    if spec.watchdog is not None and spec.watchdog.after < _SURE_WATCHDOG_SECONDS:
        message = f"cannot tell a silence of {duration(spec.watchdog.after)} for sure: poll ages are known to 1s"
        yield "watchdog", FieldError(("after",), message, "2s or more is safe")
    remark = getattr(spec.schedule.calendar, "remark", "") if spec.schedule is not None else ""
    if remark:
        yield "schedule", FieldError(("at",), f"cannot take this time as it is written: {remark}")


def _slow(spec: JobSpec, stop_within: float) -> str:
    if spec.join.within == WAIT_FOR_EVER:
        return "cannot tell how long a stop takes: join: wait waits for ever, to the end of a whole shutdown"
    return f"cannot stop within {duration(stop_within)} for sure: this job alone may take {duration(spec.join.within)}"


def _unready(spec: JobSpec, ready_within: float) -> Iterator[tuple[str, FieldError]]:
    if not getattr(spec.binding, "announces_ready", True):
        message = f"cannot have an effect: task {spec.task!r} does not announce that it is ready, so it is once started"
        yield "ready_within", FieldError((), message, "leave it out, or use timeout")
    elif spec.timeout is not None and ready_within >= spec.timeout:
        message = (
            f"cannot have an effect: the timeout, {duration(spec.timeout)}, is no longer than {duration(ready_within)}"
        )
        yield "ready_within", FieldError((), message, "write less than the timeout")
