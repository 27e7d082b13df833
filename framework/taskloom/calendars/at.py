"""A schedule of one instant: `at: 2026-12-24T18:00`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

from taskloom.calendars.errors import CalendarError
from taskloom.calendars.zones import LAST, find_zone, local_timezone, offset_at, span_at

__all__ = ["AtCalendar", "at_calendar"]

_DATE = r"(\d{4}-\d\d-\d\d)"
_TIME = r"(\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)"
_WRITTEN = re.compile(rf"{_DATE}[T ]{_TIME} ?(Z|[+-]\d\d:?\d\d)?", re.ASCII | re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class AtCalendar:
    """One instant. Two are equal when the instant and the name of the zone are."""

    instant: float
    """Seconds since the epoch."""
    timezone: str
    """The name of the zone that it was written in, or an offset such as `+02:00`."""
    text: str = field(default="", compare=False)
    """As it is written."""
    remark: str = field(default="", compare=False)
    """What the writer should know: that the clock skips this time, or shows it twice. Mostly empty."""

    def after(self, wall: float) -> float | None:
        """Return the instant, if it is later."""
        return self.instant if self.instant > wall else None

    def latest(self, wall: float) -> float | None:
        """Return the instant, if it is not later."""
        return self.instant if self.instant <= wall else None


def at_calendar(text: str, timezone: str | None = None) -> AtCalendar:
    """Return the calendar of an ISO 8601 date and time, in the given zone, else in the machine's.

    A time that the clock skips means the instant right after the gap; of a time that comes twice the first is
    meant. Both leave a `remark`. With `Z` or an offset in the text no zone may be given. Raises CalendarError.
    """
    date, time, offset = _parts_of(text)
    local = _local(text, date, time)
    if offset is not None:
        return _at_offset(text, local, offset, timezone)
    name = local_timezone() if timezone is None else timezone
    zone = find_zone(name)
    instant, remark = _in_zone(local, zone, name)
    return AtCalendar(_checked(text, instant), name, text.strip(), remark)


def _parts_of(text: str) -> tuple[str, str, str | None]:
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        if re.fullmatch(_DATE, text.strip(), re.ASCII):
            raise CalendarError(text, "at", f"the time of day is missing, write {text.strip()}T00:00")
        raise CalendarError(text, "at", "expected a date and a time like 2026-12-24T18:00")
    date, time, offset = found.groups()
    return date, time, offset


def _local(text: str, date: str, time: str) -> datetime:
    try:
        datetime.fromisoformat(date)
    except ValueError:
        raise CalendarError(text, "at", f"there is no day {date}") from None
    try:
        return datetime.fromisoformat(f"{date}T{time}")
    except ValueError:
        raise CalendarError(text, "at", f"there is no time {time}, expected 00:00-23:59:59") from None


def _at_offset(text: str, local: datetime, offset: str, timezone_beside: str | None) -> AtCalendar:
    if timezone_beside is not None:
        why = f"it says {offset!r} and timezone says {timezone_beside!r}, leave one out"
        raise CalendarError(text, "at", why)
    name = "UTC" if offset in ("Z", "z") else f"{offset[:3]}:{offset[-2:]}"
    try:
        zone = find_zone(name)
    except CalendarError:
        raise CalendarError(text, "at", f"there is no offset {offset}, expected -23:59 to +23:59") from None
    instant = (local - (zone.utcoffset(None) or timedelta())).replace(tzinfo=UTC)
    return AtCalendar(_checked(text, _seconds(instant)), name, text.strip())


def _in_zone(local: datetime, zone: tzinfo, name: str) -> tuple[float, str]:
    """Return the instant of a local time, and what to remark of it."""
    naive = _seconds(local.replace(tzinfo=UTC))
    first, second = (_instant_with(local, zone, fold) for fold in (0, 1))
    if first == second:
        return first, ""
    written = local.isoformat(" ", "minutes" if not local.second else "auto")
    if offset_at(zone, int(first)) + first != naive:
        # A gap. Read by the clock after it, the time comes before the change: that is where to look for it.
        change = _change_after(zone, int(second))
        runs = _said(change, zone)
        return float(change), f"the clock skips {written} in {name}; it runs right after, at {runs}"
    meant = _said(first, zone)
    return first, f"{written} comes twice in {name}; the first is meant, {meant}; {_said(second, zone)} is the second"


def _change_after(zone: tzinfo, instant: int) -> int:
    """Return when the offset changes that is in force at an instant."""
    span = first = span_at(zone, instant)
    while span.offset == first.offset:
        span = span_at(zone, span.end)
    return span.start


def _instant_with(local: datetime, zone: tzinfo, fold: int) -> float:
    return _seconds(local.replace(tzinfo=zone, fold=fold))


def _seconds(moment: datetime) -> float:
    return (moment - _EPOCH) / timedelta(seconds=1)


def _said(instant: float, zone: tzinfo) -> str:
    """Return an instant with its offset, so that it can be copied into the job file."""
    moment = datetime.fromtimestamp(instant, zone)
    return moment.isoformat("T", "minutes" if not moment.second else "auto")


def _checked(text: str, instant: float) -> float:
    if not 0 <= instant < LAST:
        raise CalendarError(text, "at", "expected an instant from 1970-01-01 to 9999-12-26 in UTC")
    return instant
