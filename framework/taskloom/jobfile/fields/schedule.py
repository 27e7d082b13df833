"""`schedule`: every so many seconds, or at the instants of a calendar.

What a cron expression, an instant and a timezone mean is known in `taskloom.calendars`, which is imported when a
job names one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from taskloom.core.policies import Calendar, Missed, Overlap, Schedule
from taskloom.diagnostics import FieldError, quoted
from taskloom.jobfile.fields.validators import (
    DURATION,
    NONE,
    JobErrors,
    Loc,
    MappingReader,
    invalid_value,
    join_or,
    read_choice,
    read_flag,
    read_seconds,
    read_text,
    values_of,
)
from taskloom.text import did_you_mean, duration

__all__ = ["SCHEDULE", "read_schedule"]

_KINDS = ("every", "cron", "at")
_KEYS = (*_KINDS, "timezone", "jitter", "overlap", "missed", "grace", "immediately")
# A run takes a tenth of it to begin: who wants to be faster loops inside the task.
_SHORTEST_SECONDS = 0.001
# From the first of January 2024, a leap year, so many instants tell a calendar's pattern.
_SOME_DAY, _COMPARED_INSTANTS = 1_704_067_200.0, 400

SCHEDULE: Mapping[str, Any] = {
    "anyOf": [
        {"const": NONE},
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "every": DURATION,
                "cron": {"type": "string"},
                "at": {"type": "string"},
                "timezone": {"type": "string"},
                "jitter": DURATION,
                "overlap": {"enum": values_of(Overlap)},
                "missed": {"enum": values_of(Missed)},
                "grace": DURATION,
                "immediately": {"type": "boolean"},
            },
            "oneOf": [{"required": [kind]} for kind in _KINDS],
        },
    ]
}
"""JSON Schema of a schedule."""

_overlap, _missed = read_choice(Overlap), read_choice(Missed)
_FORMS = "{every: 5m}, {cron: '0 6 * * *'} or {at: '2030-01-31 06:00'}"


def read_schedule(value: object) -> Schedule | None:
    """Return the schedule, or None for `none`. Raises JobMistakes."""
    if value == NONE:
        return None
    if not isinstance(value, Mapping):
        raise invalid_value(value, ("schedule",), _FORMS, _meant(value))
    if len(value) == 1 and "every" in value:  # the commonest, of which there may be a hundred thousand
        every = _every(value["every"], ("schedule", "every"))
        return Schedule(every, text=f"every {_as_text(value['every'])}")
    usual = Schedule()
    parts = MappingReader(value, ("schedule",), _KEYS)
    kind = _kind(parts, value)
    schedule = Schedule(
        every=parts.read("every", _every, None),
        calendar=_calendar(parts, kind, value),
        text=f"{kind} {_as_text(value.get(kind))}",
        jitter=parts.read("jitter", read_seconds, usual.jitter),
        overlap=parts.read("overlap", _overlap, usual.overlap),
        missed=parts.read("missed", _missed, usual.missed),
        grace=parts.read("grace", read_seconds, usual.grace),
        immediately=parts.read("immediately", read_flag, usual.immediately),
    )
    if kind == "at" and schedule.immediately:
        parts.refuse("immediately", "cannot use immediately with at, which names the one instant to start at")
    interval = _shortest_interval(schedule) if schedule.jitter else None
    if interval is not None and schedule.jitter >= interval:
        message = f"cannot use {quoted(value['jitter'])} as schedule.jitter; expected less than the interval"
        parts.refuse("jitter", message, f"the {'shortest ' if kind == 'cron' else ''}interval is {duration(interval)}")
    parts.done()
    return schedule


def _shortest_interval(schedule: Schedule) -> float | None:
    """Return the shortest time between two instants, or None where there are no two: firings come in order."""
    return schedule.every or (_shortest_gap(schedule.calendar) if schedule.calendar is not None else None)


@lru_cache(maxsize=256)
def _shortest_gap(calendar: Calendar) -> float | None:
    shortest, instant = None, calendar.after(_SOME_DAY)
    for _ in range(_COMPARED_INSTANTS):
        following = calendar.after(instant) if instant is not None else None
        if instant is None or following is None:
            break
        shortest = min(following - instant, shortest or following - instant)
        instant = following
    return shortest


def _kind(parts: MappingReader, value: Mapping[str, object]) -> str:
    """Return which kind of schedule it is; "" where that cannot be told, which is noted."""
    kinds = [kind for kind in value if kind in _KINDS]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        message = f"cannot use {kinds[1]!r} beside {kinds[0]!r}; schedule takes one of {join_or(_KINDS)}"
        parts.refuse(kinds[1], message, at_key=True)
    elif not any(did_you_mean(key, _KINDS) for key in value if key not in _KEYS):
        parts.refuse("", f"cannot tell when to start; schedule takes one of {join_or(_KINDS)}", at_key=True)
    return ""


def _every(value: object, loc: Loc) -> float:
    seconds = read_seconds(value, loc)
    if seconds < _SHORTEST_SECONDS:
        raise invalid_value(value, loc, "at least 1ms", "loop inside the task")
    return seconds


def _calendar(parts: MappingReader, kind: str, value: Mapping[str, object]) -> Calendar | None:
    """Return the calendar of a cron expression or an instant; None for an interval, and for what cannot be used."""
    if kind == "every" and "timezone" in value:
        message = "cannot use a timezone with every: intervals are counted on a clock that knows no zones"
        parts.refuse("timezone", message, at_key=True)
        return None
    zone = parts.read("timezone", _zone, "UTC") if "timezone" in value else None

    def read(value: object, loc: Loc) -> Calendar:
        text = read_text(value, loc)
        try:
            return _cron(text, zone) if kind == "cron" else _at(text, zone)
        except ValueError as error:  # a CalendarError, whose text is a whole sentence
            raise JobErrors([FieldError(loc, f"{error}")]) from None

    return parts.read(kind, read, None) if kind in ("cron", "at") else None


def _at(text: str, zone: str | None) -> Calendar:
    from taskloom.calendars import at_calendar

    return at_calendar(text, zone)


def _cron(text: str, zone: str | None) -> Calendar:
    from taskloom.calendars import local_timezone

    return _shared_cron(text, local_timezone() if zone is None else zone)


@lru_cache(maxsize=1024)
def _shared_cron(text: str, zone: str) -> Calendar:
    """Return one calendar for all jobs that write the same: it takes as long to build as a whole job to load."""
    from taskloom.calendars import cron_calendar

    return cron_calendar(text, zone)


def _zone(value: object, loc: Loc) -> str:
    zone = read_text(value, loc)
    trouble = _trouble_with_zone(zone)
    if trouble:
        raise JobErrors([FieldError(loc, trouble)])
    return zone


@lru_cache(maxsize=256)
def _trouble_with_zone(zone: str) -> str:
    """Return why a zone cannot be used; a thousand jobs may have the same typo, and finding what was meant is slow."""
    from taskloom.calendars import find_zone

    try:
        find_zone(zone)
    except ValueError as error:
        return str(error)
    return ""


def _as_text(value: object) -> str:
    return duration(value) if isinstance(value, int | float) and not isinstance(value, bool) else f"{value}"


def _meant(value: object) -> str:
    """Return how to write what somebody wrote without saying which kind it is."""
    if value is None:
        return "write none"
    if not isinstance(value, str):
        return ""
    if value.startswith("@") or len(value.split()) in (5, 6):
        return f"write {{cron: {value!r}}}"
    try:
        _every(value, ())
    except JobErrors:
        return ""
    return f"write {{every: {value}}}"
