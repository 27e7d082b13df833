"""A cron calendar as a value, and at the ends of time."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cpu_time import cpu_seconds
from tests.support.every_case import every_case

from taskloom.calendars import AtCalendar, CalendarError, CronCalendar, at_calendar, cron_calendar

Utc = Callable[[str], float]

ODD = [
    -math.inf,
    -1e300,
    -86_400.5,
    -0.5,
    0.0,
    0.25,
    2.0**31,
    253_401_868_799.5,
    253_402_300_800.0,
    1e300,
    math.inf,
    math.nan,
]
EXPRESSIONS = ["* * * * *", "30 2 * * *", "0 0 29 2 *", "* * * * * *", "59 59 23 31 12 *", "0 0 * 2 1#5"]
ZONES = ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "America/New_York", "Australia/Lord_Howe"]
EVERY_CALENDAR = [cron_calendar(expression, zone) for expression in EXPRESSIONS for zone in ZONES]


def test_calendars_of_equal_text_and_zone_are_equal_and_others_are_not() -> None:
    calendar = cron_calendar(" 0  3 * * * ", "Europe/Berlin")

    assert calendar == cron_calendar("0 3 * * *", "Europe/Berlin")
    assert hash(calendar) == hash(cron_calendar("0 3 * * *", "Europe/Berlin"))
    assert calendar != cron_calendar("0 3 * * *", "Europe/Paris")
    assert calendar != cron_calendar("0 4 * * *", "Europe/Berlin")
    assert repr(calendar) == "CronCalendar(expression='0 3 * * *', timezone='Europe/Berlin')"


@pytest.mark.parametrize("calendar", [EVERY_CALENDAR[1], at_calendar("2026-12-24T18:00", "Europe/Berlin")])
def test_a_calendar_survives_pickling(calendar: CronCalendar | AtCalendar) -> None:
    again = pickle.loads(pickle.dumps(calendar))

    assert again == calendar
    assert again.after(1.7e9) == calendar.after(1.7e9) is not None


def test_a_calendar_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        EVERY_CALENDAR[0].expression = "0 0 * * *"  # type: ignore[misc]


@every_case("calendar", EVERY_CALENDAR, ids=str)
@every_case("wall", ODD)
def test_no_number_makes_a_calendar_raise(calendar: CronCalendar, wall: float) -> None:
    after, latest = calendar.after(wall), calendar.latest(wall)

    assert after is None or after > wall
    assert latest is None or latest <= wall


@every_case("calendar", EVERY_CALENDAR, ids=str)
def test_before_1970_and_after_9999_there_is_nothing(utc: Utc, calendar: CronCalendar) -> None:
    first, last = calendar.after(-1e9), calendar.latest(1e15)

    assert first is not None
    assert last is not None
    assert utc("1970-01-01T00:00Z") <= first <= utc("1973-01-01T00:00Z") or "#5" in calendar.expression
    assert utc("9988-01-01T00:00Z") < last < utc("9999-12-27T00:00Z") or "#5" in calendar.expression
    assert calendar.latest(first - 0.5) is None
    assert calendar.after(last) is None


@settings(deadline=None)  # a busy machine takes its time
@given(st.sampled_from(EVERY_CALENDAR), st.floats(min_value=0, max_value=250_000_000_000))
def test_after_and_latest_agree_about_every_instant(calendar: CronCalendar, wall: float) -> None:
    following = calendar.after(wall)
    assert following is not None
    before = calendar.latest(wall)

    assert following > wall
    assert calendar.latest(following) == following
    assert calendar.latest(math.nextafter(following, 0)) == before
    assert before is None or (before <= wall and calendar.after(before) == following)


def test_a_fraction_of_a_second_before_an_instant_is_before_it_and_the_instant_itself_is_not(utc: Utc) -> None:
    calendar, noon = cron_calendar("0 12 * * *", "UTC"), utc("2026-11-22T12:00Z")

    assert calendar.after(noon - 0.001) == noon
    assert calendar.after(noon) == noon + 86_400
    assert calendar.after(noon + 0.001) == noon + 86_400
    assert calendar.latest(noon - 0.001) == noon - 86_400
    assert calendar.latest(noon) == noon


def test_a_fifth_monday_of_february_is_found_a_generation_ahead(utc: Utc) -> None:
    calendar = cron_calendar("0 0 * 2 1#5", "UTC")

    found = [calendar.after(utc("2016-03-01T00:00Z")), calendar.latest(utc("2016-02-28T00:00Z"))]

    assert found == [utc("2044-02-29T00:00Z"), utc("1988-02-29T00:00Z")]


def test_29_february_leaps_over_the_year_2100(utc: Utc) -> None:
    assert cron_calendar("0 0 29 2 *", "UTC").after(utc("2096-03-01T00:00Z")) == utc("2104-02-29T00:00Z")


def test_the_next_instant_costs_little_beside_a_run() -> None:
    calendar = cron_calendar("*/5 * * * *", "Europe/Berlin")
    at, steps = 1_700_000_000.0, 20_000

    with cpu_seconds() as spent:
        for _ in range(steps):
            at = calendar.after(at) or 0.0
        took = spent()

    # Takes 1.6 us; ten times as much would be as slow as cronsim's own walk, and fails on any machine.
    assert took / steps < 15e-6


def test_an_unknown_zone_is_refused_when_a_calendar_is_made_directly() -> None:
    with pytest.raises(CalendarError, match="Mars"):
        CronCalendar("* * * * *", "Mars")
