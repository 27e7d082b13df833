"""The checker of a simulation: which violations it finds in falsified steps, and how it reports them."""

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
from taskloom.simulation.engine import Driver
from taskloom.simulation.invariant_check import InvariantChecker
from taskloom.simulation.tally import Tally
from taskloom.testing import make_job

Steps = Sequence[Action]


class FalsifiedSteps:
    """Passes the steps of a driver to a checker after `falsify` has changed them."""

    def __init__(self, checker: InvariantChecker, falsify: Callable[[int, Steps], Steps]) -> None:
        self._checker, self._falsify, self._count = checker, falsify, 0

    def take(self, now: Moment, message: Input, actions: Steps) -> bool:
        self._count += 1
        return self._checker.take(now, message, self._falsify(self._count, actions))


def simulate_falsified(falsify: Callable[[int, Steps], Steps], steps: int | None = None) -> Tally:
    jobs = [make_job("web"), make_job("tick", schedule=Schedule(every=60.0))]
    plan, tally = Plan(seconds=300.5, start=1_774_000_000.0, seed=7), Tally(jobs)
    steps_taken = FalsifiedSteps(InvariantChecker(plan.seed, plan.stop_within, steps), falsify)
    Driver(jobs, plan, hear=tally.take, before_stop=tally.look, judge=steps_taken.take).run()
    return tally


def test_a_violation_is_reported_with_the_seed_and_the_shortest_prefix() -> None:
    def drop_started(step: int, actions: Steps) -> Steps:
        return [one for one in actions if step != 4 or not isinstance(one, Event) or one.event is not EventName.STARTED]

    with pytest.raises(InternalError, match="seed 7: I4 at 4: seq 6 follows 4, and 1 more") as caught:
        simulate_falsified(drop_started)

    assert "shortest prefix: 4 steps, ending in\n" in str(caught.value)
    assert str(caught.value).splitlines()[-1].endswith("RunStarted(web#1, True) -> ready(web#1)")


def test_a_run_that_is_queued_twice_is_found_without_a_set_of_all_names() -> None:
    def always_run_1(step: int, actions: Steps) -> Steps:
        return [
            one._replace(run="tick#1") if isinstance(one, Event) and one.run == "tick#2" else one for one in actions
        ]

    with pytest.raises(InternalError, match="tick#1 was queued twice"):
        simulate_falsified(always_run_1)


def test_only_the_given_number_of_steps_is_checked() -> None:
    def drop_from_step_9(step: int, actions: Steps) -> Steps:
        return actions if step < 9 else []

    with pytest.raises(InternalError, match="seed 7: "):
        simulate_falsified(drop_from_step_9)

    assert simulate_falsified(drop_from_step_9, steps=8).jobs["tick"].runs == 5
