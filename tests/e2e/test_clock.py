"""Jumps of the time: the program is halted, or the wall clock is set. Each instant has at most one run."""

from __future__ import annotations

import signal
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from tests.support.faked_clock import FakedClock

Start = Callable[..., Any]

EVERY = "jobs: {beat: {task: silent_leaver, schedule: {every: 20ms}}}"
CRON = 'jobs: {beat: {task: silent_leaver, schedule: {cron: "* * * * * *", timezone: UTC}}}'
# Fixed times, so that none of them comes again when the clock is set back.
FIXED = 'jobs: {beat: {task: silent_leaver, schedule: {cron: "0-59 0-59 0-23 * * *", timezone: UTC}}}'


@pytest.mark.long
def test_after_a_halt_one_instant_is_made_up_for_and_the_others_are_counted(start_program: Start) -> None:
    program = start_program(EVERY)
    program.wait_for_event("ended", "beat", count=3)

    program.send(signal.SIGSTOP)
    program.pass_time(0.5)
    program.send(signal.SIGCONT)

    program.wait_for_event("missed", "beat")
    program.wait_for_event("ended", "beat", count=len(program.events("ended")) + 3)
    program.send(signal.SIGTERM)
    assert program.end() == 0
    events = program.events("queued", "missed")
    at = next(index for index, event in enumerate(events) if event["event"] == "missed" and event["count"] >= 15)
    missed, made_up, following = events[at : at + 3]
    assert (missed["why"], made_up["event"], following["event"]) == ("late", "queued", "queued")
    # The missed instant is made up for at once, and the next instant follows on time.
    assert made_up["mono"] == missed["mono"]
    assert following["mono"] > made_up["mono"]


@pytest.mark.long
def test_after_a_halt_a_schedule_with_missed_skip_makes_up_for_nothing(start_program: Start) -> None:
    schedule = "{every: 3s, immediately: true, missed: skip}"
    program = start_program(f"jobs: {{beat: {{task: silent_leaver, schedule: {schedule}}}}}")
    program.wait_for_event("ended", "beat")

    program.send(signal.SIGSTOP)
    program.pass_time(5.0)
    program.send(signal.SIGCONT)

    program.wait_for_event("missed", "beat")
    program.wait_for_event("ended", "beat", count=2)
    program.send(signal.SIGTERM)
    assert program.end() == 0
    [missed] = program.events("missed")
    assert (missed["why"], missed["count"]) == ("late", 1)
    # The second run is for the instant 6 s after the schedule was armed.
    first, second = (event["mono"] for event in program.events("queued"))
    assert second - first > 5.9


@pytest.mark.long
def test_a_halt_of_the_program_does_not_make_a_run_unresponsive(start_program: Start) -> None:
    # The worker polls after 0.7 s of CPU, which takes a few seconds on a busy machine, but hardly six.
    program = start_program("jobs: {slow: {task: worker, watchdog: {after: 6s, then: restart}}}")
    program.wait_for_event("started", "slow")
    program.pass_time(1.2)  # after the watchdog's check, and before the next poll

    program.send(signal.SIGSTOP)
    program.pass_time(9.0)
    program.send(signal.SIGCONT)
    program.pass_time(2.0)

    program.send(signal.SIGTERM)
    assert program.end() == 0
    assert program.told("unresponsive", "queued") == ["queued slow"]


@pytest.mark.long
def test_one_instant_is_made_up_for_when_the_clock_is_set_forward(
    start_program: Start, faked_clock: FakedClock
) -> None:
    program = start_program(CRON, env=faked_clock.env)
    program.wait_for_event("ended", "beat")

    before = len(program.events("missed"))  # a busy machine may miss an instant by itself

    faked_clock.set("+10m")

    program.wait_for_event("missed", "beat", count=before + 1)
    program.wait_for_event("ended", "beat", count=len(program.events("ended")) + 2)
    program.send(signal.SIGTERM)
    assert program.end() == 0
    [count] = [event["count"] for event in program.events("missed") if event["count"] > 60]
    assert 595 <= count <= 605
    assert no_instant_ran_twice(program)


@pytest.mark.long
def test_no_fixed_time_is_repeated_when_the_clock_is_set_back_an_hour(
    start_program: Start, faked_clock: FakedClock
) -> None:
    program = start_program(FIXED, env=faked_clock.env)
    program.wait_for_event("ended", "beat", count=2)

    faked_clock.set("-1h")
    program.pass_time(1.0)
    before = len(program.events("queued"))
    program.pass_time(2.5)
    after = len(program.events("queued"))
    program.send(signal.SIGTERM)
    assert program.end() == 0
    assert after == before
    assert no_instant_ran_twice(program)


@pytest.mark.long
def test_fixed_times_continue_when_the_clock_is_corrected_again(start_program: Start, faked_clock: FakedClock) -> None:
    program = start_program(FIXED, env=faked_clock.env)
    program.wait_for_event("ended", "beat", count=2)

    faked_clock.set("-1h")
    program.pass_time(1.5)
    faked_clock.set("+0")

    # The scheduler checks the wall clock every 15 s.
    program.wait_for_event("ended", "beat", count=len(program.events("queued")) + 2)
    program.send(signal.SIGTERM)
    assert program.end() == 0
    assert no_instant_ran_twice(program)


@pytest.mark.long
def test_a_schedule_restarts_from_a_clock_that_is_set_back_by_a_day(
    start_program: Start, faked_clock: FakedClock
) -> None:
    program = start_program(CRON, env=faked_clock.env)
    program.wait_for_event("ended", "beat", count=2)

    faked_clock.set("-1d")

    program.wait_for_event("ended", "beat", count=len(program.events("queued")) + 4)
    program.send(signal.SIGTERM)
    assert program.end() == 0
    days = [event["at"][:10] for event in program.events("queued")]
    assert days[-1] < days[0]


def no_instant_ran_twice(program: Any) -> bool:
    """Return whether no two runs began in one second, since the instants are a second apart."""
    seconds = [event["at"][:19] for event in program.events("queued")]
    return all(first < second for first, second in pairwise(seconds))
