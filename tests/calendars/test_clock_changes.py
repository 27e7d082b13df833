"""Every change of a clock from 2024 to 2027 in six zones, written by hand from Debian's cron(8).

"Those jobs that would have run in the interval that has been skipped will be run immediately"; "running the same
job twice is avoided"; both for jobs "that run at a specific time". "Jobs that run more frequently are scheduled
normally."
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from taskloom.calendars import cron_calendar, find_zone

Utc = Callable[[str], float]

# zone, the change in UTC, what the clock shows then instead of what it would have shown
AHEAD = """
Europe/Berlin        2024-03-31T01:00Z  02:00  03:00
Europe/Berlin        2025-03-30T01:00Z  02:00  03:00
Europe/Berlin        2026-03-29T01:00Z  02:00  03:00
Europe/Berlin        2027-03-28T01:00Z  02:00  03:00
America/New_York     2024-03-10T07:00Z  02:00  03:00
America/New_York     2025-03-09T07:00Z  02:00  03:00
America/New_York     2026-03-08T07:00Z  02:00  03:00
America/New_York     2027-03-14T07:00Z  02:00  03:00
Australia/Lord_Howe  2024-10-05T15:30Z  02:00  02:30
Australia/Lord_Howe  2025-10-04T15:30Z  02:00  02:30
Australia/Lord_Howe  2026-10-03T15:30Z  02:00  02:30
Australia/Lord_Howe  2027-10-02T15:30Z  02:00  02:30
Europe/Dublin        2024-03-31T01:00Z  01:00  02:00
Europe/Dublin        2025-03-30T01:00Z  01:00  02:00
Europe/Dublin        2026-03-29T01:00Z  01:00  02:00
Europe/Dublin        2027-03-28T01:00Z  01:00  02:00
Africa/Casablanca    2024-04-14T02:00Z  02:00  03:00
Africa/Casablanca    2025-04-06T02:00Z  02:00  03:00
Africa/Casablanca    2026-03-22T02:00Z  02:00  03:00
Africa/Casablanca    2027-03-14T02:00Z  02:00  03:00
"""
BACK = """
Europe/Berlin        2024-10-27T01:00Z  03:00  02:00
Europe/Berlin        2025-10-26T01:00Z  03:00  02:00
Europe/Berlin        2026-10-25T01:00Z  03:00  02:00
Europe/Berlin        2027-10-31T01:00Z  03:00  02:00
America/New_York     2024-11-03T06:00Z  02:00  01:00
America/New_York     2025-11-02T06:00Z  02:00  01:00
America/New_York     2026-11-01T06:00Z  02:00  01:00
America/New_York     2027-11-07T06:00Z  02:00  01:00
Australia/Lord_Howe  2024-04-06T15:00Z  02:00  01:30
Australia/Lord_Howe  2025-04-05T15:00Z  02:00  01:30
Australia/Lord_Howe  2026-04-04T15:00Z  02:00  01:30
Australia/Lord_Howe  2027-04-03T15:00Z  02:00  01:30
Europe/Dublin        2024-10-27T01:00Z  02:00  01:00
Europe/Dublin        2025-10-26T01:00Z  02:00  01:00
Europe/Dublin        2026-10-25T01:00Z  02:00  01:00
Europe/Dublin        2027-10-31T01:00Z  02:00  01:00
Africa/Casablanca    2024-03-10T02:00Z  03:00  02:00
Africa/Casablanca    2025-02-23T02:00Z  03:00  02:00
Africa/Casablanca    2026-02-15T02:00Z  03:00  02:00
Africa/Casablanca    2027-02-07T02:00Z  03:00  02:00
"""
UNCHANGED = "Asia/Kolkata"
DAY = 86_400


def rows(table: str) -> list[tuple[str, ...]]:
    return [tuple(line.split()) for line in table.strip().splitlines()]


def fields_at(shown: str, minutes: int) -> str:
    """Return the minute and the hour of an expression, `minutes` after the shown time."""
    at = datetime.fromisoformat(f"2000-01-01T{shown}") + timedelta(minutes=minutes)
    return f"{at.minute} {at.hour}"


def firings(expression: str, zone: str, start: float, end: float) -> list[float]:
    calendar = cron_calendar(expression, zone)
    found: list[float] = []
    at = calendar.after(start - 1)
    while at is not None and at < end:
        found.append(at)
        assert calendar.latest(at) == calendar.latest(at + 0.5) == at
        at = calendar.after(at)
    return found


@pytest.mark.parametrize("zone, change, skipped, shown", rows(AHEAD))
class TestAheadTheClock:
    """The clock is put ahead."""

    def test_a_fixed_job_inside_the_gap_runs_once_right_after(
        self, utc: Utc, zone: str, change: str, skipped: str, shown: str
    ) -> None:
        inside = f"{fields_at(skipped, 17)} * * *"

        found = firings(inside, zone, utc(change) - 7200, utc(change) + 7200)

        assert found == [utc(change)]

    def test_a_fixed_job_at_the_start_and_at_the_end_of_the_gap_are_one_instant(
        self, utc: Utc, zone: str, change: str, skipped: str, shown: str
    ) -> None:
        for each in (skipped, shown):
            found = firings(f"{fields_at(each, 0)} * * *", zone, utc(change) - 7200, utc(change) + 7200)

            assert found == [utc(change)]

    def test_a_fixed_job_just_before_and_just_after_the_gap_is_untouched(
        self, utc: Utc, zone: str, change: str, skipped: str, shown: str
    ) -> None:
        before = firings(f"{fields_at(skipped, -1)} * * *", zone, utc(change) - 7200, utc(change) + 7200)
        after = firings(f"{fields_at(shown, 1)} * * *", zone, utc(change) - 7200, utc(change) + 7200)

        assert (before, after) == ([utc(change) - 60], [utc(change) + 60])

    def test_several_minutes_of_a_fixed_job_in_the_gap_are_made_up_for_once(
        self, utc: Utc, zone: str, change: str, skipped: str, shown: str
    ) -> None:
        hour = int(skipped[:2])

        found = firings(f"5,10,25 {hour} * * *", zone, utc(change) - 7200, utc(change) + 1200)

        assert found == [utc(change)]

    def test_jobs_by_the_clock_go_on_as_if_nothing_were(
        self, utc: Utc, zone: str, change: str, skipped: str, shown: str
    ) -> None:
        found = firings("*/30 * * * *", zone, utc(change) - 3600, utc(change) + 3600)
        minute = int(skipped[3:]) + 17
        in_the_gap = firings(f"*/{minute} {int(skipped[:2])} * * *", zone, utc(change), utc(change) + 60)

        assert found == [utc(change) + step for step in (-3600, -1800, 0, 1800)]
        assert in_the_gap == []


@pytest.mark.parametrize("zone, change, left, shown", rows(BACK))
class TestBackTheClock:
    """The clock is put back."""

    def test_a_fixed_job_in_the_repeat_runs_the_first_time_only(
        self, utc: Utc, zone: str, change: str, left: str, shown: str
    ) -> None:
        repeat = 1800 if zone == "Australia/Lord_Howe" else 3600

        found = firings(f"{fields_at(shown, 17)} * * *", zone, utc(change) - 7200, utc(change) + 7200)

        assert found == [utc(change) - repeat + 17 * 60]

    def test_a_scheduler_that_starts_inside_the_repeat_does_not_run_it_again(
        self, utc: Utc, zone: str, change: str, left: str, shown: str
    ) -> None:
        calendar = cron_calendar(f"{fields_at(shown, 17)} * * *", zone)
        repeat = 1800 if zone == "Australia/Lord_Howe" else 3600

        assert calendar.after(utc(change) + 300) == utc(change) + DAY + 17 * 60
        assert calendar.latest(utc(change) + repeat) == utc(change) - repeat + 17 * 60

    def test_a_fixed_job_at_the_end_of_the_repeat_runs_when_the_clock_gets_there(
        self, utc: Utc, zone: str, change: str, left: str, shown: str
    ) -> None:
        repeat = 1800 if zone == "Australia/Lord_Howe" else 3600

        found = firings(f"{fields_at(left, 0)} * * *", zone, utc(change) - 7200, utc(change) + 7200)

        assert found == [utc(change) + repeat]

    def test_jobs_by_the_clock_run_both_times(self, utc: Utc, zone: str, change: str, left: str, shown: str) -> None:
        minute, hour = fields_at(shown, 15).split()
        repeat = 1800 if zone == "Australia/Lord_Howe" else 3600

        half_hourly = firings("*/30 * * * *", zone, utc(change) - 3600, utc(change) + 3600)
        by_the_clock = firings(f"*/{minute} {hour} * * *", zone, utc(change) - repeat, utc(change) + repeat)
        hourly = firings(f"{minute} * * * *", zone, utc(change) - repeat, utc(change) + repeat)

        assert half_hourly == [utc(change) + step for step in (-3600, -1800, 0, 1800)]
        assert hourly == [utc(change) - repeat + 900, utc(change) + 900]
        assert {utc(change) - repeat + 900, utc(change) + 900} <= set(by_the_clock)


@pytest.mark.parametrize("zone", sorted({row[0] for row in rows(AHEAD) + rows(BACK)} | {UNCHANGED}))
def test_the_table_names_every_change_of_2024_to_2027(utc: Utc, zone: str) -> None:
    named = [utc(row[1]) for row in rows(AHEAD) + rows(BACK) if row[0] == zone]
    offsets = find_zone(zone)

    changed = [
        float(at)
        for at in range(int(utc("2024-01-01T00:00Z")), int(utc("2028-01-01T00:00Z")), 1800)
        if datetime.fromtimestamp(at, offsets).utcoffset() != datetime.fromtimestamp(at - 1, offsets).utcoffset()
    ]

    assert changed == sorted(named)


def test_a_daily_job_where_no_clock_is_changed_runs_every_86400_seconds(utc: Utc) -> None:
    found = firings("30 2 * * *", UNCHANGED, utc("2024-01-01T00:00Z"), utc("2028-01-01T00:00Z"))

    assert found == [utc("2024-01-01T21:00Z") - DAY + DAY * number for number in range(1, 1462)]


def test_a_day_that_a_country_skips_is_not_made_up_for(utc: Utc) -> None:
    # Samoa went from 29 December 2011 to 31 December, across the date line: a change of 24 hours.
    change = utc("2011-12-30T10:00Z")

    noon = firings("0 12 * * *", "Pacific/Apia", change - DAY, change + DAY)
    that_day = firings("0 12 30 12 *", "Pacific/Apia", change - 30 * DAY, change + 30 * DAY)
    hourly = firings("0 * * * *", "Pacific/Apia", change - 7200, change + 7200)

    assert noon == [utc("2011-12-29T22:00Z"), utc("2011-12-30T22:00Z")]
    assert that_day == []
    assert hourly == [change - 7200, change - 3600, change, change + 3600]


def test_a_clock_put_back_by_three_hours_is_a_correction_and_the_new_time_is_used(utc: Utc) -> None:
    # Casey Station, 5 March 2010: from 02:00 (+11) back to 23:00 of the day before (+08).
    change = utc("2010-03-04T15:00Z")

    found = firings("30 23 * * *", "Antarctica/Casey", change - DAY // 2, change + DAY // 2)

    assert found == [change - 9000, change + 1800]


@pytest.mark.parametrize(
    "expression, times", [("*/45 2 25 10 *", 4), ("* 45 2 25 10 *", 120), ("*/20 50 2 25 10 *", 6)]
)
def test_a_job_by_the_clock_once_a_year_runs_both_times_in_a_repeat(utc: Utc, expression: str, times: int) -> None:
    change = utc("2026-10-25T01:00Z")

    found = firings(expression, "Europe/Berlin", change - 100 * DAY, change + 100 * DAY)
    calendar = cron_calendar(expression, "Europe/Berlin")

    assert len(found) == times
    assert found[times // 2 :] == [at + 3600 for at in found[: times // 2]]
    assert calendar.latest(found[times // 2] - 0.5) == found[times // 2 - 1]


@pytest.mark.parametrize("behind", [2, 60, 1700])
def test_the_first_of_two_repeated_times_is_found_from_inside_the_second(utc: Utc, behind: int) -> None:
    calendar = cron_calendar("* 45 2 25 10 *", "Europe/Berlin")
    again = utc("2026-10-25T01:45Z")

    assert calendar.latest(again - behind) == again - 3600 + 59


def test_changes_on_the_edge_of_a_day_of_utc_are_seen(utc: Utc) -> None:
    # Midnight in Greenwich: Baku from 04:00 to 05:00, Windhoek from 02:00 to 01:00.
    ahead, back = utc("2012-03-25T00:00Z"), utc("2003-04-06T00:00Z")

    assert firings("20 4 * * *", "Asia/Baku", ahead - 7200, ahead + 7200) == [ahead]
    assert firings("20 1 * * *", "Africa/Windhoek", back - 7200, back + 7200) == [back - 2400]
