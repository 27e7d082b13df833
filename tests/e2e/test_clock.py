"""Jumps of the time: the program is halted, or the wall clock is set. Each instant has at most one run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]

EVERY = "jobs: {beat: {task: silent_leaver, schedule: {every: 20ms}}}"
CRON = 'jobs: {beat: {task: silent_leaver, schedule: {cron: "* * * * * *", timezone: UTC}}}'
LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1")


class FakedClock:
    """A wall clock that the test sets, for a program with the environment `env`. The monotonic clock is not changed."""

    def __init__(self, library: str, folder: Path) -> None:
        self._file = folder / "offset"
        self.set("+0")
        self.env = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset: str) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(offset + "\n")
        fresh.replace(self._file)


@pytest.fixture
def faked_clock(tmp_path: Path) -> FakedClock:
    found = [library for pattern in LIBRARIES for library in Path("/").glob(pattern.lstrip("/"))]
    if not found and os.environ.get("CI"):
        pytest.fail("cannot find libfaketime, and under CI nothing may be missing")
    if not found:
        pytest.skip("LOUD: cannot find libfaketime; install the package faketime to run this test")
    return FakedClock(str(found[0]), tmp_path)


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
    program = start_program("jobs: {slow: {task: worker, watchdog: {after: 2s, then: restart}}}")
    program.wait_for("slow         started")
    program.pass_time(1.2)  # after the watchdog's check, and before the next poll

    program.send(signal.SIGSTOP)
    program.pass_time(4.0)
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
def test_no_instant_is_repeated_when_the_clock_is_set_back_an_hour(
    start_program: Start, faked_clock: FakedClock
) -> None:
    program = start_program(CRON, env=faked_clock.env)
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
def test_a_schedule_continues_when_the_clock_is_corrected_again(start_program: Start, faked_clock: FakedClock) -> None:
    program = start_program(CRON, env=faked_clock.env)
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
