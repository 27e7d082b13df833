"""The coming firings of all schedules, computed from facts that are taken at one moment.

The scheduler thread only copies the facts. The instants are computed on the calling thread: ten thousand schedules, or
the calendar of a plugin that takes long, must not hold up a stop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import Moment
from taskloom.core.policies import Schedule
from taskloom.core.records import JobRecord

__all__ = ["Armed", "Firing", "armed_schedules", "coming_firings"]


class Firing(NamedTuple):
    """One coming firing of a job's schedule."""

    job: str
    at: float
    """Its instant in seconds since the epoch, without the jitter: it fires up to `jitter` seconds later."""
    schedule: str
    """As shown to users: `every 5m`, `cron */5 * * * *`."""
    is_paused: bool
    """Whether the job is paused: the firing is missed, unless the job is resumed before."""


class Armed(NamedTuple):
    """One armed schedule at one moment."""

    job: str
    schedule: Schedule
    at: float
    """Its next instant in seconds since the epoch."""
    is_paused: bool


def armed_schedules(core: Lifecycle, jobs: Iterable[str] | None, now: Moment) -> list[Armed]:
    """Return the armed schedules of these jobs, or of all; called on the scheduler thread. Raises UnknownJob."""
    records = core.jobs.values() if jobs is None else [core.job(name) for name in dict.fromkeys(jobs)]
    return [armed for job in records if (armed := _armed(job, now)) is not None]


def _armed(job: JobRecord, now: Moment) -> Armed | None:
    firing, schedule = job.next_firing, job.spec.schedule
    if firing is None or schedule is None:
        return None
    at = firing.instant if schedule.every is None else now.wall + (firing.instant - now.mono)
    return Armed(job.spec.name, schedule, at, job.is_paused)


def coming_firings(armed: Iterable[Armed], count: int) -> list[Firing]:
    """Return the first `count` firings, soonest first; those at the same instant in the order of the schedules."""
    return [firing for firing, _ in zip(_all_firings(list(armed)), range(count), strict=False)]


def _all_firings(schedules: list[Armed]) -> Iterator[Firing]:
    coming = [(each.at, order) for order, each in enumerate(schedules)]
    heapify(coming)
    while coming:
        at, order = coming[0]
        job, schedule, _, is_paused = schedules[order]
        yield Firing(job, at, schedule.text, is_paused)
        following = _after(schedule, at)
        if following is None:
            heappop(coming)
        else:
            heapreplace(coming, (following, order))


def _after(schedule: Schedule, at: float) -> float | None:
    if schedule.every is not None:
        return at + schedule.every
    return schedule.calendar.after(at) if schedule.calendar is not None else None
