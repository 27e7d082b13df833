"""The instants of one schedule: how many have come, which is the latest, and which follows."""

from __future__ import annotations

from datetime import UTC, datetime

from taskloom.core.policies import Calendar, Schedule

__all__ = ["WallInstant", "after", "count_until", "latest_until", "may_be_overtaken"]

# The core counts no further than this either.
COUNTED = 1000


class WallInstant:
    """A second of the wall clock. It equals its RFC 3339 text to the millisecond."""

    def __init__(self, wall: float) -> None:
        self._wall = wall

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and abs(datetime.fromisoformat(other).timestamp() - self._wall) < 1e-3

    def __hash__(self) -> int:
        return hash(self._wall)

    def __repr__(self) -> str:
        return datetime.fromtimestamp(self._wall, UTC).isoformat()


def may_be_overtaken(schedule: Schedule, instant: float) -> bool:
    """Return whether a later instant may fire before this one: the jitter is longer than the time between them."""
    following = schedule.calendar.after(instant) if schedule.calendar is not None and schedule.jitter else None
    return following is not None and following - instant <= schedule.jitter


def after(schedule: Schedule, instant: float) -> float | None:
    """Return the instant that follows, or None if there is none."""
    if schedule.every:
        return instant + schedule.every
    return schedule.calendar.after(instant) if schedule.calendar is not None else None


def latest_until(calendar: Calendar, first: float, wall: float) -> float:
    """Return the latest instant that has come; `first` is the earliest."""
    return max(first, calendar.latest(wall) or first) if wall >= first + 1.0 else first


def count_until(calendar: Calendar, first: float, wall: float) -> int:
    """Return how many instants have come before the latest one; `first` is the earliest."""
    latest, count = latest_until(calendar, first, wall), 0
    instant: float | None = first
    while instant is not None and instant < latest and count < COUNTED:
        count += 1
        instant = calendar.after(instant)
    return count
