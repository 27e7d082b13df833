"""A cheap calendar: an instant every `period` seconds of the wall clock, from `first` to `last`."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

__all__ = ["FakeCalendar"]


@dataclass(frozen=True, slots=True)
class FakeCalendar:
    """Instants at `first`, `first + period`, and so on, none after `last`; in seconds since the epoch.

    They are fixed times, unless `repeats_after` is 60.0, as for wildcards of minutes, or 1.0, as for those of seconds.
    """

    first: float
    period: float
    last: float = float("inf")
    repeats_after: float = 3 * 3600.0

    def after(self, wall: float) -> float | None:
        """Return the first instant after `wall`, or None if there is none."""
        if wall < self.first:
            return self.first if self.first <= self.last else None
        instant = self.first + (floor((wall - self.first) / self.period) + 1) * self.period
        return instant if instant <= self.last else None

    def latest(self, wall: float) -> float | None:
        """Return the last instant until `wall`, or None if there is none."""
        wall = min(wall, self.last)
        return None if wall < self.first else self.first + floor((wall - self.first) / self.period) * self.period
