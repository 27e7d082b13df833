"""The wall clock of a real `taskloom run` is set back and forth by libfaketime, with three kinds of cron jobs.

The instants at which runs are expected are computed from what the clock showed.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.faked_clock import FakedClock

Start = Callable[..., Any]

JOBS = """
jobs:
  second: {task: silent_leaver, schedule: {cron: "* * * * * *", timezone: UTC}}
  minute: {task: silent_leaver, schedule: {cron: "* * * * *", timezone: UTC}}
  fixed: {task: silent_leaver, schedule: {cron: "30 12 * * *", timezone: UTC}}
  later: {task: silent_leaver, schedule: {cron: "45 12 * * *", timezone: UTC}}
"""
HOUR = 3600
HALF_PAST = datetime(2027, 3, 10, 12, 30, tzinfo=UTC).timestamp()
# The clock is checked at the next firing of any job, here within a second. This leaves room for a busy machine, and is
# less than the time by which the clock is set back.
NOTICED_SECONDS = 20

pytestmark = pytest.mark.long


def second_of(event: dict[str, Any]) -> int:
    """Return the second since the epoch that the program's clock showed."""
    return int(datetime.fromisoformat(event["at"]).timestamp())


def runs_of(program: Any, job: str) -> list[int]:
    """Return the seconds at which the job's runs began, in order."""
    return [second_of(event) for event in program.events("queued") if event["job"] == job]


def start_at_half_past(start_program: Start, faked_clock: FakedClock) -> Any:
    """Start the jobs, and return when the fixed job has run. It takes some time until all jobs have begun."""
    faked_clock.show(HALF_PAST - 1800)
    program = start_program(JOBS, env=faked_clock.env)
    program.wait_for_event("ended", "second")
    faked_clock.show(HALF_PAST - 3)
    program.wait_for_event("ended", "fixed")
    return program


def wait_until(program: Any, wall: float, shown: int) -> None:
    """Wait until the every-second job has run when the clock showed `wall` or later, after its first `shown` runs."""
    count = shown + 1
    while second_of(program.wait_for_event("queued", "second", count)) < wall:
        count += 1


def check_every_second(program: Any, steps: list[int]) -> None:
    """Check that each second that the clock showed had a run or was counted as missed.

    `steps`: how many runs the every-second job had when the clock was set.
    """
    events = [event for event in program.events("queued", "missed") if event["job"] == "second"]
    queued, missed, before = 0, 0, None
    for event in events:
        if event["event"] == "missed":
            missed += event["count"]
            continue
        queued += 1
        now = second_of(event)
        # The run after a step may belong to either side of it.
        if before is not None and queued - 1 not in steps and queued not in steps:
            assert now - before == 1 + missed, f"run {queued}: {event['at']}"
        before, missed = now, 0


@pytest.mark.parametrize("back", [25, 40, 2 * HOUR])
def test_wildcards_follow_a_step_back_at_once_and_fixed_times_run_once(
    start_program: Start, faked_clock: FakedClock, back: int
) -> None:
    program = start_at_half_past(start_program, faked_clock)
    steps = [sum(at < HALF_PAST - 60 for at in runs_of(program, "second"))]
    wait_until(program, HALF_PAST + 2, steps[0])
    steps.append(len(runs_of(program, "second")))

    # Back, to shortly before a full minute, which is not the one that the fixed job runs at.
    faked_clock.show(HALF_PAST + 3 - back)
    program.wait_for_event("queued", "second", steps[1] + 6)
    after_step = runs_of(program, "second")[steps[1] + 1 :]
    # Forth again, to just before the time that had been reached before.
    steps.append(len(runs_of(program, "second")))
    faked_clock.show(HALF_PAST - 3)
    wait_until(program, HALF_PAST + 4, steps[2])
    minutes = [at for at in runs_of(program, "minute") if HALF_PAST <= at < HALF_PAST + 50]
    # Forth, to the other fixed time.
    steps.append(len(runs_of(program, "second")))
    faked_clock.show(HALF_PAST + 15 * 60 - 2)
    program.wait_for_event("ended", "later")
    # And back by less than the time since then: it does not run again.
    wait_until(program, HALF_PAST + 15 * 60 + 2, steps[3])
    steps.append(len(runs_of(program, "second")))
    faked_clock.show(HALF_PAST + 15 * 60 - 25)
    program.wait_for_event("queued", "second", steps[4] + 3)
    steps.append(len(runs_of(program, "second")))
    faked_clock.show(HALF_PAST + 15 * 60 - 1)
    wait_until(program, HALF_PAST + 15 * 60 + 3, steps[5])

    program.send(signal.SIGTERM)
    assert program.end() == 0
    assert HALF_PAST + 3 - back <= after_step[0] <= HALF_PAST + 3 - back + NOTICED_SECONDS
    assert len(runs_of(program, "fixed")) == len(runs_of(program, "later")) == 1
    # 12:30 came a second time. A step within a minute repeats no minute, a longer one does.
    assert len(minutes) == (1 if back < 60 else 2)
    check_every_second(program, steps)


def test_every_minute_runs_by_the_new_time_after_a_step_of_two_hours(
    start_program: Start, faked_clock: FakedClock
) -> None:
    program = start_at_half_past(start_program, faked_clock)

    before = len(runs_of(program, "minute"))
    faked_clock.show(HALF_PAST - 2 * HOUR - 4)
    program.wait_for_event("ended", "minute", count=before + 1)

    program.send(signal.SIGTERM)
    assert program.end() == 0
    first, second = runs_of(program, "minute")[before - 1 :]
    assert HALF_PAST <= first < HALF_PAST + 50
    assert HALF_PAST - 2 * HOUR <= second < HALF_PAST - 2 * HOUR + 50
    assert len(runs_of(program, "fixed")) == 1


def test_the_clock_is_checked_although_no_job_is_due(start_program: Start, faked_clock: FakedClock) -> None:
    """Without a job that fires every second, the step is noticed within 15 s of the last check."""
    faked_clock.show(HALF_PAST - 1800)
    minute = '{task: silent_leaver, schedule: {cron: "* * * * *", timezone: UTC}}'
    program = start_program(f"jobs: {{minute: {minute}}}", env=faked_clock.env)
    program.wait_for_event("scheduler_started")
    faked_clock.show(HALF_PAST + 5)
    program.wait_for_event("ended", "minute")

    faked_clock.show(HALF_PAST - 2 * HOUR - 5)
    program.wait_for_event("ended", "minute", count=2)

    program.send(signal.SIGTERM)
    assert program.end() == 0
    assert HALF_PAST - 2 * HOUR <= runs_of(program, "minute")[1] < HALF_PAST - 2 * HOUR + 50
