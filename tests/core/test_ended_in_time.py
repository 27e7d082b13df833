"""A run that ended in time has met its deadline, even if the report of its end is handed in late."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.every_case import every_case
from tests.support.hand_driven_core import HandDrivenCore, show

from taskloom.core import inputs
from taskloom.core.actions import Action
from taskloom.core.deadlines import POSTPONED_SECONDS
from taskloom.core.model import How, JobSpec, JobState, Outcome
from taskloom.core.report import make_stop_report
from taskloom.testing import make_job

DUE = 8.0

# The job, what happens before its deadline at second 8, and what the deadline causes if it is missed.
CASES: dict[str, tuple[JobSpec, Callable[[HandDrivenCore], object], str]] = {
    "timeout": (make_job("a", timeout=DUE), lambda stage: stage.run("a"), "CancelRun a#1"),
    "ready_within": (
        make_job("a", ready_within=DUE),
        lambda stage: stage.started(stage.start("a"), is_ready=False),
        "CancelRun a#1",
    ),
    "overdue": (
        make_job("a", within=DUE),
        lambda stage: (stage.run("a"), stage.stop("a"), stage.advance(6.5)),
        "CaptureStack a#1",
    ),
    "abandoned": (
        make_job("a", within=DUE, daemon=True),
        lambda stage: (stage.run("a"), stage.stop("a"), stage.advance(6.5)),
        "CaptureStack a#1",
    ),
    "urgent": (make_job("a", within=DUE / 0.75), lambda stage: (stage.run("a"), stage.stop("a")), "MarkUrgent a#1"),
    "the deadline of the shutdown": (
        make_job("a", within=60.0),
        lambda stage: (stage.run("a"), stage.shutdown(DUE), stage.advance(6.5)),
        "CaptureStack a#1",
    ),
    "the deadline of a hurried shutdown": (
        make_job("a", within=60.0),
        lambda stage: (stage.run("a"), stage.shutdown(60.0), stage.hurry(DUE)),
        "CaptureStack a#1",
    ),
}


def stage_of(case: str) -> HandDrivenCore:
    job, prepare, _ = CASES[case]
    stage = HandDrivenCore()
    stage.add(job)
    prepare(stage)
    return stage


def tick_at(stage: HandDrivenCore, second: float, **ended: float) -> list[Action]:
    """Advance to this second without a tick, and hand in one with these ends of run `a#1`."""
    stage.clock.advance(second - stage.clock.now().mono)
    return stage.send(inputs.Tick({f"{job}#1": when for job, when in ended.items()}))


@every_case("ended", [7.0, DUE])
@every_case("case", CASES)
def test_a_deadline_that_the_run_has_met_is_not_acted_on(case: str, ended: float) -> None:
    stage = stage_of(case)

    found = tick_at(stage, 9.0, a=ended)
    late = stage.ended("a#1")

    assert CASES[case][2] not in show(found)
    assert show(late)[0] in ("ended a#1 succeeded", "ended a#1 cancelled")
    assert stage.lifecycle.runs == {}
    assert stage.lifecycle.next_deadline() is None
    assert make_stop_report(stage.lifecycle, stage.clock.now()).survivors == ()


@pytest.mark.parametrize("case", CASES)
def test_a_deadline_that_the_run_has_missed_is_acted_on(case: str) -> None:
    assert CASES[case][2] in show(tick_at(stage_of(case), 9.0, a=8.001))


@pytest.mark.parametrize("case", CASES)
def test_the_end_of_another_run_changes_nothing(case: str) -> None:
    assert CASES[case][2] in show(tick_at(stage_of(case), 9.0, b=1.0))


@pytest.mark.parametrize("case", CASES)
def test_a_deadline_is_checked_again_later_until_the_report_comes(case: str) -> None:
    """Neither is the deadline lost with a report, nor does the timer spin."""
    stage = stage_of(case)

    for number in range(50):
        now = 9.0 + 2 * number * POSTPONED_SECONDS
        found = tick_at(stage, now, a=7.0)
        due = stage.lifecycle.next_deadline()
        assert CASES[case][2] not in show(found)
        assert due is not None
        assert due > now
    lost = tick_at(stage, 60.0)

    assert CASES[case][2] in show(lost)


def test_the_deadlines_of_other_runs_are_handled_in_the_same_tick() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", timeout=DUE), make_job("b", timeout=DUE))
    stage.run("a")
    stage.run("b")

    found = tick_at(stage, 9.0, a=7.0)

    assert [line for line in show(found) if line.startswith("CancelRun")] == ["CancelRun b#1"]
    assert stage.state("a") is JobState.RUNNING


def test_a_postponed_deadline_of_a_run_that_a_reload_gave_more_time_is_dropped() -> None:
    stage = stage_of("timeout")
    tick_at(stage, 9.0, a=7.0)

    stage.reload(make_job("a", timeout=100.0))
    found = stage.advance(5.0)

    assert "CancelRun a#1" not in show(found)
    assert stage.lifecycle.next_deadline() == 100.0


def test_a_run_with_join_0s_that_has_ended_by_the_tick_is_not_abandoned() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", within=0.0))
    stage.run("a")
    stage.shutdown()

    found = tick_at(stage, 0.5, a=0.25)
    over = stage.ended("a#1", How.CANCELLED)

    assert "CaptureStack a#1" not in show(found)
    assert "ShutdownFinished" in show(over)
    assert stage.lifecycle.jobs["a"].outcomes == {Outcome.CANCELLED: 1}
