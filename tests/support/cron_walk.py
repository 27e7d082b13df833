"""A reference for cron: finds the firings of an expression minute by minute, as Debian's cron daemon does.

It is slow and simple, and written from Debian's cron(8) and crontab(5) alone, so that `taskloom.calendars` can be
checked against it: both share only the look-up of a time zone by its name. It reads the local time once in every
minute (in every second for six fields), and compares each reading with the one before:

- local time advanced by one step: jobs that match run;
- it jumped ahead by less than three hours: fixed jobs of the skipped minutes run now, once;
- it went back by less than three hours: fixed jobs wait until it has caught up;
- it changed by more: the new time is used at once.

A job is fixed unless one of its fields for the time of day begins with a star.

`reference_runs` is the same for a clock that is set, in UTC: it walks through the seconds that the clock shows.
"""

from __future__ import annotations

import calendar
import math
from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache

from taskloom.calendars.zones import find_zone

__all__ = ["reference_firings", "reference_runs"]

_CORRECTION = 3 * 3600
_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, start=1)}
_WEEKDAYS = {"SUN": 0, "MON": 1, "TUE": 2, "WED": 3, "THU": 4, "FRI": 5, "SAT": 6}
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

Rule = Callable[[date], bool]


def reference_firings(expression: str, zone: str, start_wall: float, end_wall: float) -> list[float]:
    """Return the instants of a legal expression from `start_wall` on, before `end_wall`; seconds since the epoch.

    The zone's offset must be in whole minutes. A day of minutes takes about half a millisecond. The readings of the
    latest windows are cached, so many expressions over one window share them.
    """
    texts = _NICKNAMES.get(expression.lower(), expression).upper().split()
    step = 60 if len(texts) == 5 else 1
    matches = _matcher(texts if step == 1 else ["0", *texts])
    is_fixed = not any(text.startswith("*") for text in texts[:-3])
    # Begin three hours before the window, in case the local time went back just before it.
    first = math.floor(start_wall) // 60 * 60 - _CORRECTION
    readings = _readings(zone, first, math.ceil(end_wall), step)
    fired = _fixed_firings(readings, step, matches) if is_fixed else [at for at, clock in readings if matches(clock)]
    return [float(at) for at in fired if start_wall <= at < end_wall]


def reference_runs(
    expression: str, start_wall: int, seconds: int, steps: dict[int, int], grace: int = 3600
) -> list[tuple[int, int]]:
    """Return the runs of a job in UTC: when each begins, in seconds since the start, and its instant.

    `steps`: by how much the clock is set at which second. An instant that the clock jumps over is made up for by one
    run, unless it is older than `grace` or was there before.
    """
    texts = _NICKNAMES.get(expression.lower(), expression).upper().split()
    matches = _matcher(["0", *texts] if len(texts) == 5 else texts)
    is_fixed = not any(text.startswith("*") for text in texts[:-3])
    resolution = 60 if len(texts) == 5 or texts[0].isdecimal() else 1
    longest_wait = _CORRECTION if is_fixed else resolution
    runs: list[tuple[int, int]] = []
    wall = done = furthest = start_wall
    again_until = corrected = 0  # what came before the clock was set back, and comes again
    for second in range(1, seconds + 1):
        step = steps.get(second, 0)
        furthest, wall = max(furthest, wall + 1), wall + 1 + step
        if step < 0 and furthest - wall > longest_wait:
            is_correction = furthest - wall > _CORRECTION
            again_until = 0 if is_correction else max(again_until, furthest)
            corrected = max(corrected, furthest) if is_correction else corrected
            done, furthest = wall - 1, wall
        if step > 0 and not is_fixed:
            done = max(done, min(again_until, wall - 1))
        if step > 0 and corrected <= wall:
            done = max(done, min(corrected, wall - 1))
        # Only the instants since `done` count; looking back further than the grace finds nothing that runs.
        found = next((at for at in range(wall, max(done, wall - grace - 1), -1) if matches(at)), None)
        done = max(done, wall)
        if found is not None:
            runs.append((second, found))
    return runs


def _fixed_firings(readings: tuple[tuple[int, int], ...], step: int, matches: Callable[[int], bool]) -> list[int]:
    fired = []
    before = seen = readings[0][1] - step if readings else 0
    for at, clock in readings:
        change = clock - before - step
        before = clock
        if abs(change) >= _CORRECTION:
            seen = clock - step
        if clock <= seen:
            continue  # the local time was here before
        if any(matches(one) for one in range(seen + step, clock + step, step)):
            fired.append(at)
        seen = clock
    return fired


@lru_cache(maxsize=8)
def _readings(zone: str, first: int, end: int, step: int) -> tuple[tuple[int, int], ...]:
    """Return instants and the local time at each, in seconds since 1970 in local time."""
    tz = find_zone(zone)
    found = []
    for at in range(first, end, step):
        shown = datetime.fromtimestamp(at, tz)
        days = shown.toordinal() - 719_163
        found.append((at, ((days * 24 + shown.hour) * 60 + shown.minute) * 60 + shown.second))
    return tuple(found)


def _matcher(texts: list[str]) -> Callable[[int], bool]:
    """Return a function that checks a local time against the six fields."""
    seconds, minutes = _numbers(texts[0], 0, 59), _numbers(texts[1], 0, 59)
    hours, months = _numbers(texts[2], 0, 23), _numbers(texts[4], 1, 12, _MONTHS)
    day_matches = lru_cache(maxsize=None)(_day_matcher(texts[3], texts[5]))

    def matches(clock: int) -> bool:
        days, rest = divmod(clock, 86_400)
        if rest // 60 % 60 not in minutes or rest // 3600 not in hours or rest % 60 not in seconds:
            return False
        shown = date.fromordinal(days + 719_163)
        return shown.month in months and day_matches(shown)

    return matches


def _day_matcher(days: str, weekdays: str) -> Rule:
    """Return a function that checks a date: one of the two fields is enough, unless either begins with a star."""
    of_month = [_rule_of_month(term) for term in days.split(",")]
    of_week = [_rule_of_week(term) for term in weekdays.split(",")]
    both = days.startswith("*") or weekdays.startswith("*")

    def matches(shown: date) -> bool:
        first = any(rule(shown) for rule in of_month)
        second = any(rule(shown) for rule in of_week)
        return (first and second) if both else (first or second)

    return matches


def _rule_of_month(term: str) -> Rule:
    if term == "L":
        return lambda shown: shown.day == _length(shown)
    if term == "LW":
        return lambda shown: (
            shown.day == max(day for day in range(1, _length(shown) + 1) if shown.replace(day=day).weekday() < 5)
        )
    allowed = _numbers(term, 1, 31)
    return lambda shown: shown.day in allowed


def _rule_of_week(term: str) -> Rule:
    if term.endswith("L"):
        wanted = int(term[:-1]) % 7
        return lambda shown: shown.isoweekday() % 7 == wanted and shown.day > _length(shown) - 7
    if "#" in term:
        name, count = term.split("#")
        one = _number(name, _WEEKDAYS) % 7
        return lambda shown: shown.isoweekday() % 7 == one and (shown.day - 1) // 7 + 1 == int(count)
    allowed = {number % 7 for number in _numbers(term, 0, 7, _WEEKDAYS)}
    return lambda shown: shown.isoweekday() % 7 in allowed


def _length(shown: date) -> int:
    return calendar.monthrange(shown.year, shown.month)[1]


def _numbers(text: str, low: int, high: int, names: dict[str, int] | None = None) -> set[int]:
    found: set[int] = set()
    for term in text.split(","):
        span, _, step = term.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            begin, end = low, high
        else:
            begin = _number(first, names)
            end = _number(last, names) if dash else (high if step else begin)
        found.update(range(begin, end + 1, int(step or 1)))
    return found


def _number(text: str, names: dict[str, int] | None) -> int:
    return names[text] if names and text in names else int(text)
