"""Seeded scenarios in virtual time; the checker judges the whole history of each, and nothing else counts."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from tests.support.random_scenario import Scenario

from taskloom.invariants.checker import check, check_events, explain

FIRST_SEED = 20261122

# (jobs, hours, share): busy quarters of an hour in which lives collide, and calm weeks that fill the hours.
BUSY = (12, 0.25)
DAY = (40, 24.0)
MONTH = (100, 250.0)


class Tally(NamedTuple):
    """What was simulated, and checked whole."""

    scenarios: int
    job_hours: float
    steps: int
    cpu_seconds: float

    def __str__(self) -> str:
        return (
            f"{self.job_hours:,.0f} job-hours in {self.scenarios} scenarios, "
            f"{self.steps:,} steps, {self.cpu_seconds:.0f} s of CPU"
        )


def draw(first_seed: int, job_hours: float, busy_scenarios: int) -> Iterator[Scenario]:
    """Draw so many busy scenarios, then days and months until there are enough job-hours."""
    seed, hours = first_seed, 0.0
    for _ in range(busy_scenarios):
        yield Scenario.draw(seed, jobs=BUSY[0], hours=BUSY[1])
        seed += 1
    while hours < job_hours:
        jobs, length = DAY if seed % 3 == 0 else MONTH
        scenario = Scenario.draw(seed, jobs=jobs, hours=length)
        hours += scenario.job_hours
        seed += 1
        yield scenario


def judge(scenarios: Iterator[Scenario]) -> Tally:
    """Run and check them; fail at the first violation with the seed and the shortest prefix that shows it."""
    began, count, job_hours, steps = time.process_time(), 0, 0.0, 0
    for scenario in scenarios:
        history = scenario.run()
        violations = check(history, lateness=scenario.lateness)
        assert not violations, explain(history, violations)
        count += 1
        steps += len(history.steps)
        # What ended early, because nothing was left to do, counts for as long as it lasted.
        job_hours += len(scenario.jobs) * min(scenario.seconds, history.steps[-1].now.mono) / 3600.0
    return Tally(count, job_hours, steps, time.process_time() - began)


def test_thirty_thousand_job_hours_break_no_rule() -> None:
    tally = judge(draw(int(os.environ.get("TASKLOOM_SEED", FIRST_SEED)), 33_000, busy_scenarios=40))

    assert tally.job_hours >= 30_000
    assert tally.steps >= 20_000


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_million_job_hours_break_no_rule(record_property: Callable[[str, object], None]) -> None:
    seed = int(os.environ.get("TASKLOOM_SEED", random.SystemRandom().randrange(2**32)))

    tally = judge(draw(seed, 1_050_000, busy_scenarios=150))

    record_property("told", f"simulator: {tally}, seed {seed}")
    assert tally.job_hours >= 1_000_000


def test_the_events_alone_are_judged_by_the_same_rules() -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + 10):
        scenario = Scenario.draw(seed, jobs=8, hours=0.1)

        events = scenario.run().as_dicts()

        # A second for each of the quarter seconds that looking where a run stands may take, level by level.
        assert check_events(events, is_whole=True, stop_within=scenario.stop_within, slack=2.0) == [], f"seed {seed}"


def test_a_scenario_is_drawn_and_run_again_from_its_seed() -> None:
    first, second = (Scenario.draw(5, jobs=10, hours=0.5) for _ in range(2))

    assert first == second
    assert first.run().as_dicts() == second.run().as_dicts()


def test_the_drawn_scenarios_hold_every_kind_of_end_and_trouble() -> None:
    """Guards the generator: a simulator that draws no abandoned run proves nothing about them."""
    seen: set[str] = set()
    for seed in range(FIRST_SEED, FIRST_SEED + 60):
        for event in Scenario.draw(seed, jobs=BUSY[0], hours=BUSY[1]).run().as_dicts():
            seen |= {event["event"], event.get("outcome", ""), event.get("reason", {}).get("kind", "")}

    assert seen >= {
        "succeeded", "failed", "cancelled", "start_failed", "abandoned", "late_exit", "blocked", "skipped",
        "callback_failed", "stop_overdue", "ready", "user", "shutdown", "scheduler_stopped",
        "restart_scheduled", "flapping", "gave_up", "missed", "unresponsive", "responsive", "timed_out",
        "job_removed", "reloaded", "deadline", "essential", "finished", "replaced", "reload", "watchdog", "dependency",
    }  # fmt: skip
