"""Time zones: look them up by name, find the machine's own, and split them into spans of constant offset.

`zoneinfo` gives the offset at an instant, but not when it changes. Schedules need the changes, so each period of a few
days is probed once and cached; inside a period everything is plain arithmetic.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from taskloom.calendars.errors import CalendarError
from taskloom.diagnostics import near_match
from taskloom.text import suggest

__all__ = ["DAY", "LAST", "LOCALTIME", "Span", "find_zone", "local_timezone", "offset_at", "span_at"]

DAY = 86_400
"""Seconds of a day of UTC."""

# A period contains one change at most: since 1970 no zone has changed twice within less than 601,200 s.
_PERIOD = 4 * DAY

LAST = 733_223 * _PERIOD
"""9999-12-27T00:00Z in seconds. Later instants are never returned, so that every local year has four digits."""

LOCALTIME = "localtime"
"""The name of the machine's zone if only its rules are known, from /etc/localtime."""

_NAME = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
_OFFSET = re.compile(r"([+-])(\d\d):([0-5]\d)", re.ASCII)


def find_zone(name: str) -> tzinfo:
    """Return the zone of this IANA name, `localtime`, or a fixed offset such as `+02:00`.

    Raises CalendarError for any other name. Text that does not look like a name never reaches the file system.
    """
    if fixed := _OFFSET.fullmatch(name):
        sign, hours, minutes = fixed.groups()
        if int(hours) < 24:
            ahead = timedelta(hours=int(hours), minutes=int(minutes))
            return timezone(ahead if sign == "+" else -ahead)
    zone = _from_database(name)
    if zone is None:
        raise CalendarError(name, "timezone", _why_unknown(name))
    return zone


def local_timezone(environ: Mapping[str, str] = os.environ, etc: Path = Path("/etc")) -> str:
    """Return the name of the machine's zone, as the C library chooses it: TZ, else /etc/localtime, else UTC.

    If /etc/localtime is a copy, the name is read from /etc/timezone; without that file it is `localtime`.
    Raises CalendarError when TZ is not a name of the zone database (such as `CET-1CEST`): a guess would be wrong by an
    hour for half of the year.
    """
    if "TZ" in environ:
        return _named_by_tz(environ["TZ"])
    localtime = etc / "localtime"
    if localtime.is_symlink() and (name := _name_in_path(str(localtime.readlink()))):
        return name
    if name := _first_line(etc / "timezone"):
        return name
    return LOCALTIME if localtime.is_file() else "UTC"


def _from_database(name: str) -> tzinfo | None:
    # Zones below `right/` count leap seconds, unlike the epoch; `posix/` is a second copy of the database.
    if len(name) > 100 or not _NAME.fullmatch(name) or name.startswith(("right/", "posix/")):
        return None
    try:
        return _copied_zone() if name == LOCALTIME else ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # missing, not a zone file, or a folder such as `Europe`
        return UTC if name in ("UTC", "Etc/UTC") else None


@lru_cache(maxsize=1)
def _copied_zone() -> ZoneInfo:
    with Path("/etc/localtime").open("rb") as file:
        return ZoneInfo.from_file(file, key=LOCALTIME)


def _why_unknown(name: str) -> str:
    known = available_timezones()
    if not known:
        return "this machine has no time zone database, run: pip install tzdata"
    if region := [one for one in sorted(known) if one.startswith(f"{name}/")]:
        return f"it is a region, name a city of it, such as {region[0]!r}"
    if near := _near_zone(name, known):
        return suggest(near)
    return "the time zone database has no such name; names are written like Europe/Berlin, America/New_York, UTC"


def _near_zone(name: str, known: set[str]) -> str | None:
    """Return the known name that differs only in case, that ends in this name (`Berlin`), or that is a near match."""
    wanted = name.strip().removeprefix("right/").removeprefix("posix/").replace(" ", "_").casefold()
    for one in sorted(known):
        if wanted in (one.casefold(), one.rpartition("/")[2].casefold()):
            return one
    # No near match for an abbreviation: EST differs from CEST by one letter and by six hours.
    return near_match(name[:100], sorted(known)) if len(name) > 5 else None


def _named_by_tz(value: str) -> str:
    name = value.removeprefix(":")
    if not name:
        return "UTC"
    name = _name_in_path(name) or name
    if _from_database(name) is None:
        why = "TZ is not a name of the time zone database; write timezone: beside the schedule"
        raise CalendarError(value, "the machine's timezone", why)
    return name


def _name_in_path(path: str) -> str | None:
    """Return the zone's name in a path into a zone database, such as /usr/share/zoneinfo/Europe/Berlin."""
    _, found, name = path.partition("zoneinfo/")
    return name if found and _from_database(name) is not None else None


def _first_line(file: Path) -> str | None:
    try:
        name = file.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, ValueError):
        return None
    return name if _from_database(name) is not None else None


class Span(NamedTuple):
    """A period of instants with one offset, at most four days long; all in whole seconds."""

    start: int
    end: int
    offset: int
    """Local time minus UTC."""
    before: int
    """The offset just before `start`; it differs from `offset` if the clock was changed at `start`."""


def offset_at(zone: tzinfo, instant: int) -> int:
    """Return local time minus UTC in seconds, at an instant between 1970 and 9999."""
    ahead = datetime.fromtimestamp(instant, zone).utcoffset() or timedelta()
    return ahead.days * DAY + ahead.seconds


def span_at(zone: tzinfo, instant: int) -> Span:
    """Return the span that contains an instant."""
    spans = _spans_of(zone, instant // _PERIOD)
    return spans[0] if instant < spans[0].end else spans[1]


@lru_cache(maxsize=4096)
def _spans_of(zone: tzinfo, period: int) -> tuple[Span, ...]:
    start, end = period * _PERIOD, (period + 1) * _PERIOD
    before, offset, last = (offset_at(zone, instant) for instant in (start - 1, start, end - 1))
    if last == offset:
        return (Span(start, end, offset, before),)
    change = _change_between(zone, start, end - 1)
    return Span(start, change, offset, before), Span(change, end, last, offset)


def _change_between(zone: tzinfo, low: int, high: int) -> int:
    """Return the first instant whose offset differs from that at `low`; `high` has the later offset."""
    offset = offset_at(zone, low)
    while high - low > 1:
        middle = (low + high) // 2
        if offset_at(zone, middle) == offset:
            low = middle
        else:
            high = middle
    return high
