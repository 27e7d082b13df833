"""The engine leaves out the checks of the wall clock that find nothing: the result is the same as with all of them."""

from __future__ import annotations

from random import Random

import pytest

from taskloom.calendars import cron_calendar
from taskloom.core.events import Event
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import JobSpec
from taskloom.core.policies import Missed, Overlap, Schedule
from taskloom.simulation import ClockStep, Plan, simulate_jobs
from taskloom.testing import make_job

HOURS = 6
EXPRESSIONS = ("* * * * *", "*/20 * * * * *", "0 * * * *", "30 12 * * *", "0,30 9-17 * * *", "15,45 0-23 * * *")
STEPS = (0.05, 0.3, 5.0, 25.0, 40.0, 61.0, 600.0, 7200.0, 10_740.0, 10_860.0, 86_400.0)


def draw_plan(random: Random) -> Plan:
    times = sorted(random.uniform(0.0, HOURS * 3600.0) for _ in range(random.choice((1, 3, 8))))
    steps = tuple((at, ClockStep(random.choice(STEPS) * random.choice((1, -1)))) for at in times)
    return Plan(seconds=HOURS * 3600.0, start=1_767_614_410.0, clock_steps=steps, checked_steps=None)


def draw_jobs(random: Random) -> list[JobSpec]:
    return [
        make_job(
            f"j{number}",
            schedule=Schedule(
                calendar=cron_calendar(expression, "UTC"),
                jitter=random.choice((0.0, 0.0, 5.0)),
                overlap=random.choice(list(Overlap)),
                missed=random.choice(list(Missed)),
            ),
        )
        for number, expression in enumerate(random.sample(EXPRESSIONS, random.choice((1, 2, 3))))
    ]


# With the last four, the clock is set while a firing is delayed by its jitter: several instants may be the latest one.
@pytest.mark.parametrize("seed", [0, 1, 125, 184, 194, 272])
def test_the_events_are_those_of_a_simulation_with_every_check(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(seed)
    jobs, plan = draw_jobs(random), draw_plan(random)
    few: list[Event] = []
    all_checks: list[Event] = []

    simulate_jobs(jobs, plan, [few.append])
    monkeypatch.setattr(Lifecycle, "next_deadline_by_steady_clock", Lifecycle.next_deadline)
    simulate_jobs(jobs, plan, [all_checks.append])

    assert few == all_checks
