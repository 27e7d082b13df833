"""Runs that execute elsewhere: their place, and whether they are heard of."""

from __future__ import annotations

import pytest
from tests.support.hand_driven_core import HandDrivenCore, event_of, running, show

from taskloom.core.events import EventName
from taskloom.core.model import JobState, Moment
from taskloom.core.report import make_job_report
from taskloom.core.run_reports import Whereabouts
from taskloom.testing import make_job


def status_of(stage: HandDrivenCore) -> tuple[Whereabouts | None, float | None, tuple[str, ...]]:
    report = make_job_report(stage.lifecycle, stage.lifecycle.jobs["a"], stage.clock.now())
    return report.whereabouts, report.unreachable_since, report.marks


def test_a_run_may_be_placed_before_it_starts() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a"))
    stage.start("a")

    placed = event_of(stage.placed("a#1"), EventName.PLACED)

    assert placed.data == {"host": "node1", "worker": "w1", "pid": 0}
    assert status_of(stage)[0] == ("node1", "w1", 0)


def test_there_is_one_event_for_the_place_and_one_for_the_process() -> None:
    stage = running(make_job("a"))

    found = [show(stage.placed("a#1", pid)) for pid in (0, 0, 7, 0, 8)]

    assert found == [["placed a#1"], [], ["placed a#1"], [], []]


def test_a_run_whose_process_is_known_at_once_has_one_event() -> None:
    stage = running(make_job("a"))

    assert [show(stage.placed("a#1", pid)) for pid in (7, 9)] == [["placed a#1"], []]


def test_a_run_that_is_placed_again_has_its_new_place_without_an_event() -> None:
    stage = running(make_job("a"))
    stage.placed("a#1", worker="w1")

    assert stage.placed("a#1", worker="w2", host="node2") == []
    assert status_of(stage)[0] == ("node2", "w2", 0)


def test_an_unreachable_run_is_marked_since_it_was_last_heard_of() -> None:
    stage = running(make_job("a"))
    stage.clock.advance(60)

    lost_sight = event_of(stage.unreachable("a#1", seconds=20), EventName.UNREACHABLE)

    assert lost_sight.data == {"since": "1970-01-01T00:00:40.000000Z"}
    assert status_of(stage)[1:] == (40.0, ("ready", "unreachable"))
    assert stage.state("a") is JobState.RUNNING
    assert stage.unreachable("a#1", seconds=30) == []


def test_a_reachable_run_has_no_mark_and_the_event_says_how_long_it_was_unreachable() -> None:
    stage = running(make_job("a"))
    stage.clock.advance(60)
    stage.unreachable("a#1", seconds=20)
    stage.clock.advance(5)

    assert event_of(stage.reachable("a#1"), EventName.REACHABLE).seconds == 25
    assert status_of(stage)[1:] == (None, ("ready",))
    assert stage.reachable("a#1") == []


@pytest.mark.parametrize("seconds", [0.0, 30.0], ids=["of which nothing is left", "that blocks its job"])
def test_reports_about_a_lost_run_change_nothing(seconds: float) -> None:
    stage = running(make_job("a"))
    stage.placed("a#1")
    stage.unreachable("a#1")
    stage.lost("a#1", seconds)

    assert [*stage.placed("a#1", 7), *stage.reachable("a#1"), *stage.unreachable("a#1"), *stage.ready("a#1")] == []
    assert status_of(stage)[1] is None


def test_a_run_that_is_abandoned_meanwhile_is_placed_no_more() -> None:
    stage = running(make_job("a", daemon=True, within=1.0))
    stage.stop("a")
    stage.advance(1)
    stage.stack_captured("a#1")

    assert [*stage.placed("a#1"), *stage.unreachable("a#1"), *stage.reachable("a#1")] == []


def test_a_run_that_is_abandoned_while_it_is_unreachable_is_reachable_no_more() -> None:
    stage = running(make_job("a", daemon=True, within=1.0))
    stage.unreachable("a#1")
    stage.stop("a")
    stage.advance(1)
    stage.stack_captured("a#1")

    assert stage.reachable("a#1") == []


def test_a_stop_of_an_unreachable_run_goes_on_as_usual() -> None:
    stage = running(make_job("a", within=4.0))
    stage.unreachable("a#1")

    stopping = show(stage.stop("a"))

    assert stopping == ["cancel_requested a#1", "CancelRun a#1"]
    assert "CaptureStack a#1" in show(stage.advance(4))


def test_the_mark_has_the_wall_clock_of_the_moment_even_if_that_was_set_since() -> None:
    stage = running(make_job("a"))
    stage.clock.advance(10)
    stage.unreachable("a#1", seconds=10)
    stage.clock.step_wall(3600)

    run = stage.lifecycle.runs["a#1"]

    assert run.unreachable == Moment(0.0, 0.0)
