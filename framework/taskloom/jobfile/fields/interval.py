"""The shortest time between two firings of a schedule, which its jitter must not exceed."""

from __future__ import annotations

from functools import lru_cache

from taskloom.core.policies import Calendar, Schedule

__all__ = ["shortest_interval"]

# The instants are compared from January 1st, 2024 on, because a leap year is part of a calendar's pattern.
_FIRST_DAY, _COMPARED_INSTANTS = 1_704_067_200.0, 400


def shortest_interval(schedule: Schedule) -> float | None:
    """Return the shortest time in seconds between two firings, or None if there are no two."""
    return schedule.every or (_shortest_gap(schedule.calendar) if schedule.calendar is not None else None)


@lru_cache(maxsize=256)
def _shortest_gap(calendar: Calendar) -> float | None:
    shortest, instant = None, calendar.after(_FIRST_DAY)
    for _ in range(_COMPARED_INSTANTS):
        following = calendar.after(instant) if instant is not None else None
        if instant is None or following is None:
            break
        shortest = min(following - instant, shortest or following - instant)
        instant = following
    return shortest
