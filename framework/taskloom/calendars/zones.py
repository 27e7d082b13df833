"""Time zones: found by name, the machine's own, and cut into spans of one offset.

`zoneinfo` answers what the offset is at an instant, but not when it changes. The walk over firings needs the
changes, so each piece of a few days is probed once and remembered; inside it all is plain arithmetic.
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

# Time is probed in pieces that hold one change at most: since 1970 no zone had two within less than 601,200 s.
_PIECE = 4 * DAY

LAST = 733_223 * _PIECE
"""9999-12-27T00:00Z in seconds: no instant is looked for from here on, so that every local date has four digits."""

LOCALTIME = "localtime"
"""The name of the machine's zone where only its rules are known, from /etc/localtime."""

_NAME = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
_OFFSET = re.compile(r"([+-])(\d\d):([0-5]\d)", re.ASCII)


def find_zone(name: str) -> tzinfo:
    """Return the zone of this IANA name, `localtime`, or a fixed offset such as `+02:00`.

    Raises CalendarError for any other name. What is not shaped like a name never reaches the file system.
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

    A zone that was copied to /etc/localtime has a name in /etc/timezone at best; without one it is `localtime`.
    Raises CalendarError when TZ is set to what the zone database does not know (such as `CET-1CEST`): a guess
    would be an hour off for half of the year.
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
    # `right/` counts leap seconds, which the epoch does not; `posix/` is the database a second time.
    if len(name) > 100 or not _NAME.fullmatch(name) or name.startswith(("right/", "posix/")):
        return None
    try:
        return _copied_zone() if name == LOCALTIME else ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not there, not a zone's file, a folder such as `Europe`
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
    """Return the known name that differs in case, that ends so (`Berlin`), or that is spelt nearly so."""
    wanted = name.strip().removeprefix("right/").removeprefix("posix/").replace(" ", "_").casefold()
    for one in sorted(known):
        if wanted in (one.casefold(), one.rpartition("/")[2].casefold()):
            return one
    # No guess for an abbreviation: EST is near CEST for a spelling checker, and six hours away.
    return near_match(name[:100], sorted(known)) if len(name) > 5 else None


def _named_by_tz(value: str) -> str:
    name = value.removeprefix(":")
    if not name:
        return "UTC"
    name = _name_in_path(name) or name
    if _from_database(name) is None:
        cure = "TZ names no zone of the time zone database; write timezone: beside the schedule"
        raise CalendarError(value, "the machine's timezone", cure)
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
    """A stretch of instants with one offset, of four days at most; all in whole seconds."""

    start: int
    end: int
    offset: int
    """Local time less UTC."""
    before: int
    """The offset just before `start`; another one where the clock was changed at `start`."""


def offset_at(zone: tzinfo, instant: int) -> int:
    """Return local time less UTC at an instant of 1970 to 9999, in seconds."""
    ahead = datetime.fromtimestamp(instant, zone).utcoffset() or timedelta()
    return ahead.days * DAY + ahead.seconds


def span_at(zone: tzinfo, instant: int) -> Span:
    """Return the span that an instant is in."""
    spans = _spans_of(zone, instant // _PIECE)
    return spans[0] if instant < spans[0].end else spans[1]


@lru_cache(maxsize=4096)
def _spans_of(zone: tzinfo, piece: int) -> tuple[Span, ...]:
    start, end = piece * _PIECE, (piece + 1) * _PIECE
    before, offset, last = (offset_at(zone, instant) for instant in (start - 1, start, end - 1))
    if last == offset:
        return (Span(start, end, offset, before),)
    change = _change_between(zone, start, end - 1)
    return Span(start, change, offset, before), Span(change, end, last, offset)


def _change_between(zone: tzinfo, low: int, high: int) -> int:
    """Return the first instant with another offset than at `low`, which `high` has."""
    offset = offset_at(zone, low)
    while high - low > 1:
        middle = (low + high) // 2
        if offset_at(zone, middle) == offset:
            low = middle
        else:
            high = middle
    return high
