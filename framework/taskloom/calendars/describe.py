"""Descriptions of schedules and instants for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from taskloom.calendars.at import AtCalendar
from taskloom.calendars.cron import CronCalendar
from taskloom.calendars.errors import CalendarError
from taskloom.calendars.fields import read_expression
from taskloom.calendars.zones import find_zone, local_timezone
from taskloom.core.policies import Missed, Overlap, Schedule
from taskloom.text import duration

if TYPE_CHECKING:
    from taskloom.core.model import Moment

__all__ = ["describe_schedule", "format_instant", "fraction_digits", "next_instants"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DEFAULT = Schedule()
# strftime would use the language of the process.
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_TIMESPECS = {0: "seconds", 3: "milliseconds", 6: "microseconds"}
_OVERLAP = {
    Overlap.SKIP: "overlap skipped",
    Overlap.QUEUE: "overlap queued",
    Overlap.REPLACE: "overlap replaces the run",
}


def describe_schedule(schedule: Schedule) -> str:
    """Return a schedule in one line, such as `every 5m, at once and then drift-free; overlap skipped`."""
    return "; ".join([_instants(schedule), *_policies(schedule)])


def next_instants(schedule: Schedule, now: Moment, count: int = 3) -> list[float]:
    """Return the next `count` instants, or fewer, in seconds since the epoch, as if the schedule were armed now."""
    found = [now.wall] if schedule.immediately and count > 0 else []
    following = _next_after(schedule, now.wall)
    while following is not None and len(found) < count:
        found.append(following)
        following = _next_after(schedule, following)
    return found


def fraction_digits(schedule: Schedule, *, is_jittered: bool = False) -> int:
    """Return how many digits of a second its instants need: 0, 3 or 6, the same for each of them.

    Otherwise, of `every: 500ms`, each second instant would look as if it were less exact. `is_jittered`: the jitter is
    added, as to the time of a firing.
    """
    if is_jittered and schedule.jitter:
        return 3
    if schedule.every is not None:
        return _digits(schedule.every)
    return _digits(schedule.calendar.instant) if isinstance(schedule.calendar, AtCalendar) else 0


def _digits(seconds: float) -> int:
    microseconds = round(seconds % 1.0 * 1_000_000) % 1_000_000
    if microseconds == 0:
        return 0
    return 3 if microseconds % 1000 == 0 else 6


def format_instant(wall: float, timezone: str | None = None, digits: int = 0) -> str:
    """Return an instant as `Sun 2026-11-22 14:30:00 CET`, by default in the machine's zone.

    `digits` of the second: 0, 3 or 6, see `fraction_digits`.

    Never raises: an unknown zone is replaced by UTC, and a year without four digits by seconds since the epoch.
    """
    try:
        moment = (_EPOCH + timedelta(seconds=wall)).astimezone(_zone_or_utc(timezone))
    except (OverflowError, ValueError):
        return f"{wall:.0f} seconds since 1970-01-01 UTC"
    weekday = _WEEKDAYS[moment.weekday()]
    return f"{weekday} {moment.replace(tzinfo=None).isoformat(' ', _TIMESPECS[digits])} {moment.tzname()}"


def _next_after(schedule: Schedule, wall: float) -> float | None:
    if schedule.every is not None:
        return wall + schedule.every
    return schedule.calendar.after(wall) if schedule.calendar is not None else None


def _zone_or_utc(name: str | None) -> tzinfo:
    try:
        return find_zone(local_timezone() if name is None else name)
    except CalendarError:
        return UTC


def _instants(schedule: Schedule) -> str:
    if schedule.every is not None:
        once = "at once and then drift-free" if schedule.immediately else "drift-free"
        return f"every {duration(schedule.every)}, {once}"
    text = _describe_calendar(schedule)
    return f"at once, and then {text}" if schedule.immediately else text


def _describe_calendar(schedule: Schedule) -> str:
    calendar = schedule.calendar
    if isinstance(calendar, CronCalendar):
        text = read_expression(calendar.expression).explain()
        return f"{text[0].lower()}{text[1:]}, {calendar.timezone} time ({calendar.expression})"
    if isinstance(calendar, AtCalendar):
        digits = fraction_digits(schedule)
        return f"once, {format_instant(calendar.instant, calendar.timezone, digits)} ({calendar.timezone})"
    return schedule.text or "at the instants of its calendar"


def _policies(schedule: Schedule) -> list[str]:
    """Return the overlap policy, and every other policy that is not the default."""
    found = [_OVERLAP[schedule.overlap]]
    if schedule.jitter:
        found.append(f"up to {duration(schedule.jitter)} later, at random")
    if schedule.missed is Missed.SKIP:
        found.append("a missed instant is skipped")
    elif schedule.missed is Missed.CATCH_UP:
        found.append(f"a missed instant, also while the program was down, still runs within {duration(schedule.grace)}")
    elif schedule.grace != _DEFAULT.grace:
        found.append(f"a missed instant still runs within {duration(schedule.grace)}")
    return found
