"""Clocks that are set: wildcards follow the new time at once, and no fixed time runs twice, as in Debian's cron."""

from __future__ import annotations

import pytest
from tests.support.cron_core import DAY, HOUR, MINUTE, NOON, START, CronCore, cron, shown, time_of_day
from tests.support.every_case import every_case

from taskloom.calendars import at_calendar, cron_calendar
from taskloom.core.model import Moment
from taskloom.core.policies import Missed, Schedule, repeats_after
from taskloom.core.wall_clock import CLOCK_SECONDS, WallClock
from taskloom.testing import make_job

# The stage begins 10 s after noon: most steps in these tests come 10 s after a full minute.

# -- which calendars wait, and for how long


@every_case(
    ("expression", "seconds"),
    [
        ("* * * * *", 60), ("*/5 * * * *", 60), ("0 * * * *", 60), ("30 */2 * * *", 60), ("* 3 * * *", 60),
        ("*,5 1 * * *", 60), ("@hourly", 60), ("*/7 9-17 * * 1-5", 60), ("0 */5 * * * *", 60), ("15 * * * * *", 60),
        ("* * * * * *", 1), ("*/20 * * * * *", 1), ("0,30 * * * * *", 1), ("* 30 2 * * *", 1), ("1-3 0 * * * *", 1),
        ("30 2 * * *", 10_800), ("0-59 0-23 * * *", 10_800), ("1-59/2 3 * * *", 10_800), ("0,30 9-17 * * *", 10_800),
        ("5 4 */2 * *", 10_800), ("@daily", 10_800), ("@midnight", 10_800), ("@weekly", 10_800), ("@monthly", 10_800),
        ("@yearly", 10_800), ("0 30 2 * * *", 10_800), ("0,30 30 2 * * *", 10_800),
    ],
)  # fmt: skip
def test_a_field_of_the_time_of_day_that_begins_with_a_star_makes_a_wildcard(expression: str, seconds: int) -> None:
    assert repeats_after(cron_calendar(expression, "UTC")) == seconds


# -- wildcards follow the clock


@every_case("back", [2 * MINUTE, HOUR, 2 * HOUR, 2 * HOUR + 50 * MINUTE, 179 * MINUTE, 181 * MINUTE, DAY])
@every_case("expression", ["* * * * *", "*/1 0-23 * * *", "*,3 * * * *", "0 * * * * *"])
def test_every_minute_goes_on_once_a_minute_whatever_the_clock_shows(expression: str, back: int) -> None:
    stage = CronCore(cron(expression))
    stage.pass_time(30 * MINUTE)

    stage.step(-back)
    began = stage.pass_time(HOUR)

    assert [one.second for one in began] == [30 * MINUTE + 50 + MINUTE * number for number in range(60)]
    assert began[0].shown == time_of_day(NOON + 31 * MINUTE - back)
    assert stage.missed == 0


@every_case("back", [2, 25, 40, 59, 61, 2 * HOUR, 3 * HOUR + 60, DAY])
def test_every_second_goes_on_once_a_second_whatever_the_clock_shows(back: int) -> None:
    stage = CronCore(cron("* * * * * *"))
    stage.pass_time(100)

    stage.step(-back)
    began = stage.pass_time(200)

    assert [one.second for one in began] == list(range(101, 301))
    assert began[0].shown == time_of_day(START + 101 - back)
    assert stage.missed == 0


@pytest.mark.parametrize(("back", "silent"), [(25, 0), (40, 0), (59, 0), (60, 0), (61, MINUTE), (100, MINUTE)])
def test_a_step_back_within_a_minute_repeats_no_minute(back: int, silent: int) -> None:
    stage = CronCore(cron("* * * * *"))
    before = stage.pass_time(35 * MINUTE - 5)  # until 12:35:05

    stage.step(-back)
    after = stage.pass_time(5 * MINUTE)

    assert before[-1].shown == "12:35:00"
    repeated = [one for one in after if one.shown == "12:35:00"]
    assert len(repeated) == bool(silent)
    assert "12:36:00" in shown(after)


def test_an_hourly_job_is_not_repeated_by_a_correction_of_half_a_second() -> None:
    stage = CronCore(cron("@hourly"))
    stage.pass_time(HOUR - 9.9)  # until 13:00:00.1

    stage.step(-0.5)

    assert shown(stage.pass_time(HOUR + 1)) == ["14:00:00"]


def test_an_instant_of_the_new_time_before_the_next_check_is_made_up_for() -> None:
    stage = CronCore(cron("* * * * *"))
    stage.pass_time(30 * MINUTE)  # 12:30:10

    stage.step(-2 * MINUTE - 12)  # 12:27:58
    began = stage.pass_time(MINUTE)

    assert began[0].second - 30 * MINUTE <= CLOCK_SECONDS
    assert [one.shown[:5] for one in began] == ["12:28"]


def test_with_missed_skip_such_an_instant_is_missed() -> None:
    stage = CronCore(cron("* * * * *", missed=Missed.SKIP))
    stage.pass_time(30 * MINUTE)

    stage.step(-2 * MINUTE - 12)
    began = stage.pass_time(2 * MINUTE)

    assert shown(began)[:1] == ["12:29:00"]
    assert stage.missed == 1


# -- fixed times are held back


@every_case("back", [25, 40, 59, 61, HOUR, 2 * HOUR, 179 * MINUTE, 3 * HOUR])
@every_case("expression", ["30 12 * * *", "30 0-23 * * *", "0,30 9-17 * * *", "0 30 12 * * *"])
def test_a_fixed_time_does_not_run_twice(expression: str, back: int) -> None:
    stage = CronCore(cron(expression))
    before = stage.pass_time(30 * MINUTE)

    stage.step(-back)
    after = stage.pass_time(back)

    assert shown(before)[-1] == "12:30:00"
    assert after == []
    assert stage.missed == 0


@pytest.mark.parametrize("back", [181 * MINUTE, 4 * HOUR, DAY])
def test_after_a_correction_a_fixed_time_runs_by_the_new_time(back: int) -> None:
    stage = CronCore(cron("30 12 * * *"))
    stage.pass_time(30 * MINUTE)

    stage.step(-back)
    began = stage.pass_time(back)

    assert shown(began) == ["12:30:00"]


def test_fixed_times_that_were_not_run_yet_run_when_the_clock_gets_there() -> None:
    stage = CronCore(cron("45 12 * * *"))
    stage.pass_time(30 * MINUTE)

    stage.step(-2 * HOUR)

    assert shown(stage.pass_time(3 * HOUR)) == ["12:45:00"]


@pytest.mark.parametrize("back", [25, HOUR, 4 * HOUR, DAY])
def test_a_single_instant_runs_once(back: int) -> None:
    instant = Schedule(calendar=at_calendar("2026-01-05T12:20:00", "UTC"))
    before, after = CronCore(instant), CronCore(instant)

    began = before.pass_time(30 * MINUTE)
    before.step(-back)
    after.pass_time(10 * MINUTE)
    after.step(-back)

    assert shown(began) == ["12:20:00"]
    assert before.pass_time(2 * DAY) == []
    assert shown(after.pass_time(2 * DAY)) == ["12:20:00"]


def test_an_interval_does_not_notice() -> None:
    stage = CronCore(Schedule(every=60.0))
    stage.pass_time(90)

    stage.step(-2 * HOUR)
    stage.pass_time(10)
    stage.step(5 * HOUR)

    assert [one.second for one in stage.pass_time(140)] == [120, 180, 240]


# -- several steps


def test_two_steps_back_of_two_hours_are_a_correction() -> None:
    stage = CronCore(cron("30 12 * * *"))
    stage.pass_time(30 * MINUTE)

    stage.step(-2 * HOUR)
    stage.pass_time(5 * MINUTE)
    stage.step(-2 * HOUR)

    assert shown(stage.pass_time(5 * HOUR)) == ["12:30:00"]


@pytest.mark.parametrize(
    ("expression", "back", "last"), [("0 9 * * *", 4 * HOUR, "09:00:00"), ("* * * * *", 2 * HOUR, "11:00:00")]
)
def test_after_a_step_that_is_followed_a_short_one_repeats_nothing(expression: str, back: int, last: str) -> None:
    stage = CronCore(cron(expression))
    stage.pass_time(30 * MINUTE)

    stage.step(-back)
    began = stage.pass_time(30 * MINUTE - 8)
    stage.step(-20)

    assert began[-1].shown == last
    assert last not in shown(stage.pass_time(MINUTE))


def test_two_steps_back_of_one_hour_each_hold_fixed_times_back_and_wildcards_follow_both() -> None:
    fixed, wildcard = CronCore(cron("30 12 * * *")), CronCore(cron("0 * * * *"))
    for stage in (fixed, wildcard):
        stage.pass_time(30 * MINUTE)
        stage.step(-HOUR)
        stage.pass_time(MINUTE)
        stage.step(-HOUR)

    assert fixed.pass_time(3 * HOUR) == []
    assert shown(wildcard.pass_time(3 * HOUR)) == ["11:00:00", "12:00:00", "13:00:00"]


def test_steps_that_come_after_the_clock_has_caught_up_are_not_added() -> None:
    stage = CronCore(cron("30 12,14 * * *"))
    began = stage.pass_time(30 * MINUTE)
    for _ in range(3):
        stage.step(-2 * HOUR)
        began += stage.pass_time(2 * HOUR)

    assert shown(began + stage.pass_time(3 * HOUR)) == ["12:30:00", "14:30:00"]


@every_case("back", [25, 40, 2 * HOUR, DAY])
@every_case("expression", ["* * * * *", "30 12 * * *", "*/20 * * * * *"])
def test_back_and_forth_misses_only_what_came_since_and_repeats_nothing(expression: str, back: int) -> None:
    stage = CronCore(cron(expression))
    before = stage.pass_time(30 * MINUTE)

    stage.step(-back)
    stage.pass_time(2 * MINUTE)
    stage.step(back)
    after = stage.pass_time(10 * MINUTE)

    assert stage.missed <= 2 * MINUTE / 20
    assert not set(shown(before)) & set(shown(after))


def test_forth_and_back_repeats_no_fixed_time() -> None:
    stage = CronCore(cron("30 12 * * *"))
    stage.pass_time(10 * MINUTE)

    stage.step(50 * MINUTE)
    made_up_for = stage.pass_time(MINUTE)
    stage.step(-50 * MINUTE)

    assert len(made_up_for) == 1
    assert stage.pass_time(2 * HOUR) == []


def test_steps_that_cancel_out_before_a_check_change_nothing() -> None:
    stage = CronCore(cron("* * * * *"))
    stage.pass_time(MINUTE)
    stage.step(-2 * HOUR)
    stage.core.clock.advance(1)
    stage.step(2 * HOUR)

    assert shown(stage.pass_time(2 * MINUTE)) == ["12:02:00", "12:03:00"]


def test_a_job_that_is_armed_between_two_steps_that_cancel_out_fires_by_the_clock() -> None:
    stage = CronCore(cron("0 15 * * *"))
    stage.step(30 * MINUTE)
    stage.core.add(make_job("new", schedule=cron("* * * * *")))
    stage.core.arm("new")

    stage.step(-30 * MINUTE)

    assert shown(stage.pass_time(3 * MINUTE)) == ["12:01:00", "12:02:00", "12:03:00"]


# -- the watch itself


def test_no_check_is_due_while_no_calendar_is_armed() -> None:
    clock = WallClock()
    due = [clock.check_at]

    clock.watch(Moment(100.0, 0.0))
    due.append(clock.check_at)
    assert clock.check(Moment(107.0, 7.0), 0.0) is None
    due.append(clock.check_at)
    clock.stop_watching(Moment(108.0, 8.0))

    assert [*due, clock.check_at] == [float("inf"), 115.0, 122.0, float("inf")]


def test_the_new_time_counts_from_the_last_moment_at_which_the_clock_was_known_to_be_steady() -> None:
    found = []
    for steady_until in (0.0, 90.0):
        clock = WallClock()
        clock.watch(Moment(0.0, 10_000.0))
        found.append(clock.check(Moment(100.0, 5000.0), steady_until))

    assert [round(change.shown) for change in found if change is not None] == [4900, 4990]
