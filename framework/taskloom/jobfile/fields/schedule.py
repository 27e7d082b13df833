"""`schedule`: at fixed intervals, or at the instants of a calendar.

`taskloom.calendars` knows what a cron expression, an instant and a timezone mean. It is imported when the first job
has one of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from taskloom.core.policies import Calendar, Missed, Overlap, Schedule
from taskloom.diagnostics import FieldError, missing_blank, quoted
from taskloom.jobfile.fields import spec
from taskloom.jobfile.fields.mapping import Key, MappingReader, mapping
from taskloom.text import did_you_mean, duration

__all__ = ["SCHEDULE"]

# Starting a run takes about a tenth of this. A task that needs shorter intervals should loop inside itself.
_SHORTEST_SECONDS = 0.001
# The instants are compared from January 1st, 2024 on, because a leap year is part of a calendar's pattern.
_FIRST_DAY, _COMPARED_INSTANTS = 1_704_067_200.0, 400
_USUAL = Schedule()
_FORMS = "{every: 5m}, {cron: '0 6 * * *'} or {at: '2030-01-31 06:00'}"
_SECONDS, _TEXT = spec.seconds(), spec.text()


def _read_every(value: object, loc: spec.Loc) -> float:
    interval = _SECONDS.read(value, loc)
    if interval < _SHORTEST_SECONDS:
        raise spec.invalid_value(value, loc, "at least 1ms", "loop inside the task")
    return interval


def _read_zone(value: object, loc: spec.Loc) -> str:
    zone = _TEXT.read(value, loc)
    problem = _problem_with_zone(zone)
    if problem:
        raise spec.JobErrors([FieldError(loc, problem)])
    return zone


@lru_cache(maxsize=256)
def _problem_with_zone(zone: str) -> str:
    """Return why a zone cannot be used, or "". Cached: a thousand jobs may repeat a typo, and near matches are slow."""
    from taskloom.calendars import find_zone

    try:
        find_zone(zone)
    except ValueError as error:
        return str(error)
    return ""


_EVERY = Key("every", _SECONDS.read_by(_read_every))
_CRON = Key("cron", _TEXT)
_AT = Key("at", _TEXT)
_TIMEZONE = Key("timezone", _TEXT.read_by(_read_zone))
_JITTER = Key("jitter", _SECONDS)
_OVERLAP = Key("overlap", spec.choice(Overlap))
_MISSED = Key("missed", spec.choice(Missed))
_GRACE = Key("grace", _SECONDS)
_IMMEDIATELY = Key("immediately", spec.flag())
_KINDS = (_EVERY.name, _CRON.name, _AT.name)
_KEYS = [_EVERY, _CRON, _AT, _TIMEZONE, _JITTER, _OVERLAP, _MISSED, _GRACE, _IMMEDIATELY]
_KNOWN = {key.name for key in _KEYS}


def _build(reader: MappingReader) -> Schedule:
    kind = _kind(reader)
    schedule = Schedule(
        every=reader.get(_EVERY, None),
        calendar=_calendar(reader, kind),
        text=f"{kind} {_as_text(reader.written.get(kind))}",
        jitter=reader.get(_JITTER, _USUAL.jitter),
        overlap=reader.get(_OVERLAP, _USUAL.overlap),
        missed=reader.get(_MISSED, _USUAL.missed),
        grace=reader.get(_GRACE, _USUAL.grace),
        immediately=reader.get(_IMMEDIATELY, _USUAL.immediately),
    )
    if kind == "at" and schedule.immediately:
        reader.refuse(
            "immediately", "cannot use immediately with at, which is the only instant at which the job starts"
        )
    if schedule.jitter:
        _check_jitter(reader, schedule, kind)
    return schedule


def _check_jitter(reader: MappingReader, schedule: Schedule, kind: str) -> None:
    interval = schedule.every or (_shortest_gap(schedule.calendar) if schedule.calendar is not None else None)
    if interval is not None and schedule.jitter >= interval:
        written = quoted(reader.written["jitter"])
        message = f"cannot use {written} as schedule.jitter; expected less than the interval"
        reader.refuse("jitter", message, f"the {'shortest ' if kind == 'cron' else ''}interval is {duration(interval)}")


@lru_cache(maxsize=256)
def _shortest_gap(calendar: Calendar) -> float | None:
    """Return the shortest time in seconds between two of its first instants, or None if there are no two."""
    shortest, instant = None, calendar.after(_FIRST_DAY)
    for _ in range(_COMPARED_INSTANTS):
        following = calendar.after(instant) if instant is not None else None
        if instant is None or following is None:
            break
        shortest = min(following - instant, shortest or following - instant)
        instant = following
    return shortest


def _kind(reader: MappingReader) -> str:
    """Return which kind of schedule it is, or "" (an error is recorded) if it is none or several."""
    kinds = [key for key in reader.written if key in _KINDS]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        message = f"cannot use {kinds[1]!r} together with {kinds[0]!r}; expected one of {spec.join_or(_KINDS)}"
        reader.refuse(kinds[1], message, at_key=True)
    elif not any(
        did_you_mean(key, _KINDS) or missing_blank(key, _KINDS) for key in reader.written if key not in _KNOWN
    ):
        reader.refuse("", f"cannot find when to start; expected one of {spec.join_or(_KINDS)}", at_key=True)
    return ""


def _calendar(reader: MappingReader, kind: str) -> Calendar | None:
    """Return the calendar of a cron expression or an instant; None for an interval and for invalid values."""
    if kind == "every" and _TIMEZONE.name in reader.written:
        message = "cannot use a timezone with every: an interval is the same in all timezones"
        reader.refuse("timezone", message, at_key=True)
        return None
    zone = reader.get(_TIMEZONE, "UTC") if _TIMEZONE.name in reader.written else None
    key = {"cron": _CRON, "at": _AT}.get(kind)
    expression = reader.get(key, None) if key is not None else None
    if expression is None:
        return None
    from taskloom.calendars import at_calendar, local_timezone

    try:
        if kind == "cron":
            return _shared_cron(expression, local_timezone() if zone is None else zone)
        return at_calendar(expression, zone)
    except ValueError as error:  # a CalendarError, whose text is a whole sentence
        reader.refuse(kind, f"{error}")
        return None


@lru_cache(maxsize=1024)
def _shared_cron(expression: str, zone: str) -> Calendar:
    """Return one calendar for all jobs with the same expression: building one takes as long as loading a job."""
    from taskloom.calendars import cron_calendar

    return cron_calendar(expression, zone)


def _as_text(value: object) -> str:
    return duration(value) if spec.is_number(value) else f"{value}"


_GENERAL: spec.Spec[Schedule] = mapping(_KEYS, _build, expected=_FORMS)


def _read_mapping(value: Any, loc: spec.Loc) -> Schedule:
    # The most common form, of which there may be a hundred thousand, takes a short cut.
    if len(value) == 1 and "every" in value:
        return Schedule(_read_every(value["every"], (*loc, "every")), text=f"every {_as_text(value['every'])}")
    return _GENERAL.read(value, loc)


_MAPPING: spec.Spec[Schedule] = spec.Spec(
    _read_mapping,
    {**_GENERAL.schema, "oneOf": [{"required": [kind]} for kind in _KINDS]},
    _GENERAL.recognises,
    keys=_GENERAL.keys,
)


def _hint(value: object) -> str:
    """Return the mapping that was probably meant, or ""."""
    if value is None:
        return "write none"
    if not isinstance(value, str):
        return ""
    if value.startswith("@") or len(value.split()) in (5, 6):
        return f"write {{cron: {value!r}}}"
    try:
        _read_every(value, ())
    except spec.JobErrors:
        return ""
    return f"write {{every: {value}}}"


SCHEDULE = spec.Field(
    "schedule",
    spec.one_of(spec.constant("none", None), _MAPPING, expected=_FORMS, hint=_hint),
    "none",
    "When runs start by themselves: {every: 5m}, {cron: '0 6 * * *'} (with the rules of Debian's cron; six fields "
    "begin with seconds) or {at: '2030-01-31 06:00'}. More keys, with their defaults: timezone of cron and at (the "
    "machine's), jitter (0s), overlap (skip, queue, replace), missed (once, skip, or catch-up, which makes up for what "
    "passed while the program was down and needs the history), grace (1h: how late a missed run may still start), "
    "immediately (false).",
)
