"""Mistakes of the core that real programs showed, each as small as it gets."""

from __future__ import annotations

from taskloom.core.policies import Schedule
from taskloom.testing.stage import Stage, make_job, show


class EachSecond:
    """A calendar of whole seconds."""

    def after(self, wall: float) -> float:
        return wall // 1 + 1

    def latest(self, wall: float) -> float:
        return wall // 1


def test_a_clock_that_is_set_back_and_right_again_leaves_no_job_astray() -> None:
    stage = Stage()
    stage.add(make_job("a", schedule=Schedule(calendar=EachSecond())))
    stage.start_all()

    stage.clock.step_wall(-3600.0)
    stage.advance(2.0)
    stage.clock.step_wall(3600.0)
    found = stage.advance(20.0)

    assert "StartRun a#1" in show(found)


def test_a_clock_that_is_set_back_by_days_counts_from_there_when_an_instant_falls_due_first() -> None:
    stage = Stage()
    stage.add(make_job("a", schedule=Schedule(calendar=EachSecond())))
    stage.start_all()

    stage.clock.step_wall(-86400.0)
    found = stage.advance(3.0)

    assert "StartRun a#1" in show(found)
