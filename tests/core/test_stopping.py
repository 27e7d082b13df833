from __future__ import annotations

from tests.support.hand_driven_core import HandDrivenCore, event_of, show

from taskloom.core.actions import CancelRun, CaptureStack, MarkUrgent, ReportStopProgress
from taskloom.core.events import EventName
from taskloom.core.model import WAIT_FOR_EVER, How, JobState, Outcome, Reason, ReasonKind
from taskloom.testing import make_job

# -- a stop


def test_a_stop_requests_marks_urgent_captures_the_stack_and_waits(stage: HandDrivenCore) -> None:
    """The whole stop ladder of a job with `otherwise: exit`; stopping it alone ends nothing else."""
    stage.run("a")

    asked = stage.stop("a")
    first = stage.advance(2)
    hurried = stage.advance(1.75)
    named = stage.advance(1.25)
    overdue = stage.stack_captured("a#1", where="task.py:3 in run")
    silent = stage.advance(3600)

    reason = Reason(ReasonKind.USER, "enough")
    assert show(asked) == ["cancel_requested a#1", "CancelRun a#1"]
    assert CancelRun("a#1", reason) in asked
    assert first == [ReportStopProgress(("a#1",), 0)]
    assert hurried == [MarkUrgent("a#1")]
    assert sorted(show(named)) == ["CaptureStack a#1", "ReportStopProgress a#1 +0"]
    assert show(overdue) == ["stop_overdue a#1"]
    assert event_of(overdue, EventName.STOP_OVERDUE).data == {
        "within": 5, "where": "task.py:3 in run", "poll_age": 1.5,
    }  # fmt: skip
    assert silent == []
    assert stage.state("a") is JobState.STOPPING
    assert stage.lifecycle.runs["a#1"].is_overdue


def test_an_overdue_run_that_returns_at_last_ends_cancelled(stage: HandDrivenCore) -> None:
    stage.run("a")
    stage.stop("a")
    stage.advance(5)
    stage.stack_captured("a#1")
    stage.advance(60)

    late = event_of(stage.ended("a#1"), EventName.ENDED)

    assert (late.outcome, late.seconds) == (Outcome.CANCELLED, 65)
    assert stage.state("a") is JobState.FINISHED


def test_a_second_stop_changes_neither_reason_nor_deadline(stage: HandDrivenCore) -> None:
    stage.run("a")
    stage.stop("a", "first")
    stage.advance(4)

    again = stage.stop("a", "second")

    assert again == []
    assert stage.lifecycle.runs["a#1"].reason == Reason(ReasonKind.USER, "first")
    assert CaptureStack("a#1") in stage.advance(1)


def test_stopping_a_job_without_a_run_is_legal_and_changes_nothing(stage: HandDrivenCore) -> None:
    assert stage.stop("a") == []
    stage.run("a")
    stage.ended("a#1")
    assert stage.stop("a") == []
    assert stage.state("a") is JobState.FINISHED


def test_a_stop_meant_for_an_older_run_leaves_the_new_one_alone(stage: HandDrivenCore) -> None:
    stage.run("a")
    stage.ended("a#1")
    stage.run("a")

    assert stage.stop("a", run="a#1") == []
    assert stage.state("a") is JobState.RUNNING
    assert show(stage.stop("a", run="a#2")) == ["cancel_requested a#2", "CancelRun a#2"]


def test_a_stop_before_the_start_keeps_the_body_from_being_called(stage: HandDrivenCore) -> None:
    """1. queued  2. stop  3. the runner finds the stop requested before it calls the body."""
    stage.start("a")
    stage.stop("a")

    found = stage.ended("a#1", How.NOT_ENTERED)

    ended = event_of(found, EventName.ENDED)
    assert (ended.outcome, ended.seconds, ended.error) == (Outcome.CANCELLED, 0, None)


def test_a_start_that_is_reported_after_the_stop_is_recorded_after_it(stage: HandDrivenCore) -> None:
    """1. queued  2. the body is called  3. the stop is handled  4. RunStarted arrives."""
    stage.start("a")
    stage.stop("a")

    assert show(stage.started("a#1")) == ["started a#1", "ready a#1"]
    assert stage.state("a") is JobState.STOPPING
    assert show(stage.ended("a#1", How.CANCELLED))[0] == "ended a#1 cancelled"


def test_a_body_that_returned_before_the_request_has_succeeded_in_either_order_of_messages(
    stage: HandDrivenCore,
) -> None:
    """1. the body returns  2. the stop is handled  3. RunEnded arrives."""
    stage.run("a")
    stage.stop("a")

    ended = event_of(stage.ended("a#1", was_requested=False), EventName.ENDED)

    assert (ended.outcome, ended.reason) == (Outcome.SUCCEEDED, None)


def test_a_run_that_ends_exactly_at_its_deadline_is_not_overdue(stage: HandDrivenCore) -> None:
    """1. CaptureStack  2. the run ends meanwhile  3. StackCaptured arrives."""
    stage.run("d")
    stage.stop("d")
    stage.advance(5)
    stage.ended("d#1")

    late = stage.stack_captured("d#1")

    assert late == []
    assert stage.state("d") is JobState.FINISHED
    assert stage.lifecycle.jobs["d"].outcomes == {Outcome.CANCELLED: 1}


def test_within_zero_requests_the_stop_and_does_not_wait() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("d", daemon=True, within=0))
    stage.run("d")

    stage.stop("d")
    due = stage.advance(0)

    assert show(due) == ["MarkUrgent d#1", "CaptureStack d#1"]
    assert show(stage.stack_captured("d#1"))[:3] == ["ended d#1 abandoned", "blocked d#1", "WorkFinished"]


def test_a_wait_for_ever_is_never_urgent_nor_overdue_but_always_in_progress_reports() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", within=WAIT_FOR_EVER))
    stage.run("a")
    stage.stop("a")

    found = stage.advance(3602)

    assert set(found) == {ReportStopProgress(("a#1",), 0)}
    assert len(found) == 1 + 3600 // 3


# -- progress reports


def test_a_progress_report_names_the_five_oldest_and_counts_the_others() -> None:
    stage = HandDrivenCore()
    names = [f"j{number}" for number in range(8)]
    stage.add(*(make_job(name) for name in names))
    for name in names:
        stage.run(name)
    for name in reversed(names):
        stage.stop(name)

    (first,) = stage.advance(2)
    stage.ended("j7#1")
    (second,) = stage.advance(3)

    assert first == ReportStopProgress(("j7#1", "j6#1", "j5#1", "j4#1", "j3#1"), 3)
    assert second == ReportStopProgress(("j6#1", "j5#1", "j4#1", "j3#1", "j2#1"), 2)


def test_a_stop_that_is_over_leaves_no_progress_report_and_no_deadline(stage: HandDrivenCore) -> None:
    stage.run("a")
    stage.stop("a")
    stage.ended("a#1")

    assert stage.lifecycle.next_deadline() is None
    assert stage.advance(60) == []


def test_the_progress_report_of_an_earlier_stop_does_not_come_early_in_the_next(stage: HandDrivenCore) -> None:
    stage.run("a")
    stage.stop("a")
    stage.advance(1.5)
    stage.ended("a#1")
    stage.run("d")
    stage.stop("d")

    assert stage.advance(1.75) == []
    assert stage.advance(0.25) == [ReportStopProgress(("d#1",), 0)]
