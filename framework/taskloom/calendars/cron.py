"""Cron schedules with the meaning that Debian's cron gives them.

The rules are those of cron(8) and crontab(5) of Debian:

- If day-of-month and day-of-week are both restricted, either may match; if one of them begins with a star, both must.
- A *fixed* job (neither its minutes nor its hours begin with a star) whose time is skipped by a change of less than
  three hours runs right after the change; if its time is repeated, it runs only the first time. Any other job follows
  the clock.
- A change of three hours or more (a country that crosses the date line) is a correction: the new time is used.
- The same holds if the clock is set by hand or by a time service, see `repeats_after`.

Debian has no seconds. Here the seconds follow the same rule of the leading star, so that `0 30 2 * * *` means the same
as `30 2 * * *`.

cronsim's own iteration is not used: it takes ten times as long, returns one instant twice when two skipped jobs run
after a gap, and also runs the jobs of a whole skipped day.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from calendar import isleap
from dataclasses import dataclass, field
from datetime import date, tzinfo
from functools import lru_cache
from math import floor
from typing import TYPE_CHECKING

from taskloom.calendars.errors import CalendarError
from taskloom.calendars.fields import read_expression
from taskloom.calendars.zones import DAY, LAST, Span, find_zone, local_timezone, span_at
from taskloom.core.policies import HELD_BACK_SECONDS

if TYPE_CHECKING:
    from cronsim import CronSim

__all__ = ["CronCalendar", "cron_calendar"]

_CORRECTION = 3 * 3600
_MINUTE, _SECOND = 60.0, 1.0
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_LAST_YEAR = 9999
# A year is determined by its length and its first weekday; any 28 years contain all 14 kinds.
_ALL_KINDS_OF_YEARS = range(1972, 2000)


class Days:
    """The days that the three day fields of an expression allow, counted from 1970-01-01."""

    __slots__ = ("_kinds", "_read", "is_every_day")

    def __init__(self, read: CronSim) -> None:
        self._read = read
        self._kinds: dict[tuple[bool, int], tuple[int, ...]] = {}
        self.is_every_day = len(read.months) == 12 and all(part == "*" for part in (read.parts[3], read.parts[5]))

    def of_year(self, year: int) -> tuple[int, ...]:
        """Return the allowed days of a year, counted from 0."""
        new_year = date(year, 1, 1)
        kind = (isleap(year), new_year.weekday())
        found = self._kinds.get(kind)
        if found is None:
            # Two threads may compute this at the same time; both store the same value.
            found = self._kinds[kind] = self._find(new_year.toordinal(), 365 + kind[0])
        return found

    def _find(self, new_year: int, length: int) -> tuple[int, ...]:
        dates = (date.fromordinal(new_year + number) for number in range(length))
        allowed = self._read.match_day
        months = self._read.months
        return tuple(number for number, one in enumerate(dates) if one.month in months and allowed(one))

    def on_or_after(self, day: int) -> int | None:
        """Return the first allowed day that is not before `day`, or None if there is none up to the year 9999."""
        if self.is_every_day:
            return day
        one = date.fromordinal(day + _EPOCH_ORDINAL)
        number = one.timetuple().tm_yday - 1
        for year in range(one.year, _LAST_YEAR + 1):
            days = self.of_year(year)
            at = bisect_left(days, number)
            if at < len(days):
                return date(year, 1, 1).toordinal() - _EPOCH_ORDINAL + days[at]
            number = 0
        return None

    def on_or_before(self, day: int) -> int | None:
        """Return the last allowed day that is not after `day`, or None if there is none since 1969.

        1969 because 1970-01-01 UTC is still 1969 in the Americas.
        """
        if self.is_every_day:
            return day
        one = date.fromordinal(day + _EPOCH_ORDINAL)
        number = one.timetuple().tm_yday - 1
        for year in range(one.year, 1968, -1):
            days = self.of_year(year)
            at = bisect_right(days, number)
            if at:
                return date(year, 1, 1).toordinal() - _EPOCH_ORDINAL + days[at - 1]
            number = 366
        return None


class LocalTimes:
    """The local times that an expression allows, in seconds of a clock that never changes."""

    __slots__ = ("_days", "_minutes", "_seconds")

    def __init__(self, read: CronSim) -> None:
        self._days = _days_of(*read.parts[3:])
        self._minutes = _minutes_of(frozenset(read.hours), frozenset(read.minutes))
        self._seconds = tuple(sorted(read.seconds))

    @property
    def has_one_second(self) -> bool:
        """Whether all times are at the same second of a minute, as those of five fields are."""
        return len(self._seconds) == 1

    def on_or_after(self, local: int) -> int | None:
        """Return the first allowed time that is not before `local`, or None."""
        day, rest = divmod(local, DAY)
        found = self._days.on_or_after(day)
        if found == day:
            minute, second = divmod(rest, 60)
            at = bisect_left(self._minutes, minute)
            if at < len(self._minutes):
                if self._minutes[at] > minute:
                    return day * DAY + self._minutes[at] * 60 + self._seconds[0]
                if second <= self._seconds[-1]:
                    return day * DAY + minute * 60 + self._seconds[bisect_left(self._seconds, second)]
                if at + 1 < len(self._minutes):
                    return day * DAY + self._minutes[at + 1] * 60 + self._seconds[0]
            found = self._days.on_or_after(day + 1)
        return None if found is None else found * DAY + self._minutes[0] * 60 + self._seconds[0]

    def on_or_before(self, local: int) -> int | None:
        """Return the last allowed time that is not after `local`, or None."""
        day, rest = divmod(local, DAY)
        found = self._days.on_or_before(day)
        if found == day:
            minute, second = divmod(rest, 60)
            at = bisect_right(self._minutes, minute) - 1
            if at >= 0:
                if self._minutes[at] < minute:
                    return day * DAY + self._minutes[at] * 60 + self._seconds[-1]
                if second >= self._seconds[0]:
                    return day * DAY + minute * 60 + self._seconds[bisect_right(self._seconds, second) - 1]
                if at > 0:
                    return day * DAY + self._minutes[at - 1] * 60 + self._seconds[-1]
            found = self._days.on_or_before(day - 1)
        return None if found is None else found * DAY + self._minutes[-1] * 60 + self._seconds[-1]


@lru_cache(maxsize=1024)
def _days_of(day: str, month: str, weekday: str) -> Days:
    return Days(read_expression(f"0 0 {day} {month} {weekday}"))


@lru_cache(maxsize=1024)
def _minutes_of(hours: frozenset[int], minutes: frozenset[int]) -> tuple[int, ...]:
    """Return the allowed minutes of a day."""
    return tuple(hour * 60 + minute for hour in sorted(hours) for minute in sorted(minutes))


@dataclass(frozen=True, slots=True)
class CronCalendar:
    """The instants of a cron expression in a time zone. Two are equal when expression and zone are equal texts."""

    expression: str
    """As it is written, white space apart."""
    timezone: str
    """The name of the zone; never empty."""
    _zone: tzinfo = field(init=False, compare=False, repr=False)
    _times: LocalTimes = field(init=False, compare=False, repr=False)
    _is_fixed: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Read the expression and find the zone. Raises CalendarError."""
        read = read_expression(self.expression)
        if not any(_days_of(*read.parts[3:]).of_year(year) for year in _ALL_KINDS_OF_YEARS):
            raise CalendarError(self.expression, "cron", "no day of any year matches")
        object.__setattr__(self, "_zone", find_zone(self.timezone))
        object.__setattr__(self, "_times", LocalTimes(read))
        object.__setattr__(self, "_is_fixed", not any(part.startswith("*") for part in read.parts[:3]))

    def __reduce__(self) -> tuple[type[CronCalendar], tuple[str, str]]:
        return type(self), (self.expression, self.timezone)

    @property
    def repeats_after(self) -> float:
        """By how many seconds the clock may be set back without instants coming again, see `core.policies`.

        cron looks at the minute that the clock shows, so that a step within a minute repeats nothing, and with seconds
        at the second.
        """
        if self._is_fixed:
            return HELD_BACK_SECONDS
        return _MINUTE if self._times.has_one_second else _SECOND

    def after(self, wall: float) -> float | None:
        """Return the first instant later than `wall`, in seconds since the epoch; None after the year 9999.

        Instants before 1970 are never returned. Never raises, for any number.
        """
        if not wall < LAST:
            return None
        earliest = floor(wall) + 1 if wall >= 0 else 0
        while earliest < LAST:
            span = span_at(self._zone, earliest)
            low = self._begin_of(span)
            if earliest > span.start:
                low = max(low, earliest + span.offset)
            local = self._times.on_or_after(low)
            if local is None:
                return None
            if local < span.end + span.offset:
                return float(max(local - span.offset, span.start))
            # No change of offset is longer than a day: without a match in the span's last day nothing is repeated.
            is_clear = span.end + span.offset - low >= DAY
            earliest = max(span.end, local - 2 * DAY) if is_clear else span.end
        return None

    def latest(self, wall: float) -> float | None:
        """Return the last instant that is not later than `wall`; None if there was none since 1970."""
        if not wall >= 0:
            return None
        last = floor(min(wall, LAST - 1))
        while last >= 0:
            span = span_at(self._zone, last)
            high, begin = last + span.offset, self._begin_of(span)
            local = self._times.on_or_before(high)
            if local is None:
                return None
            if local >= begin:
                return float(max(local - span.offset, span.start))
            is_clear = high - begin >= DAY
            last = min(span.start - 1, local + 2 * DAY) if is_clear else span.start - 1
        return None

    def _begin_of(self, span: Span) -> int:
        """Return the local time from which this span's times count.

        For a fixed job this is the local time at which the span before ended: times that the gap skipped run at the
        span's start, and repeated times have run already. Any other job follows the clock.
        """
        if self._is_fixed and abs(span.offset - span.before) < _CORRECTION:
            return span.start + span.before
        return span.start + span.offset


def cron_calendar(expression: str, timezone: str | None = None) -> CronCalendar:
    """Return the calendar of an expression in `timezone`, by default the machine's.

    The expression has five fields, or six with seconds first, or is a nickname such as `@daily`. Raises CalendarError.
    """
    return CronCalendar(" ".join(expression.split()), local_timezone() if timezone is None else timezone)
