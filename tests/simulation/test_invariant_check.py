"""InvariantChecker: what it finds in falsified steps, and its error messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from taskloom.core.actions import Action
from taskloom.core.events import Event, EventName
from taskloom.core.inputs import Input
from taskloom.core.model import Moment
from taskloom.core.policies import Schedule
from taskloom.errors import InternalError
from taskloom.simulation import Plan
from taskloom.simulation.invariant_check import InvariantChecker
from taskloom.simulation.simulator import Simulator
from taskloom.simulation.tally import StatsCollector
from taskloom.testing import make_job

Steps = Sequence[Action]


class FalsifyingChecker:
    """Passes the steps of a simulation to a checker, after `falsify` has changed their actions."""

    def __init__(self, checker: InvariantChecker, falsify: Callable[[int, Steps], Steps]) -> None:
        self._checker, self._falsify, self._count = checker, falsify, 0

    def check_step(self, now: Moment, message: Input, answer: Steps) -> bool:
        self._count += 1
        return self._checker.check_step(now, message, self._falsify(self._count, answer))


def simulate_falsified(falsify: Callable[[int, Steps], Steps], steps: int | None = None) -> StatsCollector:
    jobs = [make_job("web"), make_job("tick", schedule=Schedule(every=60.0))]
    plan, stats = Plan(seconds=300.5, start=1_774_000_000.0, seed=7), StatsCollector(jobs)
    checker = FalsifyingChecker(InvariantChecker(plan.seed, plan.stop_within, steps), falsify)
    Simulator(jobs, plan, on_event=stats.count, before_stop=stats.record_states, check_step=checker.check_step).run()
    return stats


def test_a_broken_invariant_names_the_seed_and_the_shortest_prefix() -> None:
    def without_a_start(step: int, answer: Steps) -> Steps:
        return [one for one in answer if step != 4 or not isinstance(one, Event) or one.event is not EventName.STARTED]

    with pytest.raises(InternalError, match="seed 7: I4 at 4: seq 6 follows 4, and 1 more") as caught:
        simulate_falsified(without_a_start)

    assert "shortest prefix: 4 steps, ending in\n" in str(caught.value)
    assert str(caught.value).splitlines()[-1].endswith("RunStarted(web#1, True) -> ready(web#1)")


def test_a_run_that_is_queued_twice_is_found_without_keeping_all_names() -> None:
    def always_the_first(step: int, answer: Steps) -> Steps:
        return [one._replace(run="tick#1") if isinstance(one, Event) and one.run == "tick#2" else one for one in answer]

    with pytest.raises(InternalError, match="tick#1 was queued twice"):
        simulate_falsified(always_the_first)


def test_a_checker_checks_only_the_given_number_of_steps() -> None:
    def nothing_from_step_9(step: int, answer: Steps) -> Steps:
        return answer if step < 9 else []

    with pytest.raises(InternalError, match="seed 7: "):
        simulate_falsified(nothing_from_step_9)

    assert simulate_falsified(nothing_from_step_9, steps=8).jobs["tick"].runs == 5
