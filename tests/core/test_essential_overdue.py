"""An essential job whose run outlives its timeout and its join has failed for good: everything stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.hand_driven_core import HandDrivenCore, event_of, show

from taskloom.core.events import EventName
from taskloom.core.model import WAIT_FOR_EVER, How, JobSpec, JobState, Otherwise, Phase, Reason, ReasonKind
from taskloom.core.policies import Overlap, RestartLimit, RestartPolicy, RestartWhen, Schedule, Watchdog, WatchdogThen
from taskloom.core.report import make_stop_report
from taskloom.testing import VirtualClock, make_job

FAILED = Reason(ReasonKind.ESSENTIAL, "job 'a' failed for good")
POLICIES = {
    "never": RestartPolicy(),
    "on-failure": RestartPolicy(RestartWhen.ON_FAILURE),
    "always": RestartPolicy(RestartWhen.ALWAYS),
    "limited": RestartPolicy(RestartWhen.ON_FAILURE, limit=RestartLimit(1, 60.0)),
}
Cause = Callable[[HandDrivenCore], object]


def essential(name: str = "a", **policies: Any) -> JobSpec:
    usual: dict[str, Any] = {"within": 1.0, "timeout": 5.0, "essential": True}
    return make_job(name, **usual | policies)


def stage_of(**policies: Any) -> HandDrivenCore:
    """Return a core at second 0 with an essential job `a` and a job `other`, both running."""
    stage = HandDrivenCore(VirtualClock(0, 0), stop_within=7.0)
    stage.add(essential(**policies), make_job("other"))
    stage.start("a")
    stage.started("a#1", is_ready=policies.get("ready_within") is None)
    stage.run("other")
    return stage


def time_out(stage: HandDrivenCore) -> None:
    stage.advance(5)


def miss_polls(stage: HandDrivenCore) -> None:
    stage.unresponsive("a#1")


def outlive(stage: HandDrivenCore) -> list[str]:
    """Let `within` pass after the request to stop, and report where the run is."""
    stage.advance(1)
    return show(stage.stack_captured("a#1"))


def is_stopping(stage: HandDrivenCore) -> bool:
    return stage.lifecycle.phase is not Phase.OPEN and stage.lifecycle.shutdown.reason == FAILED


CAUSES: dict[str, tuple[dict[str, Any], Cause]] = {
    "timeout": ({}, time_out),
    "ready_within": ({"timeout": None, "ready_within": 5.0}, time_out),
    "watchdog, stop": ({"timeout": None, "watchdog": Watchdog(3.0, WatchdogThen.STOP)}, miss_polls),
    "watchdog, restart": ({"timeout": None, "watchdog": Watchdog(3.0, WatchdogThen.RESTART)}, miss_polls),
}


@every_case("policy", POLICIES)
@every_case("cause", CAUSES)
def test_everything_stops_whatever_the_restart_policy(cause: str, policy: str) -> None:
    """A restart could only follow when the thread ends, which may be never."""
    policies, happen = CAUSES[cause]
    stage = stage_of(restart=POLICIES[policy], **policies)
    happen(stage)
    before = is_stopping(stage)

    found = outlive(stage)

    assert (before, is_stopping(stage)) == (False, True)
    assert found == [
        "stop_overdue a#1", "scheduler_stopping", "cancel_requested other#1", "CancelRun other#1", "WorkFinished",
    ]  # fmt: skip
    assert stage.lifecycle.jobs["a"].has_failed
    assert show(stage.ended("other#1"))[-2:] == ["scheduler_stopped", "ShutdownFinished"]


def test_the_stop_names_the_job_and_has_the_stop_within_of_the_lifecycle() -> None:
    stage = stage_of()
    time_out(stage)
    stage.advance(1)

    found = stage.stack_captured("a#1")

    assert event_of(found, EventName.SCHEDULER_STOPPING).reason == FAILED
    assert event_of(found, EventName.CANCEL_REQUESTED).reason == FAILED
    assert stage.lifecycle.stops.latest == 6.0 + 7.0


@pytest.mark.parametrize("is_alive", [True, False])
def test_the_exit_code_is_3_while_the_run_lives_and_1_once_it_has_ended(is_alive: bool) -> None:
    stage = stage_of(restart=POLICIES["on-failure"])
    time_out(stage)
    outlive(stage)
    if not is_alive:
        late = show(stage.ended("a#1"))
        assert late == ["ended a#1 timed_out", "ReleaseRun a#1"]
    stage.ended("other#1")

    report = make_stop_report(stage.lifecycle, stage.clock.now())

    assert report.exit_code == (3 if is_alive else 1)
    assert [survivor.job for survivor in report.survivors] == ["a"] * is_alive
    assert [job.has_failed for job in report.jobs] == [True, False]


@pytest.mark.parametrize("overlap", Overlap)
def test_a_firing_does_not_prevent_the_stop_because_it_cannot_start_a_run(overlap: Overlap) -> None:
    stage = stage_of(schedule=Schedule(every=2.0, overlap=overlap), watchdog=Watchdog(3.0, WatchdogThen.STOP))
    miss_polls(stage)
    stage.start_all()

    outlive(stage)

    assert is_stopping(stage)


def test_a_replica_that_is_overdue_stops_everything() -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(*essential(replicas=2).replicated())
    stage.run("a.1")
    stage.run("a.2")
    stage.ended("a.1#1")
    stage.advance(6)

    stage.stack_captured("a.2#1")

    assert str(stage.lifecycle.shutdown.reason) == "essential: job 'a.2' failed for good"


def test_two_that_are_overdue_at_once_begin_one_stop() -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(essential("a"), essential("b"))
    stage.run("a")
    stage.run("b")
    stage.advance(6)
    stage.stack_captured("a#1")

    found = show(stage.stack_captured("b#1"))

    assert found == ["stop_overdue b#1", "scheduler_stopped", "ShutdownFinished"]
    assert is_stopping(stage)


# -- what does not count


def test_nothing_stops_if_the_run_ends_within_its_join() -> None:
    stage = stage_of(restart=POLICIES["on-failure"])
    time_out(stage)
    stage.advance(0.5)

    stage.ended("a#1")

    assert not is_stopping(stage)
    assert stage.state("a") is JobState.WAITING


def test_a_stack_that_comes_after_the_end_of_the_run_stops_nothing() -> None:
    stage = stage_of(restart=POLICIES["on-failure"])
    time_out(stage)
    stage.advance(1)
    stage.ended("a#1")

    assert stage.stack_captured("a#1") == []
    assert not is_stopping(stage)


def test_a_job_that_is_not_essential_is_only_overdue() -> None:
    stage = stage_of(essential=False)
    time_out(stage)

    assert outlive(stage) == ["stop_overdue a#1"]
    assert stage.state("a") is JobState.STOPPING


def test_a_watchdog_that_only_warns_never_counts() -> None:
    stage = stage_of(timeout=None, watchdog=Watchdog(3.0, WatchdogThen.WARN))

    miss_polls(stage)
    stage.advance(3600)

    assert not is_stopping(stage)


def test_a_run_that_is_awaited_for_ever_is_never_overdue() -> None:
    stage = stage_of(within=WAIT_FOR_EVER)

    found = stage.advance(86_400)

    assert show(found)[:2] == ["cancel_requested a#1", "CancelRun a#1"]
    assert not is_stopping(stage)


COMMANDS: dict[str, Cause] = {
    "stop": lambda stage: stage.stop("a"),
    "cancel": lambda stage: stage.stop("a", run="a#1"),
    "restart": lambda stage: stage.restart("a"),
    "new params": lambda stage: stage.reload(essential(params={"n": 2}), make_job("other")),
    "removal": lambda stage: stage.reload(make_job("other")),
    "disabled": lambda stage: stage.reload(essential(enabled=False), make_job("other")),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_that_outlives_a_command_stops_nothing(command: str) -> None:
    stage = stage_of()
    stage.advance(1)
    COMMANDS[command](stage)
    stage.advance(4)  # its timeout passes while it stops

    stage.stack_captured("a#1")

    assert not is_stopping(stage)
    assert stage.state("a") is JobState.STOPPING


@pytest.mark.parametrize("command", ["restart", "new params", "removal"])
def test_a_command_that_decides_what_follows_after_the_timeout_has_priority(command: str) -> None:
    stage = stage_of()
    time_out(stage)
    COMMANDS[command](stage)

    outlive(stage)

    assert not is_stopping(stage)


def test_a_stop_by_a_user_after_the_timeout_changes_nothing_about_the_failure() -> None:
    """The first cause counts, as for a run that ends within its join."""
    stage = stage_of()
    time_out(stage)
    stage.stop("a")

    outlive(stage)

    assert is_stopping(stage)


def test_a_run_that_its_next_firing_replaced_stops_nothing() -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(essential(timeout=None, schedule=Schedule(every=5.0, overlap=Overlap.REPLACE)))
    stage.run("a")
    replaced = event_of(stage.advance(5), EventName.CANCEL_REQUESTED)

    outlive(stage)

    assert replaced.reason is not None
    assert replaced.reason.kind is ReasonKind.REPLACED
    assert not is_stopping(stage)


def test_a_reload_that_makes_an_overdue_job_essential_stops_nothing() -> None:
    stage = stage_of(essential=False)
    time_out(stage)
    outlive(stage)

    stage.reload(essential(), make_job("other"))

    assert not is_stopping(stage)


def test_a_reload_that_makes_it_not_essential_in_time_prevents_the_stop() -> None:
    stage = stage_of()
    time_out(stage)
    stage.reload(replace(essential(), essential=False), make_job("other"))

    outlive(stage)

    assert not is_stopping(stage)


# -- abandoned instead


@pytest.mark.parametrize(("policy", "stops"), [("never", True), ("on-failure", False), ("always", False)])
def test_an_abandoned_run_is_a_failure_for_good_unless_its_late_exit_releases_a_restart(
    policy: str, stops: bool
) -> None:
    stage = stage_of(daemon=True, restart=POLICIES[policy])
    time_out(stage)

    found = outlive(stage)

    assert found[:3] == ["stop_overdue a#1", "ended a#1 abandoned", "blocked a#1"]
    assert is_stopping(stage) == stops


def test_a_daemon_whose_join_says_exit_is_overdue_like_any_other_job() -> None:
    stage = stage_of(daemon=True, otherwise=Otherwise.EXIT, restart=POLICIES["on-failure"])
    time_out(stage)

    assert "scheduler_stopping" in outlive(stage)


def test_the_late_end_after_the_stop_was_over_is_recorded() -> None:
    stage = stage_of()
    time_out(stage)
    outlive(stage)
    stage.ended("other#1")

    late = stage.ended("a#1", How.RAISED)

    assert show(late) == ["ended a#1 timed_out", "ReleaseRun a#1"]
