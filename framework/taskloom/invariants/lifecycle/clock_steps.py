"""How calendars must follow a wall clock that is set: an own reading of the rules of Debian's cron(8).

The lifecycle checks the clock at each tick, but at least every 15 s. By the number `repeats_after` of its calendar, a
job follows the clock back, or waits until the clock shows what the calendar has seen already.
"""

from __future__ import annotations

from taskloom.core.policies import Calendar, Missed, Schedule, repeats_after
from taskloom.invariants.lifecycle.model import JobModel

__all__ = ["HOURS_3", "STEP_SECONDS", "ClockSteps"]

STEP_SECONDS = 0.1
HOURS_3 = 3 * 3600.0
NOT_YET = float("-inf")


class ClockSteps:
    """The wall clock as the calendars have seen it, from tick to tick."""

    def __init__(self) -> None:
        self.is_watched = False
        self.last_check = 0.0
        """When a tick compared the clocks last, in monotonic seconds."""
        self._offset = self._highest_offset = self._new_time = 0.0
        # The keys are the `repeats_after` of calendars.
        self._tops: dict[float, float] = {HOURS_3: NOT_YET}
        self._replays: dict[float, float] = {}
        self._corrections: dict[float, float] = {}
        self._corrections_before: dict[float, float] = {}
        self._rewound: set[float] = set()
        self._replays_before: dict[float, float] = {}

    def watch(self, now: float, wall: float) -> None:
        """Begin with the first armed calendar."""
        if self.is_watched:
            return
        self.is_watched, self._offset, self.last_check = True, wall - now, now
        for limit in self._tops:
            if self._tops[limit] > wall + limit + STEP_SECONDS:
                self._tops[limit] = wall

    def end(self, now: float) -> None:
        """End with the last armed calendar."""
        if self.is_watched:
            self.is_watched = False
            for limit in self._tops:
                self._tops[limit] = max(self._tops[limit], now + self._offset)

    def first_instant(self, job: JobModel, schedule: Schedule, now: float, wall: float, since: float) -> float | None:
        """Return the first instant of a job that is armed now, and whose calendar counts from the wall time `since`."""
        calendar = schedule.calendar
        if calendar is None:
            return None
        limit, latest = _limit(schedule, calendar), job.latest_instant
        if _is_recorded_ahead(job, wall) and latest is not None:
            return calendar.after(latest)
        top = max(self._tops.setdefault(limit, NOT_YET), now + self._offset)
        is_again = latest is not None and wall < latest < top + 2 * STEP_SECONDS and top < wall + limit + STEP_SECONDS
        return calendar.after(latest if is_again and latest is not None else since)

    def check(self, now: float, wall: float, steady_until: float) -> None:
        """Compare the clocks at a tick."""
        last = max(self.last_check, steady_until)
        expected, shown_last = now + self._offset, last + self._offset
        self._replays_before, self._corrections_before = dict(self._replays), dict(self._corrections)
        self._rewound = set()
        self._new_time = last + wall - now + STEP_SECONDS
        for limit in self._tops:
            self._tops[limit] = max(self._tops[limit], expected)
            if wall < shown_last - STEP_SECONDS and self._tops[limit] > wall + limit + STEP_SECONDS:
                self._rewound.add(limit)
                top = self._tops[limit]
                if top > wall + HOURS_3 + STEP_SECONDS:
                    self._corrections[limit] = max(top, self._corrections.get(limit, NOT_YET))
                    self._replays.pop(limit, None)
                else:
                    self._replays[limit] = max(top, self._replays.get(limit, NOT_YET))
                self._tops[limit] = wall
        self._highest_offset = max(self._offset, wall - now)
        self._offset, self.last_check = wall - now, now

    def instant_after_step(self, job: JobModel, schedule: Schedule, offset: float, wall: float) -> float | None:
        """Return the next instant of a job after the check that found the clock set; None if it has none.

        `offset`: from the monotonic clock, by which the instant was computed.
        """
        calendar, instant = schedule.calendar, job.instant
        if calendar is None or instant is None:
            return instant
        limit, latest = _limit(schedule, calendar), job.latest_instant
        begun = latest if _is_recorded_ahead(job, wall) and latest is not None else NOT_YET
        if limit in self._rewound or offset - limit - STEP_SECONDS > self._highest_offset:
            return calendar.after(max(self._new_time, begun)) or instant
        done = min(self._replays_before.get(limit, NOT_YET), self._new_time)
        if self._corrections_before.get(limit, self._new_time + 1.0) <= self._new_time:
            done = max(done, self._corrections_before[limit])
        return (calendar.after(max(done, begun)) or instant) if instant <= done else instant


def _limit(schedule: Schedule, calendar: Calendar) -> float:
    """Return by how much the clock may be set back without instants of the schedule coming again."""
    return HOURS_3 if schedule.missed is Missed.CATCH_UP else repeats_after(calendar)


def _is_recorded_ahead(job: JobModel, wall: float) -> bool:
    """Return whether the clock was set to a time before the job's latest instant, which starts no second run."""
    latest = job.latest_instant
    return job.catches_up and latest is not None and wall < latest <= wall + HOURS_3 + STEP_SECONDS
