"""Jobs that do not start by themselves, and the warning if that is true of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum

from taskloom.core.model import JobSpec, StartMode
from taskloom.diagnostics import Place, Problem
from taskloom.jobfile.fields.spec import join_or

__all__ = ["has_passed", "warnings_if_nothing_starts"]


class _Why(Enum):
    """Why a job does not start by itself, as the end of a sentence about every job."""

    DISABLED = "is disabled"
    MANUAL = "has start: manual"
    PASSED = "has a schedule without a further instant"
    WAITS = "waits for one that does not start"


def has_passed(spec: JobSpec, now: float) -> bool:
    """Return whether the schedule of a job has no instant after `now`, in seconds since the epoch."""
    calendar = spec.schedule.calendar if spec.schedule is not None else None
    return calendar is not None and calendar.after(now) is None


def warnings_if_nothing_starts(specs: Sequence[JobSpec], now: float) -> Iterator[Problem]:
    """Yield the warning that no job starts by itself. `now`: seconds since the epoch."""
    reasons: dict[str, _Why | None] = {spec.name: _own_reason(spec, now) for spec in specs}
    waiting = [spec for spec in specs if spec.after and reasons[spec.name] is None]
    # Each round finds at least one more job, so the rounds end. Most files need one.
    while lost := [spec for spec in waiting if any(reasons.get(each.job) for each in spec.after)]:
        reasons |= {spec.name: _Why.WAITS for spec in lost}
        waiting = [spec for spec in waiting if reasons[spec.name] is None]
    if specs and all(reasons.values()):
        found = [why.value for why in _Why if why in reasons.values()]
        message = f"nothing starts by itself, so taskloom run ends at once: every job {join_or(found)}"
        yield Problem(specs[0].place or Place(".", 1, 1), message, severity="warning")


def _own_reason(spec: JobSpec, now: float) -> _Why | None:
    if not spec.enabled:
        return _Why.DISABLED
    if spec.start.mode is StartMode.MANUAL:
        return _Why.MANUAL
    return _Why.PASSED if has_passed(spec, now) else None
