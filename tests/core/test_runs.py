from __future__ import annotations

import pytest
from tests.support.hand_driven_core import BOOM, HandDrivenCore, event_of, show

from taskloom.core.actions import StartRun
from taskloom.core.events import EVERYTHING, FAILURES, NO_EVENTS, Event, EventName
from taskloom.core.model import How, JobState, Moment, Outcome, Reason, ReasonKind
from taskloom.errors import DuplicateJob, InternalError, UnknownJob
from taskloom.testing import VirtualClock, make_job

# -- a run that is not stopped


def test_a_run_is_queued_started_ready_and_ended(stage: HandDrivenCore) -> None:
    queued = stage.start_all()
    started = stage.started("a#1")
    stage.clock.advance(3)
    ended = stage.ended("a#1")

    assert show(queued) == ["scheduler_started", "queued a#1", "StartRun a#1", "queued d#1", "StartRun d#1"]
    assert show(started) == ["started a#1", "ready a#1"]
    assert show(ended) == ["ended a#1 succeeded", "ReleaseRun a#1", "WorkFinished"]
    assert event_of(ended, EventName.ENDED).seconds == 3


def test_the_runner_is_told_what_to_run(stage: HandDrivenCore) -> None:
    stage.start("a")

    (order,) = [a for a in stage.history.steps[-1].actions if isinstance(a, StartRun)]
    assert order == StartRun("a#1", make_job("a", within=5), attempt=1, replica=1)


def test_a_task_that_announces_readiness_is_ready_once_and_from_then_on(stage: HandDrivenCore) -> None:
    stage.start("a")

    assert show(stage.started("a#1", is_ready=False)) == ["started a#1"]
    assert show(stage.ready("a#1")) == ["ready a#1"]
    assert stage.ready("a#1") == []


def test_the_end_of_a_failed_run_has_the_error(stage: HandDrivenCore) -> None:
    stage.run("a")

    ended = event_of(stage.ended("a#1", How.RAISED), EventName.ENDED)

    assert (ended.outcome, ended.error, ended.reason) == (Outcome.FAILED, BOOM, None)


def test_a_failed_start_ends_the_run_start_failed(stage: HandDrivenCore) -> None:
    stage.start("a")

    found = stage.start_failed("a#1")

    ended = event_of(found, EventName.ENDED)
    assert show(found) == ["ended a#1 start_failed", "ReleaseRun a#1", "WorkFinished"]
    assert (ended.error, ended.seconds) == (BOOM, 0)
    assert stage.state("a") is JobState.FINISHED


def test_the_next_run_has_the_next_number_and_no_old_reason(stage: HandDrivenCore) -> None:
    stage.run("a")
    stage.stop("a")
    stage.ended("a#1")

    run = stage.run("a")

    assert run == "a#2"
    assert stage.lifecycle.jobs["a"].reason is None
    assert stage.lifecycle.runs["a#2"].reason is None


def test_a_report_of_a_run_that_is_not_live_is_an_internal_error(stage: HandDrivenCore) -> None:
    stage.run("a")
    stage.ended("a#1")

    for report in (stage.ended, stage.started, stage.start_failed):
        with pytest.raises(InternalError, match="a report came for run a#1, which is not live"):
            report("a#1")


def test_a_run_that_is_started_twice_is_an_internal_error(stage: HandDrivenCore) -> None:
    stage.run("a")

    with pytest.raises(InternalError, match="run a#1 was started twice"):
        stage.started("a#1")


def test_a_name_is_declared_once_and_an_unknown_one_is_refused_with_a_near_match(stage: HandDrivenCore) -> None:
    with pytest.raises(DuplicateJob, match="cannot add job 'a': a job with this name exists"):
        stage.add(make_job("a"))
    with pytest.raises(UnknownJob, match=r"cannot find job 'e'; known: a, d$"):
        stage.stop("e")
    with pytest.raises(UnknownJob, match=r"cannot find job 'dd'; known: a, d; did you mean 'd'\?"):
        stage.start("dd")


# -- abandoned


def test_an_abandoned_run_blocks_its_job_until_its_thread_exits(stage: HandDrivenCore) -> None:
    stage.run("d")
    stage.stop("d")
    stage.advance(5)

    abandoned = stage.stack_captured("d#1")
    stage.advance(7)
    late = stage.ended("d#1", How.RAISED)
    again = stage.run("d")

    assert show(abandoned) == ["stop_overdue d#1", "ended d#1 abandoned", "blocked d#1", "WorkFinished"]
    assert show(late) == ["late_exit d#1", "ReleaseRun d#1"]
    assert event_of(late, EventName.LATE_EXIT).seconds == 7
    assert again == "d#2"
    assert stage.lifecycle.jobs["d"].outcomes == {Outcome.ABANDONED: 1}


def test_an_abandoned_run_causes_no_event_except_for_a_failed_callback(stage: HandDrivenCore) -> None:
    stage.start("d")
    stage.started("d#1", is_ready=False)
    stage.stop("d")
    stage.advance(5)
    stage.stack_captured("d#1")

    assert stage.ready("d#1") == []
    assert stage.stop("d") == []
    assert stage.stack_captured("d#1") == []
    assert show(stage.callback_failed("d#1")) == ["callback_failed d#1"]


def test_a_start_that_fails_after_the_run_was_abandoned_is_a_late_exit(stage: HandDrivenCore) -> None:
    """A constructor hangs until after its run was abandoned, and then raises."""
    stage.start("d")
    stage.stop("d")
    stage.advance(5)
    stage.stack_captured("d#1")

    assert show(stage.start_failed("d#1")) == ["late_exit d#1", "ReleaseRun d#1"]
    assert stage.state("d") is JobState.FINISHED


def test_failed_callbacks_are_kept_for_the_report(stage: HandDrivenCore) -> None:
    stage.run("a")
    stage.stop("a")

    found = stage.callback_failed("a#1")
    stage.ended("a#1", How.RAISED, callback_ran=True)

    assert event_of(found, EventName.CALLBACK_FAILED).data == {"callback": "terminate"}
    record = stage.lifecycle.jobs["a"].last_run
    assert record is not None
    assert record.failed_callbacks == ("terminate: RuntimeError: boom",)
    assert (record.outcome, record.error) == (Outcome.CANCELLED, BOOM)


def test_a_terminate_that_fails_after_the_end_of_its_run_is_an_event(stage: HandDrivenCore) -> None:
    """Nothing waits for it, not even the next run of the job for long."""
    stage.run("a")
    stage.stop("a")
    stage.ended("a#1")

    first = show(stage.callback_failed("a#1"))
    record = stage.lifecycle.jobs["a"].last_run
    stage.run("a")
    later = event_of(stage.callback_failed("a#1"), EventName.CALLBACK_FAILED)

    assert first == ["callback_failed a#1"]
    assert record is not None
    assert record.failed_callbacks == ("terminate: RuntimeError: boom",)
    assert (later.job, later.run, later.attempt, later.error) == ("a", "a#1", None, BOOM)
    assert stage.callback_failed("") == [], "a helper did something that belongs to no run"


def test_a_terminate_that_fails_after_its_job_was_removed_is_dropped(stage: HandDrivenCore) -> None:
    stage.run("a")
    stage.reload()
    stage.ended("a#1")

    assert stage.callback_failed("a#1") == []


# -- start delays


def test_a_delayed_job_that_a_user_starts_does_not_start_again_when_its_delay_is_over() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", delay=5))
    stage.start_all()
    stage.run("a")
    stage.ended("a#1")

    assert stage.advance(60) == []
    assert stage.lifecycle.jobs["a"].runs == 1


def test_a_delayed_job_that_is_stopped_is_skipped_and_can_be_started_by_a_user() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", delay=5))
    stage.start_all()

    found = stage.stop("a", "not today")

    assert show(found) == ["skipped a", "WorkFinished"]
    assert event_of(found, EventName.SKIPPED).reason == Reason(ReasonKind.USER, "not today")
    assert stage.advance(60) == []
    assert stage.run("a") == "a#1"


def test_manual_and_disabled_jobs_are_not_started_by_the_scheduler() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("m", manual=True), make_job("off", enabled=False))

    assert show(stage.start_all()) == ["scheduler_started"]
    assert stage.run("m") == "m#1"


# -- time and numbers


def test_every_event_has_the_next_number_and_both_times() -> None:
    clock = VirtualClock(mono=100, wall=5000)
    stage = HandDrivenCore(clock)
    stage.add(make_job("a"))
    stage.run("a")
    clock.advance(2)
    clock.step_wall(-10)
    stage.ended("a#1")

    events = list(stage.history.events)

    assert [event.seq for event in events] == [1, 2, 3, 4, 5]
    assert {Moment(event.mono, event.at) for event in events} == {Moment(100, 5000), Moment(102, 4992)}


def test_a_refused_command_uses_no_event_number(stage: HandDrivenCore) -> None:
    stage.run("a")

    with pytest.raises(Exception, match="still running"):
        stage.start("a")
    stage.ended("a#1")

    assert [event.seq for event in stage.history.events] == list(range(1, 7))


def test_events_without_listeners_are_numbered_but_not_made(stage: HandDrivenCore) -> None:
    stage.lifecycle.enable_events(NO_EVENTS)
    unheard = stage.start_all() + stage.started("a#1")

    stage.lifecycle.enable_events(EVERYTHING)
    heard = stage.ended("a#1")

    assert show(unheard) == ["StartRun a#1", "StartRun d#1"]
    assert event_of(heard, EventName.ENDED).seq == 2 + 3 + 2 + 1
    assert stage.state("a") is JobState.FINISHED


def test_for_the_log_alone_only_failures_are_made_and_all_events_are_numbered(stage: HandDrivenCore) -> None:
    stage.lifecycle.enable_events(FAILURES)
    unheard = stage.start_all() + stage.started("a#1") + stage.started("d#1") + stage.ended("a#1")

    heard = stage.ended("d#1", How.RAISED)

    assert [action for action in unheard if isinstance(action, Event)] == []
    [end] = [action for action in heard if isinstance(action, Event)]
    assert (end.event, end.outcome, end.seq) == (EventName.ENDED, Outcome.FAILED, 2 + 3 + 2 + 2 + 1 + 1)
