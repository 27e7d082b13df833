"""Read cron expressions with `cronsim`, and explain refused ones by field and bad text."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from cronsim import CronSim, CronSimError

from taskloom.calendars.errors import CalendarError, shown
from taskloom.text import did_you_mean, plural

__all__ = ["NICKNAMES", "read_expression"]

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""The nicknames of Debian's cron, except `@reboot`. Upper and lower case are equal."""

_LONGEST = 1000  # an expression that lists every value of every field is shorter
_ANY_DAY = datetime(2000, 1, 1)  # noqa: DTZ001 - cronsim requires a start; it is not used


class _Field(NamedTuple):
    """A field of a cron expression, for messages."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    extra: str = ""

    @property
    def legal(self) -> str:
        named = f" or {self.names[0]}-{self.names[-1]}" if self.names else ""
        return f"{self.low}-{self.high}{named}{self.extra}"

    @property
    def has_sunday(self) -> bool:
        return self.names[:1] == ("SUN",)

    def number(self, value: str) -> int | None:
        """Return the number of a value or a name, legal or not; None for any other text."""
        if value.upper() in self.names:
            return self.names.index(value.upper()) + self.low
        return int(value) if value.isascii() and value.isdecimal() else None


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day-of-month", 1, 31, extra=", L or LW"),
    _Field("month", 1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")),
    _Field("day-of-week", 0, 7, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")),
)


def read_expression(text: str) -> CronSim:
    """Read five fields, six with seconds first, or a nickname. Raises CalendarError with the reason."""
    if len(text) > _LONGEST:
        raise CalendarError(text, "cron", f"it is longer than {_LONGEST} characters")
    expression = text.strip()
    if expression.startswith("@"):
        if expression.lower() not in NICKNAMES:
            raise CalendarError(text, "cron", _why_no_nickname(expression))
        expression = NICKNAMES[expression.lower()]
    parts = expression.split()
    if len(parts) not in (5, 6) or "TZ=" in parts[0]:
        raise CalendarError(text, "cron", _why_wrong_count(parts))
    try:
        return CronSim(" ".join(map(_as_cron_steps, _FIELDS[6 - len(parts) :], parts)), _ANY_DAY)
    except CronSimError:
        raise CalendarError(text, "cron", _why_refused(parts)) from None


def _as_cron_steps(field: _Field, part: str) -> str:
    """Write `12-12/3` as `12`, its meaning in cron; cronsim would read it as `12-23/3`."""
    return ",".join(_as_cron_step(field, term) for term in part.split(","))


def _as_cron_step(field: _Field, term: str) -> str:
    values, _, step = term.partition("/")
    first, dash, last = values.partition("-")
    is_one = bool(dash) and field.number(first) == field.number(last) is not None
    return first if is_one and step.isdecimal() and int(step) > 0 else term


def _why_no_nickname(nickname: str) -> str:
    word = nickname.lower().partition(" ")[0]
    if word == "@reboot":
        return "leave schedule out for a run at each start, or use schedule: {every: ..., immediately: true}"
    if word == "@every":
        return f"write schedule: {{every: {nickname[6:].strip() or '...'}}}"
    return did_you_mean(word, NICKNAMES) or f"known nicknames: {', '.join(NICKNAMES)}"


def _why_wrong_count(parts: list[str]) -> str:
    if parts and "TZ=" in parts[0]:
        return f"write timezone: {parts[0].partition('TZ=')[2] or '...'} beside it"
    expected = "expected 5 (minute hour day-of-month month day-of-week), or 6 with seconds first"
    return f"{plural(len(parts), 'field')}, {expected}" + (
        "; neither a year nor a command follows" if len(parts) > 6 else ""
    )


def _why_refused(parts: list[str]) -> str:
    last = parts[-1]
    if len(parts) == 6 and (last.startswith("/") or (last.isdecimal() and len(last) == 4)):
        return f"{shown(last)} is not allowed here: neither a year nor a command follows the fields"
    for field, part in zip(_FIELDS[6 - len(parts) :], parts, strict=True):
        for term in part.split(","):
            if not _is_legal(field, term):
                return _why_illegal(field, term)
    days, months = parts[-3], parts[-2]
    return f"there is no day {days} in month {months}"


def _is_legal(field: _Field, term: str) -> bool:
    """Return whether cronsim accepts one term of a field when all other fields are `*`."""
    parts = ["*"] * len(_FIELDS)
    parts[_FIELDS.index(field)] = term
    try:
        CronSim(" ".join(parts), _ANY_DAY)
    except CronSimError:
        return False
    return bool(term)  # an empty term would shift the other fields


def _why_illegal(field: _Field, term: str) -> str:
    values, slash, step = term.partition("/")
    if slash and (not values or _is_legal(field, values)):
        return f"{field.name} step {shown(step)} in {shown(term)} is not a whole number from 1"
    first, _, last = values.partition("-")
    if None not in (field.number(first), field.number(last)) and _is_legal(field, first) and _is_legal(field, last):
        sunday = "; as the end of a range Sunday is 7" if field.has_sunday and field.number(last) == 0 else ""
        return f"{field.name} range {values} runs backwards{sunday}"
    name, counted, count = values.partition("#")
    if counted and field.has_sunday and _is_legal(field, name):
        return f"{field.name} {shown(values)} counts {shown(count)}, which is not 1-5"
    return _why_no_value(field, next((one for one in (first, last) if one and not _is_legal(field, one)), term))


def _why_no_value(field: _Field, value: str) -> str:
    if value == "?":
        return f"{field.name} '?' is not known to cron, write *"
    if value in ("H", "R"):
        return f"{field.name} {value!r} is not known to cron, write a number, and jitter: beside the schedule"
    hint = did_you_mean(value[:20].upper(), field.names, before="; ")
    is_short_number = value.isascii() and value.isdecimal() and len(value) < 10
    return f"{field.name} {value if is_short_number else shown(value)} is not {field.legal}{hint}"
