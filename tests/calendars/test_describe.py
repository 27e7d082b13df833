"""Descriptions of schedules and instants."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from tests.support.every_case import every_case

from taskloom.calendars import (
    at_calendar,
    cron_calendar,
    describe_schedule,
    format_instant,
    fraction_digits,
    next_instants,
)
from taskloom.core.model import Moment
from taskloom.core.policies import Missed, Overlap, Schedule

Utc = Callable[[str], float]

BERLIN = "Europe/Berlin"
WORKDAYS = cron_calendar("0 3 * * MON-FRI", BERLIN)


@every_case(
    "seconds, said",
    [
        (1, "every 1s"),
        (60, "every 1m"),
        (3600, "every 1h"),
        (86_400, "every 1d"),
        (300, "every 5m"),
        (1.5, "every 1.5s"),
        (0.25, "every 250ms"),
        (5400, "every 1h30m"),
        (90_061.5, "every 1d1h1m1.5s"),
        (604_800, "every 7d"),
        (0.0001, "every 0.1ms"),
        (100_000_000, "every 1157d9h46m40s"),
    ],
)
def test_an_interval_is_written_as_in_a_job_file(seconds: float, said: str) -> None:
    assert describe_schedule(Schedule(every=seconds)) == f"{said}, drift-free; overlap skipped"


@pytest.mark.parametrize(
    "schedule, said",
    [
        (Schedule(every=300, immediately=True), "every 5m, at once and then drift-free; overlap skipped"),
        (
            Schedule(every=60, jitter=10, overlap=Overlap.QUEUE, missed=Missed.SKIP),
            ("every 1m, drift-free; overlap queued; up to 10s later, at random; a missed instant is skipped"),
        ),
        (
            Schedule(calendar=WORKDAYS, overlap=Overlap.REPLACE, grace=60),
            (
                "at 03:00 on Monday through Friday, Europe/Berlin time (0 3 * * MON-FRI); overlap replaces the run; "
                "a missed instant still runs within 1m"
            ),
        ),
        (
            Schedule(calendar=cron_calendar("*/5 * * * *", "UTC"), immediately=True),
            "at once, and then every fifth minute of every hour, UTC time (*/5 * * * *); overlap skipped",
        ),
        (
            Schedule(calendar=cron_calendar("@daily", BERLIN)),
            "at 00:00 every day, Europe/Berlin time (@daily); overlap skipped",
        ),
        (
            Schedule(calendar=at_calendar("2026-12-24T18:00", BERLIN)),
            "once, Thu 2026-12-24 18:00:00 CET (Europe/Berlin); overlap skipped",
        ),
    ],
)
def test_a_schedule_is_described_in_one_line(schedule: Schedule, said: str) -> None:
    assert describe_schedule(schedule) == said


class OfSomebodyElse:
    """A calendar of another package."""

    def after(self, wall: float) -> float | None:
        return wall + 7

    def latest(self, wall: float) -> float | None:
        return wall


def test_a_foreign_calendar_is_described_by_its_text() -> None:
    schedule = Schedule(calendar=OfSomebodyElse(), text="by the moon")

    assert describe_schedule(schedule) == "by the moon; overlap skipped"
    assert next_instants(schedule, Moment(0, 100.0), 2) == [107, 114]


def test_the_next_instants_of_an_interval_are_counted_from_now() -> None:
    now = Moment(mono=5.0, wall=1000.5)

    assert next_instants(Schedule(every=60), now) == [1060.5, 1120.5, 1180.5]
    assert next_instants(Schedule(every=60, immediately=True), now) == [1000.5, 1060.5, 1120.5]
    assert next_instants(Schedule(every=60, immediately=True), now, 0) == []


def test_the_next_instants_of_a_calendar_are_its_own(utc: Utc) -> None:
    friday = Moment(mono=0.0, wall=utc("2026-11-20T12:00Z"))

    found = next_instants(Schedule(calendar=WORKDAYS), friday, 2)

    assert [format_instant(each, BERLIN) for each in found] == [
        "Mon 2026-11-23 03:00:00 CET",
        "Tue 2026-11-24 03:00:00 CET",
    ]


def test_a_calendar_near_its_end_returns_fewer_instants(utc: Utc) -> None:
    schedule = Schedule(calendar=at_calendar("2026-12-24T18:00Z"), immediately=True)
    before, after = utc("2026-12-24T17:00Z"), utc("2026-12-24T18:00Z")

    assert next_instants(schedule, Moment(0, before)) == [before, after]
    assert next_instants(schedule, Moment(0, after)) == [after]


@every_case(
    "wall, timezone, said",
    [
        (1_795_357_800.9, "UTC", "Sun 2026-11-22 14:30:00 UTC"),
        (1_795_357_800, BERLIN, "Sun 2026-11-22 15:30:00 CET"),
        (1_795_357_800, "Australia/Lord_Howe", "Mon 2026-11-23 01:30:00 +11"),
        (1_795_357_800, "+05:30", "Sun 2026-11-22 20:00:00 UTC+05:30"),
        (1_795_357_800, "No/Where", "Sun 2026-11-22 14:30:00 UTC"),
        (-0.5, "UTC", "Wed 1969-12-31 23:59:59 UTC"),
        (1e15, "UTC", "1000000000000000 seconds since 1970-01-01 UTC"),
        (math.inf, "UTC", "inf seconds since 1970-01-01 UTC"),
        (math.nan, "UTC", "nan seconds since 1970-01-01 UTC"),
    ],
)
def test_an_instant_is_shown_with_its_weekday_and_zone(wall: float, timezone: str, said: str) -> None:
    assert format_instant(wall, timezone) == said


def test_an_instant_without_a_zone_is_shown_in_the_machines_or_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    in_tokyo = format_instant(0)
    monkeypatch.setenv("TZ", "CET-1CEST")

    assert (in_tokyo, format_instant(0)) == ("Thu 1970-01-01 09:00:00 JST", "Thu 1970-01-01 00:00:00 UTC")


@pytest.mark.parametrize(
    "expression",
    ["* * * * * *", "5-59/10 1,2 L * *", "0 0 LW 2-4 5#2", "7 7 7 7 7", "*/2 */3 */4 */5 */6", "0,30 8-18 * * 5L"],
)
def test_every_form_of_an_expression_can_be_described(expression: str) -> None:
    said = describe_schedule(Schedule(calendar=cron_calendar(expression, "UTC")))

    assert said.endswith(f", UTC time ({expression}); overlap skipped")
    assert said[0].islower()


@every_case(
    ("every", "digits"),
    [
        (0.1, 3),
        (0.5, 3),
        (1.5, 3),
        (90.25, 3),
        (1 / 3, 6),
        (0.000_5, 6),
        (1.0, 0),
        (60.0, 0),
        (86_400.0, 0),
        (0.3 * 10, 0),
    ],
)
def test_an_interval_that_is_not_a_full_second_needs_fractions(every: float, digits: int) -> None:
    assert fraction_digits(Schedule(every=every)) == digits


def test_calendars_need_fractions_only_for_an_instant_that_has_some() -> None:
    assert fraction_digits(Schedule(calendar=WORKDAYS)) == 0
    assert fraction_digits(Schedule(calendar=at_calendar("2099-01-01T10:00", "UTC"))) == 0
    assert fraction_digits(Schedule(calendar=at_calendar("2099-01-01T10:00:00.25", "UTC"))) == 3
    assert fraction_digits(Schedule(calendar=at_calendar("2099-01-01T10:00:00.000001", "UTC"))) == 6


def test_jitter_adds_fractions_to_firings_but_not_to_instants() -> None:
    jittered = Schedule(every=60.0, jitter=10.0)

    assert (fraction_digits(jittered), fraction_digits(jittered, is_jittered=True)) == (0, 3)


def test_a_full_second_of_an_interval_with_fractions_shows_them() -> None:
    schedule = Schedule(every=0.5)

    found = [format_instant(at, "UTC", fraction_digits(schedule)) for at in next_instants(schedule, Moment(0, 0.0))]

    assert [text.split()[2] for text in found] == ["00:00:00.500", "00:00:01.000", "00:00:01.500"]


def test_the_description_of_an_instant_has_its_fraction() -> None:
    schedule = Schedule(calendar=at_calendar("2099-01-01T10:00:00.25", "UTC"))

    assert describe_schedule(schedule).startswith("once, Thu 2099-01-01 10:00:00.250 UTC")
