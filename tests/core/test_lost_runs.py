"""Lost runs of which something may be left: the outcome is known at once, and the job is blocked until nothing is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.hand_driven_core import BOOM, HandDrivenCore, event_of, running, show
from tests.support.random_jobs import in_process

from taskloom.core.events import Event, EventName
from taskloom.core.inputs import RunEnded
from taskloom.core.lost_runs import LONGEST_SECONDS
from taskloom.core.model import How, JobSpec, JobState, Outcome
from taskloom.core.policies import Condition, Dependency, Overlap, RestartLimit, RestartPolicy, RestartWhen, Schedule
from taskloom.core.report import ExitCode, StopReport, make_stop_report
from taskloom.core.stopping import KILL_SECONDS
from taskloom.errors import JobBlocked
from taskloom.testing import make_job

ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, delay=8.0, jitter=0.0)


def lost(seconds: float = 30.0, **policies: Any) -> HandDrivenCore:
    """Return a core at second 0 in which the run of job `a` was lost just now."""
    stage = running(make_job("a", **policies))
    stage.lost("a#1", seconds)
    return stage


def killable(name: str = "a", **policies: Any) -> JobSpec:
    return in_process(make_job(name, **policies))


def report_of(stage: HandDrivenCore) -> StopReport:
    return make_stop_report(stage.lifecycle, stage.clock.now())


# -- the end, and the release


def test_the_outcome_is_known_at_once_and_the_threads_that_join_the_run_are_released() -> None:
    stage = running(make_job("a"))

    found = stage.lost("a#1", 30)

    assert show(found) == ["ended a#1 lost", "ReleaseRun a#1", "blocked a#1", "WorkFinished"]
    assert event_of(found, EventName.BLOCKED).data == {"until": "1970-01-01T00:00:30.000000Z"}
    assert (stage.state("a"), list(stage.lifecycle.runs)) == (JobState.BLOCKED, [])
    assert stage.lifecycle.jobs["a"].outcomes == {Outcome.LOST: 1}


def test_the_job_is_released_when_the_time_of_the_run_is_over() -> None:
    stage = lost(30)

    assert stage.advance(29.999) == []
    released = event_of(stage.advance(0.001), EventName.RELEASED)

    assert (released.run, released.seconds, released.data) == ("a#1", 30, {"confirmed": False})
    assert stage.state("a") is JobState.FINISHED


def test_the_job_is_released_as_soon_as_the_end_is_confirmed_and_only_once() -> None:
    stage = lost(30)
    stage.advance(4)

    released = event_of(stage.released("a#1"), EventName.RELEASED)

    assert (released.seconds, released.data) == (4, {"confirmed": True})
    assert [*stage.released("a#1"), *stage.advance(60)] == []


def test_a_confirmation_that_comes_after_the_time_is_dropped() -> None:
    stage = lost(30)
    stage.advance(30)

    assert stage.released("a#1") == []
    assert stage.released("b#7") == []


@pytest.mark.parametrize("seconds", [0.0, -5.0])
def test_a_lost_run_of_which_nothing_is_left_blocks_nothing(seconds: float) -> None:
    stage = running(make_job("a"))

    assert show(stage.lost("a#1", seconds)) == ["ended a#1 lost", "ReleaseRun a#1", "WorkFinished"]


@pytest.mark.parametrize("stopped_by", [float("inf"), 1e12])
def test_a_runner_cannot_block_a_job_for_good(stopped_by: float) -> None:
    stage = running(make_job("a"))
    stage.send(RunEnded("a#1", How.LOST, BOOM, False, False, stopped_by))

    assert stage.lifecycle.next_deadline() == LONGEST_SECONDS


def test_a_time_that_is_not_a_number_blocks_nothing() -> None:
    stage = running(make_job("a"))
    stage.send(RunEnded("a#1", How.LOST, BOOM, False, False, float("nan")))

    assert stage.state("a") is JobState.FINISHED


# -- what cannot begin meanwhile


@pytest.mark.parametrize("command", [HandDrivenCore.start, HandDrivenCore.arm, HandDrivenCore.restart])
def test_a_start_is_refused_and_the_error_says_for_how_long(command: Callable[[HandDrivenCore, str], Any]) -> None:
    stage = lost(30)
    stage.advance(7)

    with pytest.raises(JobBlocked, match=r"its lost run a#1 may still be executing for 23\.0 s") as caught:
        command(stage, "a")

    assert caught.value.seconds == 23


@pytest.mark.parametrize("overlap", Overlap)
def test_firings_are_missed_until_the_release(overlap: Overlap) -> None:
    stage = lost(25, schedule=Schedule(every=10.0, overlap=overlap, immediately=True))

    blocked = stage.advance(25)
    after = show(stage.advance(5))

    missed = [each for each in blocked if isinstance(each, Event) and each.event is EventName.MISSED]
    assert [each.data["why"] for each in missed] == ["blocked"] * 2
    assert after == ["queued a#2", "StartRun a#2"]


def test_a_firing_that_was_queued_before_the_loss_begins_with_the_release() -> None:
    stage = running(make_job("a", schedule=Schedule(every=10.0, overlap=Overlap.QUEUE, immediately=True)))
    stage.advance(10)
    stage.lost("a#1", 5)

    assert show(stage.advance(5)) == ["released a#1", "queued a#2", "StartRun a#2"]


def test_a_pause_drops_the_firing_that_waits_for_the_release() -> None:
    stage = running(make_job("a", schedule=Schedule(every=10.0, overlap=Overlap.QUEUE, immediately=True)))
    stage.advance(10)
    stage.lost("a#1", 5)

    assert show(stage.pause("a")) == ["paused a", "missed a"]
    assert show(stage.advance(5)) == ["released a#1"]


# -- restarts


@pytest.mark.parametrize(("left", "due_at"), [(3.0, 8.0), (8.0, 8.0), (30.0, 30.0)])
def test_a_restart_comes_at_the_later_of_its_delay_and_the_release(left: float, due_at: float) -> None:
    stage = lost(left, restart=ON_FAILURE)

    found = stage.advance(due_at - 0.001)
    restarted = show(stage.advance(0.001))

    assert not [line for line in show(found) if line.startswith("queued")]
    assert restarted[-2:] == ["queued a#2", "StartRun a#2"]


def test_a_restart_after_an_early_confirmation_still_waits_for_its_delay() -> None:
    stage = lost(30, restart=ON_FAILURE)
    stage.advance(3)

    scheduled = event_of(stage.released("a#1"), EventName.RESTART_SCHEDULED)

    assert scheduled.seconds == 5
    assert show(stage.advance(5)) == ["queued a#2", "StartRun a#2"]


def test_a_restart_that_a_user_wants_comes_with_the_release() -> None:
    stage = running(make_job("a", restart=ON_FAILURE))
    stage.restart("a")
    stage.lost("a#1", 30)

    assert show(stage.advance(30)) == ["released a#1", "queued a#2", "StartRun a#2"]


def test_a_reset_lets_the_restart_come_with_the_release() -> None:
    stage = lost(30, restart=ON_FAILURE)
    stage.reset("a")

    assert show(stage.advance(30)) == ["released a#1", "queued a#2", "StartRun a#2"]


def test_a_stop_by_a_user_cancels_the_restart() -> None:
    stage = lost(30, restart=ON_FAILURE)

    assert show(stage.stop("a")) == ["WorkFinished"]
    assert show(stage.advance(60)) == ["released a#1"]
    assert stage.state("a") is JobState.FINISHED


def test_a_lost_run_counts_for_the_limit_of_the_restarts() -> None:
    stage = running(make_job("a", restart=replace(ON_FAILURE, limit=RestartLimit(1, 600.0))))
    stage.lost("a#1", 10)
    stage.advance(10)
    stage.started("a#2")

    assert show(stage.lost("a#2", 10))[:4] == ["ended a#2 lost", "ReleaseRun a#2", "blocked a#2", "gave_up a#2"]


# -- the end of the program


def test_a_pending_restart_keeps_the_program_alive_until_it_has_come() -> None:
    stage = lost(30, restart=ON_FAILURE)

    assert "WorkFinished" not in show(stage.advance(30))
    stage.started("a#2")
    assert "WorkFinished" in show(stage.ended("a#2"))


def test_a_lost_run_that_nothing_follows_does_not_keep_the_program_alive() -> None:
    stage = running(make_job("a"))

    assert show(stage.lost("a#1", 30))[-1] == "WorkFinished"


def test_a_shutdown_does_not_wait_for_the_time_of_a_lost_run_and_its_report_names_it() -> None:
    stage = running(make_job("a"))
    stage.placed("a#1", 7)
    stage.lost("a#1", 30)
    stage.advance(10)

    assert show(stage.shutdown())[-2:] == ["scheduler_stopped", "ShutdownFinished"]
    report = report_of(stage)
    assert [each.as_dict() for each in report.lost] == [
        {"job": "a", "run": "a#1", "host": "node1", "worker": "w1", "seconds": 20.0}
    ]
    assert "a: lost on node1, and may still be executing for 20.0 s" in str(report)
    assert (report.survivors, report.exit_code) == ((), ExitCode.FAILED)


def test_a_run_that_is_lost_during_a_shutdown_lets_the_next_level_be_stopped() -> None:
    stage = running(make_job("base"), make_job("top", after=["base"]))
    stage.shutdown()

    assert "cancel_requested base#1" in show(stage.lost("top#1", 30))
    assert "ShutdownFinished" in show(stage.ended("base#1"))


def test_a_shutdown_cancels_the_restart_of_a_lost_run() -> None:
    stage = lost(30, restart=ON_FAILURE)
    stage.shutdown()

    assert show(stage.advance(60)) == ["released a#1"]


@pytest.mark.parametrize("is_restarted", [False, True])
def test_the_loss_of_an_essential_job_stops_everything_only_if_no_restart_follows(is_restarted: bool) -> None:
    restart = ON_FAILURE if is_restarted else RestartPolicy()
    stage = running(make_job("a", essential=True, restart=restart), make_job("b"))

    found = show(stage.lost("a#1", 30))

    assert ("cancel_requested b#1" in found) is not is_restarted


# -- the stop ladder


def test_a_placed_run_that_is_lost_after_the_kill_is_lost_and_not_abandoned() -> None:
    stage = running(killable(within=4.0))
    stage.placed("a#1", 7)
    stage.stop("a")
    stage.advance(4)
    stage.stack_captured("a#1")
    stage.advance(2)

    found = show(stage.lost("a#1", 20))

    assert found == ["ended a#1 lost", "ReleaseRun a#1", "blocked a#1", "WorkFinished"]
    assert not stage.lifecycle.stopping


@pytest.mark.parametrize("is_placed", [False, True])
def test_a_killed_run_is_awaited_for_as_long_here_as_elsewhere(is_placed: bool) -> None:
    stage = running(killable(within=4.0))
    if is_placed:
        stage.placed("a#1")
    stage.stop("a")
    stage.advance(4)
    stage.stack_captured("a#1")

    before = show(stage.advance(KILL_SECONDS - 0.001))

    assert "ended a#1 abandoned" not in before
    assert "ended a#1 abandoned" in show(stage.advance(0.001))


def abandoned_and_lost(seconds: float) -> HandDrivenCore:
    stage = running(make_job("a", daemon=True, within=1.0))
    stage.stop("a")
    stage.advance(1)
    stage.stack_captured("a#1")
    assert stage.lost("a#1", seconds) == []
    return stage


def test_an_abandoned_run_that_is_lost_later_exits_late_when_its_time_is_over() -> None:
    stage = abandoned_and_lost(30)

    assert stage.advance(29.999) == []
    assert show(stage.advance(0.001)) == ["late_exit a#1", "ReleaseRun a#1"]
    assert stage.lifecycle.jobs["a"].outcomes == {Outcome.ABANDONED: 1}


def test_an_abandoned_run_that_is_lost_later_exits_late_when_its_end_is_confirmed() -> None:
    stage = abandoned_and_lost(30)

    assert show(stage.released("a#1")) == ["late_exit a#1", "ReleaseRun a#1"]
    assert stage.advance(60) == []


# -- other jobs


@pytest.mark.parametrize("condition", [Condition.STARTED, Condition.READY, Condition.SUCCEEDED])
def test_a_job_after_a_lost_one_is_skipped_at_once(condition: Condition) -> None:
    stage = lost(30)
    stage.add(make_job("b", after=[Dependency("a", condition)]))

    skipped = event_of(stage.arm("b"), EventName.SKIPPED)

    assert skipped.reason is not None
    assert skipped.reason.text == f"job 'a' ended lost, and was to be {condition.value}"


def test_a_job_after_the_end_of_a_lost_one_waits_for_the_release() -> None:
    stage = lost(30)
    stage.add(make_job("b", after=[Dependency("a", Condition.FINISHED)]))

    assert stage.arm("b") == []
    assert show(stage.advance(30)) == ["released a#1", "queued b#1", "StartRun b#1"]


def test_a_job_after_a_lost_one_that_is_restarted_waits_for_the_new_run() -> None:
    stage = lost(30, restart=ON_FAILURE)
    stage.add(make_job("b", after=["a"]))
    stage.arm("b")

    stage.advance(30)

    assert "queued b#1" in show(stage.started("a#2"))


def test_a_lost_replica_blocks_no_other() -> None:
    stage = running(*make_job("a", replicas=2).replicated())
    first, second = stage.lifecycle.jobs
    stage.lost(f"{first}#1", 30)

    assert (stage.state(first), stage.state(second)) == (JobState.BLOCKED, JobState.RUNNING)
    assert show(stage.restart(second)) == [f"cancel_requested {second}#1", f"CancelRun {second}#1"]


# -- reloads


def test_a_job_that_a_reload_removes_is_removed_with_the_release() -> None:
    stage = lost(30)

    assert show(stage.reload(make_job("b"))) == ["reloaded", "job_added b", "reload_waiting"]
    assert show(stage.advance(30)) == [
        "released a#1", "job_removed a", "ForgetJob a", "queued b#1", "StartRun b#1",
    ]  # fmt: skip


def test_a_changed_job_begins_its_new_run_with_the_release() -> None:
    stage = lost(30)

    stage.reload(replace(make_job("a"), params={"n": 1}))

    assert show(stage.advance(30)) == ["released a#1", "queued a#2", "StartRun a#2"]


def test_a_job_that_a_reload_adds_does_not_wait_for_a_lost_run_that_it_does_not_touch() -> None:
    stage = lost(30)

    assert "queued b#1" in show(stage.reload(make_job("a"), make_job("b")))


def test_a_run_that_a_reload_stops_and_that_is_lost_is_awaited_until_its_release() -> None:
    stage = running(make_job("a"))
    stage.reload(make_job("b"))

    assert "queued b#1" not in show(stage.lost("a#1", 30))
    assert "queued b#1" in show(stage.released("a#1"))
