"""Bugs of the core that real programs showed, each reproduced in as few steps as possible."""

from __future__ import annotations

import gc

from tests.support.hand_driven_core import HandDrivenCore, show

from taskloom.core.deadlines import ROOM, DeadlineKind, Deadlines
from taskloom.core.policies import Schedule
from taskloom.core.records import RunRecord
from taskloom.testing import make_job


class EachSecond:
    """A calendar of whole seconds."""

    def after(self, wall: float) -> float:
        return wall // 1 + 1

    def latest(self, wall: float) -> float:
        return wall // 1


def test_a_clock_that_is_set_back_and_corrected_leaves_no_job_on_the_wrong_time() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", schedule=Schedule(calendar=EachSecond())))
    stage.start_all()

    stage.clock.step_wall(-3600.0)
    stage.advance(2.0)
    stage.clock.step_wall(3600.0)
    found = stage.advance(20.0)

    assert "StartRun a#1" in show(found)


def test_a_clock_that_is_set_back_by_days_counts_even_if_an_instant_is_due_before_the_check() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", schedule=Schedule(calendar=EachSecond())))
    stage.start_all()

    stage.clock.step_wall(-86400.0)
    found = stage.advance(3.0)

    assert "StartRun a#1" in show(found)


def test_runs_that_ended_long_before_their_timeout_are_not_kept_in_memory() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", timeout=1e6, ready_within=1e6))
    before = count_of_runs()

    for _ in range(2 * ROOM):
        stage.ended(stage.run("a"))

    assert count_of_runs() - before <= ROOM


def count_of_runs() -> int:
    gc.collect()
    return sum(isinstance(each, RunRecord) for each in gc.get_objects())


def test_deadlines_that_count_stay_in_order_however_many_stale_ones_are_dropped() -> None:
    stale: set[float] = set()
    handled: list[float] = []
    kind = DeadlineKind(handled.append, lambda when, subject: when in stale)
    deadlines = Deadlines()
    times = [float(number * 7919 % 10007) for number in range(10007)]

    for when in times:
        deadlines.add(when, kind, when)
        if when % 3:
            stale.add(when)

    assert len(deadlines) < 10007
    deadlines.run_due(1e9)
    assert handled == sorted(when for when in times if when % 3 == 0)
