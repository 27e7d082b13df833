"""I10: no instant of a schedule that catches up starts two runs, however the clock is set back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.fake_calendar import FakeCalendar
from tests.support.falsified_history import tampered

from taskloom.core.actions import Action
from taskloom.core.events import Event, EventName
from taskloom.core.policies import Missed, Overlap, Schedule
from taskloom.testing import At, Behaviour, ClockStep, History, Step, check, make_job, simulate
from taskloom.testing.clock import FIRST_WALL_SECONDS

INTERVAL = Schedule(every=2.0, missed=Missed.CATCH_UP)
CALENDAR = replace(INTERVAL, every=None, calendar=FakeCalendar(FIRST_WALL_SECONDS, 10.0), text="each ten seconds")
HOUR = 3600.0
HALF_HOURLY = replace(CALENDAR, calendar=FakeCalendar(FIRST_WALL_SECONDS, HOUR / 2))


def history(schedule: Schedule, *steps: At, seconds: float = 60.0, runs: Sequence[float] = (0.5,)) -> History:
    """Simulate a job whose runs take so long, the last number also for all further ones."""
    behaviours = {"s": [Behaviour.returns(run) for run in runs]}
    return simulate([make_job("s", schedule=schedule)], seconds=seconds, script=steps, behaviours=behaviours)


@pytest.mark.parametrize("schedule", [pytest.param(INTERVAL, id="every"), pytest.param(CALENDAR, id="calendar")])
def test_a_second_run_for_an_instant_is_found(schedule: Schedule) -> None:
    first: list[Any] = []

    def repeat(_: Step, action: Action) -> list[Action]:
        """Let all runs start for the instant of the first."""
        if isinstance(action, Event) and action.event is EventName.QUEUED:
            first.append(action.data["instant"])
            return [action._replace(data={**action.data, "instant": first[0]})]
        return [action]

    found = check(tampered(history(schedule), repeat))

    assert [each.rule for each in found if "is a second run for" in each.text].count("I10") == len(first) - 1 > 0


@every_case("by", [-2.0, -40.0, -20.5])
@every_case("overlap", list(Overlap))
def test_an_interval_may_show_its_instants_again_after_the_clock_was_set_back(by: float, overlap: Overlap) -> None:
    result = history(replace(INTERVAL, overlap=overlap), At(45.25, ClockStep(by)), runs=[3.0], seconds=100.0)

    assert check(result) == []


def test_the_instants_of_a_calendar_come_again_after_a_correction_of_the_clock() -> None:
    """It is set back by more than three hours since the last instant, but less than that before the next one."""
    result = history(HALF_HOURLY, At(3 * HOUR + 20.0, ClockStep(-3 * HOUR - 30.0)), seconds=5 * HOUR)

    assert check(result) == []


def test_a_correction_of_the_clock_is_seen_by_the_last_instant_also_if_that_was_missed() -> None:
    """The only run began at half past twelve, and all instants until half past three were missed."""
    result = history(HALF_HOURLY, At(12_700.0, ClockStep(-11_000.0)), runs=[10_950.0, 1.0], seconds=4 * HOUR)

    assert check(result) == []
