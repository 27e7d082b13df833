"""An essential job that fails for good stops all jobs; one that may still restart does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore, event_of, show

from taskloom.core.events import EventName
from taskloom.core.model import How, JobState, Phase, Reason, ReasonKind
from taskloom.core.policies import (
    Calendar,
    Condition,
    Dependency,
    Missed,
    RestartLimit,
    RestartPolicy,
    RestartWhen,
    Schedule,
    Watchdog,
    WatchdogThen,
)
from taskloom.core.report import make_stop_report
from taskloom.testing import VirtualClock, make_job

ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0)
FAILED = Reason(ReasonKind.ESSENTIAL, "job 'a' failed for good")


def stage_of(stop_within: float = 30.0, **policies: Any) -> HandDrivenCore:
    """Return a core at second 0 with an essential job `a` and a job `other`, both running."""
    stage = HandDrivenCore(VirtualClock(0, 0), stop_within=stop_within)
    stage.add(make_job("a", essential=True, **policies), make_job("other"))
    stage.run("a")
    stage.run("other")
    return stage


def is_stopping(stage: HandDrivenCore) -> bool:
    return stage.lifecycle.phase is not Phase.OPEN and stage.lifecycle.shutdown.reason == FAILED


def test_its_failure_for_good_stops_everything_with_a_reason() -> None:
    stage = stage_of()

    found = stage.ended("a#1", How.RAISED)

    assert show(found) == [
        "ended a#1 failed", "ReleaseRun a#1", "scheduler_stopping", "cancel_requested other#1", "CancelRun other#1",
        "WorkFinished",
    ]  # fmt: skip
    assert event_of(found, EventName.SCHEDULER_STOPPING).reason == FAILED
    assert event_of(found, EventName.CANCEL_REQUESTED).reason == FAILED


def test_the_exit_code_is_1() -> None:
    stage = stage_of()
    stage.ended("a#1", How.RAISED)
    stage.ended("other#1")

    assert make_stop_report(stage.lifecycle, stage.clock.now()).exit_code == 1


def test_the_stop_gets_the_stop_within_of_the_lifecycle() -> None:
    stage = stage_of(stop_within=7.0)

    stage.ended("a#1", How.RAISED)

    assert stage.lifecycle.stops.latest == 7.0


def test_a_failed_start_is_a_failure_too() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", essential=True))
    stage.start("a")

    stage.start_failed("a#1")

    assert is_stopping(stage)


@pytest.mark.parametrize("how", [How.RETURNED, How.CANCELLED])
def test_a_job_that_succeeded_or_was_stopped_stops_nothing(how: How) -> None:
    stage = stage_of()
    if how is How.CANCELLED:
        stage.stop("a")

    stage.ended("a#1", how)

    assert not is_stopping(stage)


def test_nothing_stops_while_a_restart_is_pending_until_the_job_gives_up() -> None:
    stage = stage_of(restart=RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0, limit=RestartLimit(2, 60.0)))
    stages = []

    for run in ("a#1", "a#2", "a#3"):
        if run != "a#1":
            stage.advance(5)
            stage.started(run)
        stage.ended(run, How.RAISED)
        stages.append(is_stopping(stage))

    assert stages == [False, False, True]


def test_a_permanent_failure_is_for_good_whatever_the_policy() -> None:
    for policy in (ON_FAILURE, RestartPolicy(), RestartPolicy(RestartWhen.ALWAYS)):
        stage = stage_of(restart=policy)

        stage.ended("a#1", How.PERMANENT)

        assert is_stopping(stage)


@pytest.mark.parametrize(("then", "stops"), [(WatchdogThen.STOP, True), (WatchdogThen.RESTART, False)])
def test_a_job_stopped_by_the_watchdog_has_failed_for_good_unless_it_restarts(then: WatchdogThen, stops: bool) -> None:
    stage = stage_of(watchdog=Watchdog(3.0, then))
    stage.unresponsive("a#1")

    stage.ended("a#1")

    assert is_stopping(stage) == stops


# -- scheduled


def test_a_scheduled_job_that_fails_runs_again_at_its_next_firing() -> None:
    stage = stage_of(schedule=Schedule(every=10.0))

    stage.ended("a#1", How.RAISED)
    fired = stage.advance(10)

    assert not is_stopping(stage)
    assert "queued a#2" in show(fired)


def test_a_scheduled_job_that_gives_up_has_failed_for_good() -> None:
    stage = stage_of(schedule=Schedule(every=10.0), restart=ON_FAILURE)

    stage.ended("a#1", How.PERMANENT)

    assert is_stopping(stage)


def test_a_scheduled_job_that_fails_at_its_last_instant_has_failed_for_good(
    instants: Callable[..., Calendar],
) -> None:
    stage = stage_of(schedule=Schedule(calendar=instants(10.0)))
    stage.ended("a#1", How.RAISED)
    before = is_stopping(stage)
    stage.advance(10)
    stage.started("a#2")

    stage.ended("a#2", How.RAISED)

    assert (before, is_stopping(stage)) == (False, True)


def test_a_scheduled_job_that_failed_and_then_missed_its_last_instant_has_failed_for_good(
    instants: Callable[..., Calendar],
) -> None:
    stage = stage_of(schedule=Schedule(calendar=instants(10.0), missed=Missed.SKIP))
    stage.ended("a#1", How.RAISED)
    before = is_stopping(stage)

    stage.clock.advance(60)
    stage.advance(0)

    assert (before, is_stopping(stage)) == (False, True)


@pytest.mark.parametrize("is_taken_away", [True, False])
def test_a_reload_that_leaves_a_failed_job_without_firings_stops_everything(
    instants: Callable[..., Calendar], is_taken_away: bool
) -> None:
    stage = stage_of(schedule=Schedule(every=10.0))
    stage.start_all()
    stage.ended("a#1", How.RAISED)
    dry = None if is_taken_away else Schedule(calendar=instants())
    new, watch = make_job("new"), make_job("watch", after=[Dependency("a", Condition.FINISHED)])

    found = show(stage.reload(make_job("a", essential=True, schedule=dry), make_job("other"), new, watch))

    assert is_stopping(stage)
    begun = [line for line in found if line.startswith("StartRun")]
    assert all(found.index(line) < found.index("scheduler_stopping") for line in begun)
    assert stage.lifecycle.jobs["new"].state is not JobState.RUNNING


# -- abandoned


def test_an_essential_job_that_is_abandoned_after_its_timeout_stops_everything_at_once() -> None:
    """Its thread may never exit, so the shutdown does not wait for that."""
    stage = stage_of(daemon=True, within=1.0, timeout=5.0)
    stage.advance(6)

    found = stage.stack_captured("a#1")

    assert is_stopping(stage)
    assert "cancel_requested other#1" in show(found)
    assert show(stage.ended("other#1"))[-2:] == ["scheduler_stopped", "ShutdownFinished"]


def test_an_essential_job_with_a_restart_after_its_abandoned_run_stops_nothing() -> None:
    stage = stage_of(daemon=True, within=1.0, timeout=5.0, restart=ON_FAILURE)
    stage.advance(6)
    stage.stack_captured("a#1")
    before = is_stopping(stage)

    stage.ended("a#1")

    assert (before, is_stopping(stage)) == (False, False)
    assert stage.state("a") is JobState.WAITING


def test_an_essential_job_that_is_abandoned_after_a_stop_by_a_user_stops_nothing() -> None:
    stage = stage_of(daemon=True, within=1.0)
    stage.stop("a")
    stage.advance(1)
    stage.stack_captured("a#1")

    stage.ended("a#1", How.RAISED)

    assert not is_stopping(stage)


# -- others


def test_the_failure_that_stops_everything_starts_no_dependent() -> None:
    stage = stage_of()
    stage.add(make_job("cleaner", after=[Dependency("a", Condition.FINISHED)]))
    stage.arm("cleaner")

    found = stage.ended("a#1", How.RAISED)

    assert "skipped cleaner" in show(found)
    assert stage.lifecycle.jobs["cleaner"].runs == 0


def test_a_second_essential_job_that_fails_does_not_change_the_reason() -> None:
    stage = stage_of()
    stage.add(make_job("b", essential=True))
    stage.run("b")
    stage.ended("a#1", How.RAISED)

    stage.ended("b#1", How.RAISED)

    assert is_stopping(stage)


def test_the_work_is_over_as_soon_as_it_has_failed_although_daemons_run() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", essential=True), make_job("d", daemon=True))
    stage.run("a")
    stage.run("d")

    found = stage.ended("a#1", How.RAISED)

    assert "WorkFinished" in show(found)
    assert stage.lifecycle.is_work_over
