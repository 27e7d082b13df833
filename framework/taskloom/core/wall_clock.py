"""The wall clock as the schedules know it: whether it was set, and which calendars follow it.

The rules are those of Debian's cron(8). A calendar at fixed times is held back while the clock shows times again that
it has shown before, so that no instant runs twice. Any other calendar follows the clock. Both only up to a limit: if
the clock is set back by more than three hours, all calendars use the new time, and if it is set back by no more than
the resolution of a calendar (a minute for most), no calendar runs an instant again. So each calendar has one number,
`repeats_after`, and those with the same number have seen the same time.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from taskloom.core.model import Moment
from taskloom.core.policies import HELD_BACK_SECONDS

__all__ = ["CLOCK_SECONDS", "STEP_SECONDS", "ClockChange", "WallClock"]

# How often the wall clock is checked for having been set; Debian's cron checks once a minute.
CLOCK_SECONDS = 15.0
# ntpd slews what is less than 0.128 s, and steps what is more.
STEP_SECONDS = 0.1


class ClockChange(NamedTuple):
    """How the clock was set, for the calendars that were armed before."""

    shown: float
    """The time that the clock, as it is set now, showed right after the last check: the new time counts from then."""
    followed: dict[float, float]
    """For each `repeats_after` whose calendars follow the clock back: the time that they had seen."""
    replayed: dict[float, float]
    """For each `repeats_after` whose calendars have followed the clock back: the time up to which they run again."""
    corrected: dict[float, float]
    """For each `repeats_after` whose calendars were set back by a correction: the time that they had seen before it."""

    highest_offset: float
    """The higher one of the offsets to the monotonic clock before and after."""

    def new_start(self, limit: float, instant: float, offset: float) -> float | None:
        """Return the time after which to look for the next instant; None if `instant` is still the next one.

        `offset`: that by which the instant was set. It may be ahead although no calendar follows, if this one was
        armed between two steps that cancel out.
        """
        if limit in self.followed or offset - self.highest_offset > limit + STEP_SECONDS:
            return self.shown
        # Set forward again: what came before the clock was set back is not missed now. After a correction that holds
        # only if it is undone; otherwise the time before it was wrong.
        again = min(self.replayed.get(limit, -inf), self.shown)
        corrected = self.corrected.get(limit, inf)
        if corrected <= self.shown:
            again = max(again, corrected)
        return again if instant <= again else None


class WallClock:
    """Compares the wall clock with the monotonic clock, while calendars are armed."""

    def __init__(self) -> None:
        self._is_watched = False
        # How far the wall clock was ahead of the monotonic clock when all calendars were last adjusted to it, and
        # whether one was set by another offset since. While neither changes, thousands of calendars need no work.
        self._offset = 0.0
        self._is_any_off = False
        self._checked_at = 0.0  # monotonic
        # The latest time that the calendars of each `repeats_after` have seen, while the clock is behind it.
        self._seen = {HELD_BACK_SECONDS: -inf}
        self._replayed: dict[float, float] = {}
        self._corrected: dict[float, float] = {}

    @property
    def check_at(self) -> float:
        """When the next check is due, in monotonic seconds; inf while no calendar is armed."""
        return self._checked_at + CLOCK_SECONDS if self._is_watched else inf

    def watch(self, now: Moment) -> None:
        """Begin to watch the clock; idempotent."""
        if self._is_watched:
            return
        self._is_watched = True
        self._offset, self._is_any_off, self._checked_at = now.wall - now.mono, False, now.mono
        for limit, seen in self._seen.items():
            if seen - now.wall > limit + STEP_SECONDS:
                self._seen[limit] = now.wall

    def stop_watching(self, now: Moment) -> None:
        """Stop, because no calendar is armed. How often the clock is set until the next `watch` remains unknown."""
        if self._is_watched:
            self._is_watched = False
            self._seen = {limit: max(seen, self._offset + now.mono) for limit, seen in self._seen.items()}

    def note_offset(self, now: Moment) -> None:
        """Note that a calendar was set by the present offset."""
        # A quarter of a step here and another until the next check: no error of a whole step goes unnoticed.
        if abs(now.wall - now.mono - self._offset) >= STEP_SECONDS / 4:
            self._is_any_off = True

    def start_of(self, limit: float, latest: float | None, now: Moment) -> float:
        """Return the time after which a calendar that is armed now has its first instant.

        `latest`: the latest instant that the job had. While its calendar is held back, none up to that runs again.
        """
        seen = max(self._seen.setdefault(limit, -inf), self._offset + now.mono)
        is_held = latest is not None and now.wall < latest <= seen + STEP_SECONDS
        return latest if is_held and latest is not None and seen - now.wall <= limit + STEP_SECONDS else now.wall

    def check(self, now: Moment, steady_until: float) -> ClockChange | None:
        """Return how the clock was set since the last check; None if it was not.

        It is known not to have been set until `steady_until`, in monotonic seconds.
        """
        offset, checked_at = now.wall - now.mono, max(self._checked_at, steady_until)
        self._checked_at = now.mono
        if not self._is_any_off and abs(offset - self._offset) < STEP_SECONDS / 4:
            return None
        # A step is added because a firing may be that early: it is not repeated at its instant.
        new_time, highest_offset = checked_at + offset + STEP_SECONDS, max(offset, self._offset)
        change = ClockChange(new_time, {}, self._replayed, self._corrected, highest_offset)
        expected, was_set_back = self._offset + now.mono, now.wall < self._offset + checked_at - STEP_SECONDS
        for limit, seen in self._seen.items():
            self._seen[limit] = seen = max(seen, expected)
            # If this thread is suspended between its readings of the two clocks, the wall clock seems to be set back,
            # but it never shows less than at the last check.
            if was_set_back and seen - now.wall > limit + STEP_SECONDS:
                change.followed[limit] = seen
                self._seen[limit] = now.wall
        self._note_replays(change, now)
        self._offset, self._is_any_off = offset, False
        return change

    def _note_replays(self, change: ClockChange, now: Moment) -> None:
        replayed, corrected = self._replayed.copy(), self._corrected.copy()
        for limit, seen in change.followed.items():
            if seen - now.wall > HELD_BACK_SECONDS + STEP_SECONDS:
                replayed.pop(limit, None)
                corrected[limit] = max(seen, corrected.get(limit, -inf))
            else:
                replayed[limit] = max(seen, replayed.get(limit, -inf))
        self._replayed, self._corrected = replayed, corrected
