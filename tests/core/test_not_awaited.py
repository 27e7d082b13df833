"""`join: 0s`: the run is asked to stop and not awaited. Alive at the report it is abandoned, and never overdue."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore, event_of, show

from taskloom.core.events import EventName
from taskloom.core.model import How, JobState, Otherwise, Outcome, Phase
from taskloom.core.report import ExitCode, StopReport, make_stop_report
from taskloom.testing import make_job


def stage_of(*, daemon: bool = False, **policies: Any) -> HandDrivenCore:
    """Return a core with the running job `z`, which has `join: 0s`, and the running job `a`, which has 10 s."""
    stage = HandDrivenCore()
    stage.add(make_job("z", daemon=daemon, within=0.0, **policies), make_job("a"))
    stage.run("z")
    stage.run("a")
    return stage


def report_of(stage: HandDrivenCore) -> StopReport:
    return make_stop_report(stage.lifecycle, stage.clock.now())


@pytest.mark.parametrize("daemon", [False, True])
def test_a_run_that_is_alive_at_the_report_is_abandoned_without_an_error_and_without_code_3(daemon: bool) -> None:
    stage = stage_of(daemon=daemon)

    asked = stage.shutdown()
    stage.advance(3)
    last = stage.ended("a#1", How.CANCELLED)
    captured = stage.advance(0)
    over = stage.stack_captured("z#1")

    assert [line for line in show(asked) if line.startswith("CancelRun")] == ["CancelRun z#1", "CancelRun a#1"]
    assert "ShutdownFinished" not in show(last)
    assert show(captured) == ["CaptureStack z#1"]
    assert show(over)[:4] == ["ended z#1 abandoned", "blocked z#1", "scheduler_stopped", "ShutdownFinished"]
    assert event_of(over, EventName.ENDED).data == {"within": 0.0, "where": "task.py:7 in run"}
    report = report_of(stage)
    [survivor] = report.survivors
    assert (survivor.otherwise, survivor.within, survivor.where) == (Otherwise.ABANDON, 0.0, "task.py:7 in run")
    assert (report.exit_code, report.jobs[0].is_overdue) == (ExitCode.FINE, False)


def test_a_run_that_ended_before_the_report_is_cancelled() -> None:
    stage = stage_of()
    stage.shutdown()
    stage.advance(3)

    stage.ended("z#1", How.CANCELLED)
    over = stage.ended("a#1", How.CANCELLED)

    assert "ShutdownFinished" in show(over)
    assert [job.outcome for job in report_of(stage).jobs] == [Outcome.CANCELLED] * 2
    assert report_of(stage).survivors == ()


def test_a_run_that_ends_while_its_stack_is_captured_is_cancelled() -> None:
    stage = stage_of()
    stage.shutdown()
    stage.ended("a#1", How.CANCELLED)
    stage.advance(0)

    over = stage.ended("z#1", How.CANCELLED)

    assert show(over)[0] == "ended z#1 cancelled"
    assert stage.lifecycle.phase is Phase.STOPPED


def test_a_shutdown_that_awaits_no_run_still_ends() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("z", within=0.0))
    stage.run("z")

    asked = stage.shutdown()
    captured = stage.advance(0)

    assert "CancelRun z#1" in show(asked)
    assert show(captured) == ["MarkUrgent z#1", "CaptureStack z#1"]
    assert "ShutdownFinished" in show(stage.stack_captured("z#1"))


def test_a_dependency_is_stopped_at_once_after_a_dependent_that_is_not_awaited() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("db"), make_job("web", within=0.0, after=["db"]))
    stage.run("db")
    stage.run("web")

    asked = stage.shutdown()

    assert [line for line in show(asked) if line.startswith("CancelRun")] == ["CancelRun web#1", "CancelRun db#1"]


def test_a_shutdown_is_over_although_another_run_is_overdue() -> None:
    stage = stage_of()
    stage.shutdown()
    stage.advance(10)

    overdue = stage.stack_captured("a#1")
    stage.advance(0)
    over = stage.stack_captured("z#1")

    assert "stop_overdue a#1" in show(overdue)
    assert "ShutdownFinished" in show(over)
    assert report_of(stage).exit_code is ExitCode.SURVIVOR  # because of `a`


@pytest.mark.parametrize("daemon", [False, True])
def test_the_stop_of_the_single_job_abandons_its_run_without_an_error(daemon: bool) -> None:
    stage = stage_of(daemon=daemon)

    stage.stop("z")
    captured = stage.advance(0)
    abandoned = stage.stack_captured("z#1")

    assert show(captured) == ["MarkUrgent z#1", "CaptureStack z#1"]
    assert show(abandoned) == ["ended z#1 abandoned", "blocked z#1"]
    assert stage.state("z") is JobState.BLOCKED
    assert "late_exit z#1" in show(stage.ended("z#1", How.CANCELLED))
    assert stage.run("z") == "z#2"


def test_a_run_that_ended_before_the_tick_of_a_single_stop_is_cancelled() -> None:
    stage = stage_of()

    stage.stop("z")
    found = stage.ended("z#1", How.CANCELLED)

    assert show(found)[0] == "ended z#1 cancelled"
    assert stage.advance(0) == []


def test_a_single_stop_and_then_a_shutdown_abandon_the_run_once() -> None:
    stage = stage_of()
    stage.stop("z")

    stage.shutdown()
    stage.ended("a#1", How.CANCELLED)
    stage.advance(0)
    over = stage.stack_captured("z#1")

    assert "ShutdownFinished" in show(over)
    assert stage.lifecycle.jobs["z"].outcomes == {Outcome.ABANDONED: 1}


def test_a_hurried_shutdown_does_not_wait_either() -> None:
    stage = stage_of()
    stage.shutdown()

    stage.hurry(2)
    stage.ended("a#1", How.CANCELLED)
    stage.advance(0)

    assert "ShutdownFinished" in show(stage.stack_captured("z#1"))


def test_a_shutdown_without_time_leaves_the_policy_of_other_jobs_as_it_is() -> None:
    """Only the job's own `join: 0s` says that nobody waits for it."""
    stage = stage_of()

    stage.shutdown(within=0)
    stage.advance(0)
    overdue = stage.stack_captured("a#1")

    assert show(overdue)[0] == "stop_overdue a#1"


def test_a_run_is_captured_once_though_the_shutdown_is_hurried_after_its_deadline() -> None:
    """Found by the state machine."""
    stage = stage_of()
    stage.shutdown(within=0)
    stage.clock.advance(2)
    stage.ended("a#1", How.CANCELLED)
    captured = stage.advance(0)

    stage.hurry(0)
    again = stage.advance(0)

    assert "CaptureStack z#1" in show(captured)
    assert show(again) == []
