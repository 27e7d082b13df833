"""A calendar of one instant."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from tests.support.every_case import every_case

from taskloom.calendars import at_calendar

Utc = Callable[[str], float]


@every_case(
    "text, timezone, instant, zone",
    [
        ("2026-12-24T18:00", "Europe/Berlin", "2026-12-24T17:00Z", "Europe/Berlin"),
        ("2026-12-24 18:00:30", "Europe/Berlin", "2026-12-24T17:00:30Z", "Europe/Berlin"),
        (" 2026-06-24 18:00 ", "Europe/Berlin", "2026-06-24T16:00Z", "Europe/Berlin"),
        ("2026-12-24T18:00:00.25", "UTC", "2026-12-24T18:00:00.250Z", "UTC"),
        ("2026-12-24T18:00Z", None, "2026-12-24T18:00Z", "UTC"),
        ("2026-12-24t18:00z", None, "2026-12-24T18:00Z", "UTC"),
        ("2026-12-24 18:00 +05:30", None, "2026-12-24T12:30Z", "+05:30"),
        ("2026-12-24T18:00-0330", None, "2026-12-24T21:30Z", "-03:30"),
    ],
)
def test_a_date_and_a_time_are_an_instant(utc: Utc, text: str, timezone: str | None, instant: str, zone: str) -> None:
    calendar = at_calendar(text, timezone)

    assert (calendar.instant, calendar.timezone, calendar.remark) == (utc(instant), zone, "")


def test_an_instant_is_returned_once(utc: Utc) -> None:
    calendar, instant = at_calendar("2026-12-24T18:00Z"), utc("2026-12-24T18:00Z")

    assert [calendar.after(wall) for wall in (-math.inf, instant - 0.1, instant, math.inf, math.nan)] == [
        instant, instant, None, None, None,
    ]  # fmt: skip
    assert [calendar.latest(wall) for wall in (-math.inf, instant - 0.1, instant, math.inf, math.nan)] == [
        None, None, instant, instant, None,
    ]  # fmt: skip


def test_calendars_of_one_instant_and_zone_are_equal_however_they_are_written() -> None:
    assert at_calendar("2026-12-24T18:00", "UTC") == at_calendar("2026-12-24 18:00:00Z")
    assert at_calendar("2026-12-24T18:00", "UTC") != at_calendar("2026-12-24T18:01", "UTC")
    assert at_calendar("2026-12-24T18:00", "Europe/Berlin") != at_calendar("2026-12-24T18:00", "Europe/Paris")


def test_without_a_zone_the_machines_is_meant(utc: Utc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")

    calendar = at_calendar("2026-12-24T18:00")

    assert (calendar.instant, calendar.timezone) == (utc("2026-12-24T09:00Z"), "Asia/Tokyo")


@pytest.mark.parametrize(
    "text, zone, instant, runs",
    [
        ("2026-03-29 02:30", "Europe/Berlin", "2026-03-29T01:00Z", "2026-03-29T03:00+02:00"),
        ("2026-03-29 02:00", "Europe/Berlin", "2026-03-29T01:00Z", "2026-03-29T03:00+02:00"),
        ("2026-10-04 02:15", "Australia/Lord_Howe", "2026-10-03T15:30Z", "2026-10-04T02:30+11:00"),
        ("2011-12-30 01:00", "Pacific/Apia", "2011-12-30T10:00Z", "2011-12-31T00:00+14:00"),
        ("2011-12-30 23:00", "Pacific/Apia", "2011-12-30T10:00Z", "2011-12-31T00:00+14:00"),
    ],
)
def test_a_time_that_the_clock_skips_is_the_instant_right_after_and_says_so(
    utc: Utc, text: str, zone: str, instant: str, runs: str
) -> None:
    calendar = at_calendar(text, zone)

    assert calendar.instant == utc(instant)
    assert calendar.remark == f"the clock skips {text} in {zone}; it runs right after, at {runs}"


@pytest.mark.parametrize(
    "text, zone, first, second",
    [
        ("2026-10-25 02:30", "Europe/Berlin", "2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"),
        ("2026-10-25 01:00", "Europe/Dublin", "2026-10-25T01:00+01:00", "2026-10-25T01:00+00:00"),
        ("2026-04-05 01:45:30", "Australia/Lord_Howe", "2026-04-05T01:45:30+11:00", "2026-04-05T01:45:30+10:30"),
    ],
)
def test_the_first_of_a_repeated_time_is_used_with_a_remark(
    utc: Utc, text: str, zone: str, first: str, second: str
) -> None:
    calendar = at_calendar(text, zone)

    assert calendar.instant == utc(first)
    assert calendar.remark == f"{text} occurs twice in {zone}; the first is used, {first}; {second} is the second"
    assert at_calendar(second).instant == utc(second)


@pytest.mark.parametrize(
    "text", ["2026-03-29T01:59", "2026-03-29T03:00", "2026-10-25T01:59", "2026-10-25T03:00", "2026-07-01T02:30"]
)
def test_a_time_beside_a_change_is_nothing_to_remark_on(text: str) -> None:
    assert at_calendar(text, "Europe/Berlin").remark == ""
