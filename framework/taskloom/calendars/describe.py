"""Schedules and instants, said to people."""

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

__all__ = ["format_instant", "in_words", "next_instants"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_USUAL = Schedule()
# strftime would say them in the language of the process.
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_OVERLAP = {
    Overlap.SKIP: "overlap skipped",
    Overlap.QUEUE: "overlap queued",
    Overlap.REPLACE: "overlap replaces the run",
}


def in_words(schedule: Schedule) -> str:
    """Return a schedule in one line, such as `every 5m, at once and then drift-free; overlap skipped`."""
    return "; ".join([_instants(schedule), *_manners(schedule)])


def next_instants(schedule: Schedule, now: Moment, count: int = 3) -> list[float]:
    """Return up to `count` instants from now on, in seconds since the epoch, as if the schedule were armed now."""
    found = [now.wall] if schedule.immediately and count > 0 else []
    following = _following(schedule, now.wall)
    while following is not None and len(found) < count:
        found.append(following)
        following = _following(schedule, following)
    return found


def format_instant(wall: float, timezone: str | None = None) -> str:
    """Return an instant as `Sun 2026-11-22 14:30:00 CET`, in the machine's zone where none is named.

    Never raises: UTC stands in for a zone that cannot be had, and seconds for a year that has no four digits.
    """
    try:
        moment = (_EPOCH + timedelta(seconds=wall)).astimezone(_zone_or_utc(timezone))
    except (OverflowError, ValueError):
        return f"{wall:.0f} seconds since 1970-01-01 UTC"
    weekday = _WEEKDAYS[moment.weekday()]
    return f"{weekday} {moment.replace(tzinfo=None).isoformat(' ', 'seconds')} {moment.tzname()}"


def _following(schedule: Schedule, wall: float) -> float | None:
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
    said = _calendar_in_words(schedule)
    return f"at once, and then {said}" if schedule.immediately else said


def _calendar_in_words(schedule: Schedule) -> str:
    calendar = schedule.calendar
    if isinstance(calendar, CronCalendar):
        said = read_expression(calendar.expression).explain()
        return f"{said[0].lower()}{said[1:]}, {calendar.timezone} time ({calendar.expression})"
    if isinstance(calendar, AtCalendar):
        return f"once, {format_instant(calendar.instant, calendar.timezone)} ({calendar.timezone})"
    return schedule.text or "at the instants of its calendar"


def _manners(schedule: Schedule) -> list[str]:
    """Return the overlap, and what is not as everywhere."""
    said = [_OVERLAP[schedule.overlap]]
    if schedule.jitter:
        said.append(f"up to {duration(schedule.jitter)} later by chance")
    if schedule.missed is Missed.SKIP:
        said.append("a missed instant is not made up for")
    elif schedule.grace != _USUAL.grace:
        said.append(f"a missed instant is made up for within {duration(schedule.grace)}")
    return said
