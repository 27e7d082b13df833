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
    """One instant. Two are equal when their instants and the names of their zones are equal."""

    instant: float
    """Seconds since the epoch."""
    timezone: str
    """The name of the time zone, or an offset such as `+02:00`."""
    text: str = field(default="", compare=False)
    """The text as written."""
    remark: str = field(default="", compare=False)
    """A note for the author: the clock skips this time, or shows it twice. Usually empty."""

    def after(self, wall: float) -> float | None:
        """Return the instant if it is later than `wall`, else None."""
        return self.instant if self.instant > wall else None

    def latest(self, wall: float) -> float | None:
        """Return the instant if it is not later than `wall`, else None."""
        return self.instant if self.instant <= wall else None


def at_calendar(text: str, timezone: str | None = None) -> AtCalendar:
    """Return the calendar of an ISO 8601 date and time in `timezone`, by default the machine's.

    A time that the clock skips means the instant right after the gap. Of a time that occurs twice, the first is used.
    Both add a `remark`. With `Z` or an offset in the text, `timezone` must be None. Raises CalendarError.
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
    """Return the instant of a local time, and a remark about it or an empty text."""
    naive = _seconds(local.replace(tzinfo=UTC))
    first, second = (_seconds(local.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    if first == second:
        return first, ""
    written = local.isoformat(" ", "minutes" if not local.second else "auto")
    if offset_at(zone, int(first)) + first != naive:
        # A gap. With the offset after the change, the time lies before the change: search from there.
        change = _change_after(zone, int(second))
        runs = _format(change, zone)
        return float(change), f"the clock skips {written} in {name}; it runs right after, at {runs}"
    meant = _format(first, zone)
    return first, f"{written} occurs twice in {name}; the first is used, {meant}; {_format(second, zone)} is the second"


def _change_after(zone: tzinfo, instant: int) -> int:
    span = first = span_at(zone, instant)
    while span.offset == first.offset:
        span = span_at(zone, span.end)
    return span.start


def _seconds(moment: datetime) -> float:
    return (moment - _EPOCH) / timedelta(seconds=1)


def _format(instant: float, zone: tzinfo) -> str:
    """Return an instant with its offset, in a form that can be copied into the job file."""
    moment = datetime.fromtimestamp(instant, zone)
    return moment.isoformat("T", "minutes" if not moment.second else "auto")


def _checked(text: str, instant: float) -> float:
    if not 0 <= instant < LAST:
        raise CalendarError(text, "at", "expected an instant from 1970-01-01 to 9999-12-26 in UTC")
    return instant
