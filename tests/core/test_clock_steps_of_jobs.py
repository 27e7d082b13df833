"""A clock that is set while a job is stopped, reloaded, queued, delayed or halted; and random steps."""

from __future__ import annotations

from random import Random

import pytest
from tests.support.cron_core import HOUR, MINUTE, START, CronCore, cron, shown, time_of_day
from tests.support.cron_walk import reference_runs

from taskloom.core.events import EventName
from taskloom.core.inputs import Tick
from taskloom.core.model import Moment
from taskloom.core.policies import Overlap
from taskloom.core.wall_clock import CLOCK_SECONDS
from taskloom.testing import make_job

# -- a step in the life of a job


def test_a_fixed_time_is_held_back_when_the_job_is_stopped_and_started() -> None:
    stage = CronCore(cron("30 12 * * *"))
    stage.pass_time(30 * MINUTE)

    stage.step(-HOUR)
    stage.core.stop("j0")
    stage.pass_time(MINUTE)
    stage.core.arm("j0")

    assert stage.pass_time(2 * HOUR) == []


def test_a_fixed_time_is_held_back_when_a_reload_changes_the_schedule_right_after_the_step() -> None:
    stage = CronCore(cron("30 12 * * *"))
    stage.pass_time(30 * MINUTE)

    stage.step(-HOUR)
    stage.core.reload(make_job("j0", schedule=cron("30 12 * * *", overlap=Overlap.QUEUE)))
    began = stage.pass_time(2 * HOUR)
    stage.core.reload(make_job("j0", schedule=cron("0 13 * * *")))

    assert began == []
    assert shown(stage.pass_time(24 * HOUR)) == ["13:00:00"]


def test_a_job_that_is_added_while_fixed_times_are_held_back_runs_by_the_new_time() -> None:
    stage = CronCore(cron("15 12 * * *"))
    stage.pass_time(30 * MINUTE)

    stage.step(-HOUR)
    stage.core.add(make_job("new", schedule=cron("15 12 * * *")))
    stage.core.arm("new")

    assert shown(stage.pass_time(2 * HOUR)) == ["12:15:00"]


def test_after_a_correction_a_job_that_is_started_again_runs_by_the_new_time() -> None:
    stage = CronCore(cron("30 12 * * *"))
    stage.pass_time(30 * MINUTE)

    stage.step(-4 * HOUR)
    stage.core.stop("j0")
    stage.core.arm("j0")

    assert shown(stage.pass_time(5 * HOUR)) == ["12:30:00"]


def test_a_queued_firing_still_runs_after_a_step_back() -> None:
    stage = CronCore(cron("* * * * *", overlap=Overlap.QUEUE))
    clock = stage.core.clock
    clock.advance(50)
    stage.core.send(Tick())
    stage.core.started("j0#1")
    clock.advance(60)
    stage.core.send(Tick())

    stage.step(-2 * HOUR)
    clock.advance(5)
    stage.core.ended("j0#1")
    stage.core.started("j0#2")
    stage.core.ended("j0#2")

    assert shown(stage.pass_time(2 * MINUTE)) == ["10:03:00", "10:04:00"]


def test_replicas_follow_alike() -> None:
    stage = CronCore(cron("* * * * *"))
    for spec in make_job("web", schedule=cron("* * * * *"), replicas=3).replicated():
        stage.core.add(spec)
        stage.core.arm(spec.name)
    stage.pass_time(30 * MINUTE)

    stage.step(-2 * HOUR)

    assert shown(stage.pass_time(2 * MINUTE)) == ["10:31:00"] * 4 + ["10:32:00"] * 4


def test_a_firing_that_its_jitter_delays_comes_once_by_the_clock_that_was_set_back() -> None:
    stage = CronCore(cron("30 12 * * *", jitter=50.0))
    stage.pass_time(30 * MINUTE - 10)
    before = stage.core.lifecycle.jobs["j0"].next_firing
    assert before is not None

    stage.step(-40)
    began = stage.pass_time(2 * HOUR)

    assert len(began) <= 1
    assert stage.core.lifecycle.jobs["j0"].runs == 1


def test_a_suspend_while_a_fixed_time_is_held_back_does_not_run_it_again() -> None:
    """The monotonic clock stops meanwhile: for the program the wall clock is set forward."""
    stage = CronCore(cron("30 12 * * *"), cron("0 14 * * *"))
    stage.pass_time(30 * MINUTE)

    stage.step(-2 * HOUR)
    stage.pass_time(MINUTE)
    stage.step(4 * HOUR)
    stage.pass_time(MINUTE)

    assert [job.runs for job in stage.core.lifecycle.jobs.values()] == [1, 1]


def test_a_program_that_is_halted_between_its_readings_of_the_two_clocks_repeats_nothing() -> None:
    stage = CronCore(cron("* * * * * *"))
    stage.pass_time(10)
    real = stage.core.clock.now()

    # The wall clock was read in time, the monotonic clock three seconds later.
    found = stage.core.lifecycle.handle(Tick(), Moment(real.mono + 4, real.wall + 1))

    instants = [event for event in found if getattr(event, "event", None) is EventName.QUEUED]
    stage.core.started("j0#11")
    stage.core.ended("j0#11")
    stage.core.clock.advance(4)
    assert len(instants) == 1
    assert shown(stage.pass_time(3))[:1] == [time_of_day(START + 15)]
    assert stage.core.lifecycle.jobs["j0"].runs + stage.missed == 17


# -- against a walk through every second


EXPRESSIONS = (
    "* * * * *", "*/7 * * * *", "0 * * * *", "@hourly", "*/20 12-14 * * *", "15 */2 * * *", "30 12 * * *",
    "0,20,40 9-17 * * *", "@daily", "10-50/10 0-23 * * *", "0 0-23/2 * * 1", "5 12 5 1 *",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_runs_are_those_of_a_walk_through_every_second_that_the_clock_shows(expression: str, seed: int) -> None:
    """Steps of full minutes, at most one in two minutes, all between two checks without a full minute in between."""
    random = Random(f"{expression} {seed}")
    hours = 6
    minutes = sorted(random.sample(range(2, hours * 60, 2), random.choice((1, 2, 3, 5))))
    sizes = (1, 2, 30, 60, 119, 120, 179, 181, 240, 1440)
    steps = {minute * MINUTE + 6: random.choice(sizes) * random.choice((1, -1, -1)) * MINUTE for minute in minutes}
    stage = CronCore(cron(expression))

    began, second = [], 0
    for at, step in [*steps.items(), (hours * HOUR, 0)]:
        began += stage.pass_time(at - second - 1)
        stage.step(step)  # between two seconds
        began += stage.pass_time(1)
        second = at

    expected = reference_runs(expression, START, hours * HOUR, steps)
    late = [one.second - second for one, (second, _) in zip(began, expected, strict=True)]
    assert all(0 <= one <= CLOCK_SECONDS for one in late)
