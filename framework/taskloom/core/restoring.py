"""Give a job that is declared what it remembers from earlier starts of the program.

A pause goes on, the restarts of the last start count for the limit, and a schedule that catches up knows which instants
have passed since its last one. The last is forgotten if the declaration has another fingerprint. Times in the future
are dropped, because the wall clock was set back since: they would hold for an unknown time.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from taskloom.core.events import format_wall
from taskloom.core.model import Hold, JobSpec, Moment, Reason, ReasonKind
from taskloom.core.policies import StartMode
from taskloom.core.records import JobRecord
from taskloom.core.remembered import Recollection, RememberedJob
from taskloom.core.restart import FLAPPING_SECONDS, Backoff
from taskloom.core.store import JobStore

__all__ = ["DELAY_SECONDS", "declare"]

# A restart delay that has grown is forgotten if the last counted restart is longer ago: its cause is probably over.
DELAY_SECONDS = 3600.0
# An event tells an instant to the microsecond, and those of a calendar are a second apart.
_ROUNDING_SECONDS = 0.001
# The wall clock may be slewed a little between two starts.
_AHEAD_SECONDS = 1.0


def declare(store: JobStore, spec: JobSpec, memory: Recollection) -> JobRecord:
    """Declare a job, and restore what is remembered of it."""
    remembered, fingerprint = memory.jobs.get(spec.name), memory.fingerprints.get(spec.name, "")
    data: dict[str, Any] = {"fingerprint": fingerprint} if fingerprint else {}
    paused_since = remembered.paused_since if remembered is not None and spec.schedule is not None else None
    if paused_since is not None:
        data["paused_since"] = format_wall(paused_since)
    backoff = _backoff(remembered, store.now) if remembered is not None else None
    if backoff is not None and (ages := _recent(backoff, store.now)):
        data["restart_ages"] = ages
    job = store.declare(spec, data)
    if remembered is None:
        return job
    if paused_since is not None:
        reason = Reason(ReasonKind.USER, remembered.paused_reason)
        store.hold(job, Hold.PAUSED, reason, _moment(paused_since, store.now))
    job.backoff = backoff
    if remembered.fingerprint == fingerprint:
        _restore_schedule(job, remembered, store.now)
    return job


def _restore_schedule(job: JobRecord, remembered: RememberedJob, now: Moment) -> None:
    """Let the schedule go on where it was, unless only a user arms it."""
    schedule = job.spec.schedule
    if schedule is None or not schedule.catches_up or job.spec.start.mode is StartMode.MANUAL:
        return
    last = remembered.last_instant
    if last is not None and schedule.calendar is not None:
        job.latest_instant = last = last + _ROUNDING_SECONDS
    armed_at = remembered.armed_at
    if armed_at == float("inf"):
        return
    # A job that was declared in the future has seen the clock corrected, and its last instant came after that.
    is_corrected = last is not None and last <= now.wall < armed_at
    job.catches_up_since = last if last is not None and (is_corrected or last > armed_at) else armed_at


def _backoff(remembered: RememberedJob, now: Moment) -> Backoff | None:
    times = [_moment(time, now).mono for time in remembered.restarts if time <= now.wall + _AHEAD_SECONDS]
    times.sort()
    is_recent = not times or now.mono - times[-1] <= DELAY_SECONDS
    backoff = Backoff(max(0.0, remembered.restart_delay) if is_recent else 0.0, deque(times))
    return backoff if backoff.has_history else None


def _recent(backoff: Backoff, now: Moment) -> list[float]:
    """Return how many seconds ago the latest restarts were: with them the job may soon be flapping."""
    ages = [round(now.mono - time, 6) for time in backoff.times]
    return [age for age in ages if age < FLAPPING_SECONDS]


def _moment(wall: float, now: Moment) -> Moment:
    """Return a moment of the past, in seconds since the epoch; now if it seems to come yet."""
    wall = min(wall, now.wall)
    return Moment(now.mono + (wall - now.wall), wall)
