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


def has_passed(spec: JobSpec, now: float) -> bool:
    """Return whether the schedule of a job has no instant after `now`, in seconds since the epoch.

    One that catches up may still make up for its last instant, as long as `grace` allows it.
    """
    schedule = spec.schedule
    if schedule is None or schedule.calendar is None:
        return False
    return schedule.calendar.after(now - schedule.grace if schedule.catches_up else now) is None


def warnings_if_nothing_starts(specs: Sequence[JobSpec], now: float) -> Iterator[Problem]:
    """Yield the warning that no job starts by itself. `now`: seconds since the epoch.

    There is none where each job that does not start has a warning of its own: a schedule that is over, or a dependency
    that does not start.
    """
    reasons = {_reason(spec, now) for spec in specs}
    if None not in reasons and reasons - {_Why.PASSED}:
        found = [why.value for why in _Why if why in reasons]
        message = f"nothing starts by itself, so taskloom run ends at once: every job {join_or(found)}"
        yield Problem(specs[0].place or Place(".", 1, 1), message, severity="warning")


def _reason(spec: JobSpec, now: float) -> _Why | None:
    if not spec.enabled:
        return _Why.DISABLED
    if spec.start.mode is StartMode.MANUAL:
        return _Why.MANUAL
    return _Why.PASSED if has_passed(spec, now) else None
