from __future__ import annotations

import pytest
from tests.support.hand_driven_core import HandDrivenCore, event_of, show

from taskloom.core.actions import CaptureStack, MarkUrgent, ReportStopProgress
from taskloom.core.events import EventName
from taskloom.core.model import WAIT_FOR_EVER, JobState, Otherwise, Outcome, Phase, Reason, ReasonKind
from taskloom.errors import SchedulerStopped
from taskloom.testing import make_job


def stage_of(*names: str, within: float = 10.0) -> HandDrivenCore:
    """Return a core in which these jobs are running."""
    stage = HandDrivenCore()
    stage.add(*(make_job(name, within=within) for name in names))
    for name in names:
        stage.run(name)
    return stage


def test_all_jobs_of_a_level_are_stopped_at_once_and_the_shutdown_ends_with_the_last() -> None:
    stage = stage_of("a", "b")

    asked = stage.shutdown()
    stage.advance(1)
    first = stage.ended("b#1")
    second = stage.ended("a#1")

    assert show(asked) == [
        "scheduler_stopping", "cancel_requested a#1", "CancelRun a#1", "cancel_requested b#1", "CancelRun b#1",
    ]  # fmt: skip
    assert show(first) == ["ended b#1 cancelled", "ReleaseRun b#1"]
    assert show(second) == [
        "ended a#1 cancelled",
        "ReleaseRun a#1",
        "scheduler_stopped",
        "ShutdownFinished",
        "WorkFinished",
    ]
    assert stage.lifecycle.phase is Phase.STOPPED


def test_dependents_are_stopped_before_what_they_depend_on() -> None:
    stage = HandDrivenCore()
    stage.add(
        make_job("base"),
        make_job("middle", after=["base"]),
        make_job("left", after=["middle"]),
        make_job("right", after=["base", "middle"]),
    )
    for name in ("base", "middle", "left", "right"):
        stage.run(name)

    levels = [stage.shutdown(), stage.ended("left#1"), stage.ended("right#1"), stage.ended("middle#1")]

    asked = [[line.split()[1] for line in show(level) if line.startswith("CancelRun")] for level in levels]
    assert asked == [["left#1", "right#1"], [], ["middle#1"], ["base#1"]]
    assert stage.lifecycle.phase is Phase.STOPPING
    assert show(stage.ended("base#1"))[-3:] == ["scheduler_stopped", "ShutdownFinished", "WorkFinished"]


def test_a_level_is_over_when_its_runs_are_abandoned_or_overdue() -> None:
    stage = HandDrivenCore()
    stage.add(
        make_job("base"),
        make_job("left", after=["base"], daemon=True, within=1),
        make_job("right", after=["base"], within=2),
    )
    for name in ("base", "left", "right"):
        stage.run(name)
    stage.shutdown()

    stage.advance(1)
    abandoned = stage.stack_captured("left#1")
    stage.advance(1)
    overdue = stage.stack_captured("right#1")

    assert show(abandoned) == ["stop_overdue left#1", "ended left#1 abandoned", "blocked left#1"]
    assert show(overdue) == ["stop_overdue right#1", "cancel_requested base#1", "CancelRun base#1"]


def test_a_job_that_was_already_stopping_does_not_delay_the_others() -> None:
    """The first job's `within` may be as long as the whole shutdown: waiting for it would leave the others nothing."""
    stage = stage_of("slow", "other", within=30)
    stage.stop("slow")

    asked = stage.shutdown(within=30)

    assert show(asked) == ["scheduler_stopping", "cancel_requested other#1", "CancelRun other#1"]
    assert show(stage.ended("other#1")) == ["ended other#1 cancelled", "ReleaseRun other#1"]
    assert show(stage.ended("slow#1"))[-3:] == ["scheduler_stopped", "ShutdownFinished", "WorkFinished"]


def test_a_dependency_that_was_already_stopping_delays_its_own_level() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("base"), make_job("top", after=["base"]))
    stage.run("base")
    stage.run("top")
    stage.stop("base")

    asked = stage.shutdown()
    after_top = stage.ended("top#1")

    assert "CancelRun top#1" in show(asked)
    assert show(after_top) == ["ended top#1 cancelled", "ReleaseRun top#1"]
    assert "ShutdownFinished" in show(stage.ended("base#1"))


def test_a_level_that_is_stopped_after_the_deadline_gets_no_time_but_never_negative_time() -> None:
    """Capturing the stacks of the first level takes time, and ends after the deadline of the shutdown."""
    stage = HandDrivenCore()
    stage.add(make_job("base"), make_job("top", after=["base"]))
    stage.run("base")
    stage.run("top")
    stage.shutdown(within=1)
    stage.advance(1)
    stage.clock.advance(0.25)

    asked = stage.stack_captured("top#1")
    due = stage.advance(0)
    overdue = event_of(stage.stack_captured("base#1"), EventName.STOP_OVERDUE)

    assert "CancelRun base#1" in show(asked)
    assert CaptureStack("base#1") in due
    assert overdue.data["within"] == 0


def test_within_zero_stops_every_run_and_is_over_once_their_stacks_are_captured() -> None:
    stage = stage_of("a")

    asked = stage.shutdown(within=0)
    due = stage.advance(0)
    over = stage.stack_captured("a#1")

    assert "CancelRun a#1" in show(asked)
    assert show(due) == ["MarkUrgent a#1", "CaptureStack a#1"]
    assert show(over) == ["stop_overdue a#1", "scheduler_stopped", "ShutdownFinished"]


def test_the_deadline_of_the_shutdown_limits_every_within_including_for_ever() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", within=60), make_job("b", within=WAIT_FOR_EVER), make_job("c", within=3))
    for name in "abc":
        stage.run(name)
    stage.stop("b")

    stage.shutdown(within=8)

    assert [stage.lifecycle.jobs[name].run.overdue_at for name in "abc"] == [8, 8, 3]  # type: ignore[union-attr]


def test_a_shutdown_without_a_deadline_waits_for_ever_for_jobs_that_may() -> None:
    stage = stage_of("a", within=WAIT_FOR_EVER)
    stage.shutdown(within=WAIT_FOR_EVER)

    found = stage.advance(3600)

    assert {type(action) for action in found} == {ReportStopProgress}
    assert stage.lifecycle.phase is Phase.STOPPING


def test_all_waiting_jobs_are_skipped_at_once() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("late", delay=5), make_job("never", manual=True), make_job("off", enabled=False))
    stage.start_all()

    found = stage.shutdown()

    assert show(found) == [
        "scheduler_stopping",
        "skipped late",
        "scheduler_stopped",
        "ShutdownFinished",
        "WorkFinished",
    ]
    assert [stage.state(name) for name in ("late", "never", "off")] == [
        JobState.SKIPPED, JobState.WAITING, JobState.DISABLED,
    ]  # fmt: skip
    assert stage.advance(60) == []


def test_a_waiting_job_with_a_running_dependent_is_skipped_at_once_too() -> None:
    """Otherwise its delay could end before its level is stopped, and it would start during the shutdown."""
    stage = HandDrivenCore()
    stage.add(make_job("base", delay=5), make_job("top", after=["base"], manual=True))
    stage.start_all()
    stage.run("top")

    found = stage.shutdown()

    assert show(found) == ["scheduler_stopping", "skipped base", "cancel_requested top#1", "CancelRun top#1"]
    assert "StartRun base#1" not in show(stage.advance(20))


def test_after_a_shutdown_has_begun_nothing_is_started_or_added() -> None:
    stage = stage_of("a")
    stage.add(make_job("b"))
    stage.shutdown()

    with pytest.raises(SchedulerStopped, match="cannot start job 'b': the scheduler was stopped"):
        stage.start("b")
    with pytest.raises(SchedulerStopped, match="cannot start: the scheduler was stopped"):
        stage.start_all()
    with pytest.raises(SchedulerStopped, match="cannot add job 'c': the scheduler was stopped"):
        stage.add(make_job("c"))

    assert show(stage.ended("a#1"))[-2:] == ["ShutdownFinished", "WorkFinished"]
    with pytest.raises(SchedulerStopped):
        stage.start("b")


def test_a_second_shutdown_changes_nothing() -> None:
    stage = stage_of("a")
    stage.shutdown(within=5)

    again = stage.shutdown(within=1)

    assert again == []
    assert stage.lifecycle.stops.latest == 5
    stage.ended("a#1")
    assert stage.shutdown() == []


def test_an_empty_scheduler_stops_at_once() -> None:
    assert show(HandDrivenCore().shutdown()) == ["scheduler_stopping", "scheduler_stopped", "ShutdownFinished"]


def test_survivors_are_counted_abandoned_and_overdue_alike() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("daemon", daemon=True, within=1), make_job("stuck", within=1), make_job("good"))
    for name in ("daemon", "stuck", "good"):
        stage.run(name)
    stage.shutdown()
    stage.ended("good#1")
    stage.advance(1)

    stage.stack_captured("daemon#1")
    found = stage.stack_captured("stuck#1")

    assert event_of(found, EventName.SCHEDULER_STOPPED).data == {"survivors": 2}


def test_an_overdue_run_may_still_end_after_the_stop() -> None:
    stage = stage_of("a", within=1)
    stage.shutdown()
    stage.advance(1)
    stage.stack_captured("a#1")

    late = stage.ended("a#1")

    assert show(late) == ["ended a#1 cancelled", "ReleaseRun a#1", "WorkFinished"]


def test_the_shutdown_does_not_wait_for_a_job_that_was_already_overdue() -> None:
    stage = stage_of("a", within=1)
    stage.stop("a")
    stage.advance(1)
    stage.stack_captured("a#1")

    assert show(stage.shutdown()) == ["scheduler_stopping", "scheduler_stopped", "ShutdownFinished"]


def test_the_shutdown_does_not_wait_for_a_blocked_job_but_records_its_late_exit() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", otherwise=Otherwise.ABANDON, within=1))
    stage.run("a")
    stage.stop("a")
    stage.advance(1)
    stage.stack_captured("a#1")

    stopped = stage.shutdown()
    late = stage.ended("a#1")

    assert show(stopped)[:3] == ["scheduler_stopping", "scheduler_stopped", "ShutdownFinished"]
    assert show(late) == ["late_exit a#1", "ReleaseRun a#1"]


# -- the second signal


def test_hurrying_stops_all_levels_at_once_and_limits_their_time() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("base"), make_job("top", after=["base"]))
    stage.run("base")
    stage.run("top")
    stage.shutdown()

    found = stage.hurry(within=2)
    due = stage.advance(2)

    assert show(found) == ["cancel_requested base#1", "CancelRun base#1", "MarkUrgent top#1", "MarkUrgent base#1"]
    assert {action for action in due if isinstance(action, CaptureStack)} == {
        CaptureStack("top#1"),
        CaptureStack("base#1"),
    }
    assert not [action for action in due if isinstance(action, MarkUrgent)]


def test_hurrying_never_gives_more_time() -> None:
    stage = stage_of("a", within=1)
    stage.shutdown(within=5)

    stage.hurry(within=20)

    assert stage.lifecycle.stops.latest == 5
    assert CaptureStack("a#1") in stage.advance(1)


def test_hurrying_after_the_deadline_gives_no_negative_time_and_captures_no_stack_twice() -> None:
    """1. the deadline passes while `top` is captured  2. `base` is stopped and captured  3. a second signal"""
    stage = HandDrivenCore()
    stage.add(make_job("base"), make_job("middle", after=["base"]), make_job("top", after=["middle"]))
    for name in ("base", "middle", "top"):
        stage.run(name)
    stage.shutdown(within=1)
    stage.advance(1)
    stage.clock.advance(0.25)
    stage.stack_captured("top#1")
    named = stage.advance(0)

    hurried = stage.hurry()
    due = stage.advance(0)

    assert show(named) == ["MarkUrgent middle#1", "CaptureStack middle#1"]
    assert show(hurried) == ["cancel_requested base#1", "CancelRun base#1", "MarkUrgent base#1"]
    assert show(due) == ["CaptureStack base#1"]
    assert event_of(stage.stack_captured("middle#1"), EventName.STOP_OVERDUE).data["within"] == 0
    assert event_of(stage.stack_captured("base#1"), EventName.STOP_OVERDUE).data["within"] == 0


def test_a_hurried_shutdown_waits_for_every_level() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("base"), make_job("top", after=["base"]))
    stage.run("base")
    stage.run("top")
    stage.shutdown()
    stage.hurry()

    first = stage.ended("top#1")

    assert show(first) == ["ended top#1 cancelled", "ReleaseRun top#1"]
    assert "ShutdownFinished" in show(stage.ended("base#1"))


def test_hurrying_without_a_shutdown_or_after_it_changes_nothing() -> None:
    stage = stage_of("a")

    before = stage.hurry()
    stage.shutdown()
    stage.ended("a#1")

    assert before == stage.hurry() == []
    assert stage.lifecycle.jobs["a"].outcomes == {Outcome.CANCELLED: 1}


def test_the_reason_of_a_shutdown_reaches_every_run_and_a_reason_before_it_is_kept() -> None:
    stage = stage_of("a", "b")
    stage.stop("a", "by hand")

    stage.shutdown()

    reasons = [stage.lifecycle.runs[run].reason for run in ("a#1", "b#1")]
    assert reasons == [Reason(ReasonKind.USER, "by hand"), Reason(ReasonKind.SHUTDOWN)]
