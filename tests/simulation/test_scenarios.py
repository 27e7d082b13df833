"""Random scenarios in virtual time: the whole history of each must keep every invariant."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import pytest
from tests.support.random_scenario import Scenario

from taskloom.invariants.checker import check, check_events, explain
from taskloom.invariants.history import History

FIRST_SEED = 20261122

# (jobs, hours): busy quarters of an hour in which starts and stops collide, and calm weeks that fill the job-hours.
BUSY = (12, 0.25)
DAY = (40, 24.0)
MONTH = (100, 250.0)


class Summary(NamedTuple):
    """The number of scenarios, job-hours and steps that were simulated and checked."""

    scenarios: int
    job_hours: float
    steps: int
    cpu_seconds: float

    def __str__(self) -> str:
        return (
            f"{self.job_hours:,.0f} job-hours in {self.scenarios} scenarios, "
            f"{self.steps:,} steps, {self.cpu_seconds:.0f} s of CPU"
        )


RunBusy = Callable[[int], tuple[Scenario, History]]


@pytest.fixture(scope="module")
def run_busy() -> RunBusy:
    """Return a function that runs the busy scenario of a seed; the tests of this file share the results."""

    def run(seed: int) -> tuple[Scenario, History]:
        scenario = Scenario.draw(seed, jobs=BUSY[0], hours=BUSY[1])
        return scenario, scenario.run()

    return cache(run)


def run_scenarios(
    run_busy: RunBusy, first_seed: int, job_hours: float, busy_scenarios: int
) -> Iterator[tuple[Scenario, History]]:
    """Run that many busy scenarios, then days and months until there are `job_hours` in all.

    The last scenario is only as long as needed, but at least a day.
    """
    seed, missing = first_seed, job_hours + 1.0  # one more, because sums of fractions are rounded
    while seed < first_seed + busy_scenarios or missing > 0:
        if seed < first_seed + busy_scenarios:
            scenario, history = run_busy(seed)
        else:
            jobs, hours = DAY if seed % 3 == 0 else MONTH
            scenario = Scenario.draw(seed, jobs=jobs, hours=min(hours, max(24.0, missing / jobs)))
            history = scenario.run()
        missing -= job_hours_of(scenario, history)
        seed += 1
        yield scenario, history


def job_hours_of(scenario: Scenario, history: History) -> float:
    """Return the simulated job-hours: a scenario may end early because no work is left."""
    return len(scenario.jobs) * min(scenario.seconds, history.steps[-1].now.mono) / 3600.0


def check_all(results: Iterator[tuple[Scenario, History]]) -> Summary:
    """Check every history; fail at the first violation with the seed and the shortest prefix that shows it."""
    began, count, job_hours, steps = time.process_time(), 0, 0.0, 0
    for scenario, history in results:
        violations = check(history, lateness=scenario.lateness)
        assert not violations, explain(history, violations)
        count += 1
        steps += len(history.steps)
        job_hours += job_hours_of(scenario, history)
    return Summary(count, job_hours, steps, time.process_time() - began)


def test_four_thousand_job_hours_break_no_rule(run_busy: RunBusy) -> None:
    seed = int(os.environ.get("TASKLOOM_SEED", FIRST_SEED))

    summary = check_all(run_scenarios(run_busy, seed, 4_000, busy_scenarios=20))

    assert summary.job_hours >= 4_000
    assert summary.steps >= 7_000


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_million_job_hours_break_no_rule(run_busy: RunBusy, record_property: Callable[[str, object], None]) -> None:
    seed = int(os.environ.get("TASKLOOM_SEED", random.SystemRandom().randrange(2**32)))

    summary = check_all(run_scenarios(run_busy, seed, 1_000_000, busy_scenarios=150))

    record_property("told", f"simulator: {summary}, seed {seed}")
    assert summary.job_hours >= 1_000_000


def test_the_events_alone_keep_the_same_rules() -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + 10):
        scenario = Scenario.draw(seed, jobs=8, hours=0.1)

        events = scenario.run().as_dicts()

        # 2 s of slack: CaptureStack takes up to a quarter of a second for each level of jobs.
        assert check_events(events, is_whole=True, stop_within=scenario.stop_within, slack=2.0) == [], f"seed {seed}"


def test_the_same_seed_gives_the_same_scenario_and_history() -> None:
    first, second = (Scenario.draw(5, jobs=10, hours=0.5) for _ in range(2))

    assert first == second
    assert first.run().as_dicts() == second.run().as_dicts()


def test_the_random_scenarios_contain_every_kind_of_event_and_end(run_busy: RunBusy) -> None:
    """Checks the generator: scenarios without an abandoned run prove nothing about abandoned runs."""
    seen: set[str] = set()
    for seed in range(FIRST_SEED, FIRST_SEED + 60):
        _, history = run_busy(seed)
        seen.update(type(action).__name__ for step in history.steps for action in step.actions)
        for event in history.events:
            seen.add(event.event.value)
            if event.outcome is not None:
                seen.add(event.outcome.value)
            if event.reason is not None:
                seen.add(event.reason.kind.value)

    assert seen >= {
        "succeeded", "failed", "cancelled", "start_failed", "abandoned", "lost", "TerminateRun", "KillRun",
        "late_exit", "blocked", "skipped",
        "callback_failed", "stop_overdue", "ready", "user", "shutdown", "scheduler_stopped",
        "restart_scheduled", "flapping", "gave_up", "missed", "unresponsive", "responsive", "timed_out",
        "job_removed", "reloaded", "deadline", "essential", "finished", "replaced", "reload", "watchdog", "dependency",
    }  # fmt: skip
