from __future__ import annotations

import pytest

from taskloom.core.actions import AskRun, HurryRun, NameRun, RemindStopping, StartRun
from taskloom.core.events import Event, EventName
from taskloom.core.model import WAIT_FOR_EVER, How, JobState, Moment, Otherwise, Outcome, Reason, ReasonKind
from taskloom.errors import DuplicateJob, InternalError, UnknownJob
from taskloom.testing import VirtualClock
from taskloom.testing.stage import BOOM, Stage, make_job, show


@pytest.fixture
def stage() -> Stage:
    """A stage with a non-daemon job `a`, a daemon job `d`, and five seconds for each to stop."""
    stage = Stage()
    stage.add(make_job("a", within=5), make_job("d", daemon=True, within=5))
    return stage


def event_of(actions: list[object], name: EventName) -> Event:
    (found,) = [action for action in actions if isinstance(action, Event) and action.event is name]
    return found


# -- a run that nobody stops


def test_a_run_is_queued_started_ready_and_ended(stage: Stage) -> None:
    queued = stage.start_all()
    started = stage.started("a#1")
    stage.clock.advance(3)
    ended = stage.ended("a#1")

    assert show(queued) == ["scheduler_started", "queued a#1", "StartRun a#1", "queued d#1", "StartRun d#1"]
    assert show(started) == ["started a#1", "ready a#1"]
    assert show(ended) == ["ended a#1 succeeded", "RunOver a#1", "WorkOver"]
    assert event_of([*ended], EventName.ENDED).seconds == 3


def test_the_runner_is_told_what_to_run(stage: Stage) -> None:
    stage.start("a")

    (told,) = [a for a in stage.history.steps[-1].actions if isinstance(a, StartRun)]
    assert told == StartRun("a#1", make_job("a", within=5), attempt=1, replica=1)


def test_a_task_that_announces_readiness_is_ready_when_it_says_so_and_once(stage: Stage) -> None:
    stage.start("a")

    assert show(stage.started("a#1", is_ready=False)) == ["started a#1"]
    assert show(stage.ready("a#1")) == ["ready a#1"]
    assert stage.ready("a#1") == []


def test_a_run_that_failed_says_why(stage: Stage) -> None:
    stage.run("a")

    ended = event_of([*stage.ended("a#1", How.RAISED)], EventName.ENDED)

    assert (ended.outcome, ended.error, ended.reason) == (Outcome.FAILED, BOOM, None)


def test_a_failed_start_is_an_end_of_its_own(stage: Stage) -> None:
    stage.start("a")

    found = stage.start_failed("a#1")

    ended = event_of([*found], EventName.ENDED)
    assert show(found) == ["ended a#1 start_failed", "RunOver a#1", "WorkOver"]
    assert (ended.error, ended.seconds) == (BOOM, 0)
    assert stage.state("a") is JobState.FINISHED


def test_the_next_run_has_the_next_number_and_none_of_the_old_reason(stage: Stage) -> None:
    stage.run("a")
    stage.stop("a")
    stage.ended("a#1")

    run = stage.run("a")

    assert run == "a#2"
    assert stage.lifecycle.jobs["a"].reason is None
    assert stage.lifecycle.runs["a#2"].reason is None


def test_a_report_of_a_run_that_is_not_live_is_a_bug_of_ours(stage: Stage) -> None:
    stage.run("a")
    stage.ended("a#1")

    for report in (stage.ended, stage.started, stage.start_failed):
        with pytest.raises(InternalError, match="a report came for run a#1, which is not live"):
            report("a#1")


def test_a_run_that_is_started_twice_is_a_bug_of_ours(stage: Stage) -> None:
    stage.run("a")

    with pytest.raises(InternalError, match="run a#1 was started twice"):
        stage.started("a#1")


def test_a_name_is_taken_once_and_an_unknown_one_is_answered_with_the_near_one(stage: Stage) -> None:
    with pytest.raises(DuplicateJob, match="cannot add job 'a': a job of this name exists"):
        stage.add(make_job("a"))
    with pytest.raises(UnknownJob, match=r"cannot find job 'e'; known: a, d$"):
        stage.stop("e")
    with pytest.raises(UnknownJob, match=r"cannot find job 'dd'; known: a, d; did you mean 'd'\?"):
        stage.start("dd")


# -- a stop


def test_a_stop_asks_hurries_names_and_waits_on(stage: Stage) -> None:
    """The whole ladder of a job whose policy is `exit`: stopping it alone never ends anything else."""
    stage.run("a")

    asked = stage.stop("a")
    first = stage.advance(2)
    hurried = stage.advance(1.75)
    named = stage.advance(1.25)
    overdue = stage.named("a#1", where="task.py:3 in run")
    silent = stage.advance(3600)

    reason = Reason(ReasonKind.USER, "enough")
    assert show(asked) == ["cancel_requested a#1", "AskRun a#1"]
    assert AskRun("a#1", reason) in asked
    assert first == [RemindStopping(("a#1",), 0)]
    assert hurried == [HurryRun("a#1")]
    assert sorted(show(named)) == ["NameRun a#1", "RemindStopping a#1 +0"]
    assert show(overdue) == ["stop_overdue a#1"]
    assert event_of([*overdue], EventName.STOP_OVERDUE).data == {
        "within": 5, "where": "task.py:3 in run", "poll_age": 1.5,
    }  # fmt: skip
    assert silent == []
    assert stage.state("a") is JobState.STOPPING
    assert stage.lifecycle.runs["a#1"].is_overdue


def test_an_overdue_run_ends_as_cancelled_when_it_comes_back_at_last(stage: Stage) -> None:
    stage.run("a")
    stage.stop("a")
    stage.advance(5)
    stage.named("a#1")
    stage.advance(60)

    late = event_of([*stage.ended("a#1")], EventName.ENDED)

    assert (late.outcome, late.seconds) == (Outcome.CANCELLED, 65)
    assert stage.state("a") is JobState.FINISHED


def test_a_second_stop_changes_neither_reason_nor_deadline(stage: Stage) -> None:
    stage.run("a")
    stage.stop("a", "first")
    stage.advance(4)

    again = stage.stop("a", "second")

    assert again == []
    assert stage.lifecycle.runs["a#1"].reason == Reason(ReasonKind.USER, "first")
    assert NameRun("a#1") in stage.advance(1)


def test_stopping_what_does_not_run_is_fine_and_changes_nothing(stage: Stage) -> None:
    assert stage.stop("a") == []
    stage.run("a")
    stage.ended("a#1")
    assert stage.stop("a") == []
    assert stage.state("a") is JobState.FINISHED


def test_a_stop_meant_for_an_older_run_leaves_the_new_one_alone(stage: Stage) -> None:
    stage.run("a")
    stage.ended("a#1")
    stage.run("a")

    assert stage.stop("a", run="a#1") == []
    assert stage.state("a") is JobState.RUNNING
    assert show(stage.stop("a", run="a#2")) == ["cancel_requested a#2", "AskRun a#2"]


def test_a_stop_that_wins_against_the_start_lets_the_run_never_enter(stage: Stage) -> None:
    """1. queued  2. stop  3. the runner sees the token asked before it enters the body."""
    stage.start("a")
    stage.stop("a")

    found = stage.ended("a#1", How.NOT_ENTERED)

    ended = event_of([*found], EventName.ENDED)
    assert (ended.outcome, ended.seconds, ended.error) == (Outcome.CANCELLED, 0, None)


def test_a_start_that_wins_against_the_stop_is_recorded_behind_it(stage: Stage) -> None:
    """1. queued  2. the body is entered  3. stop is handled  4. the word that it started arrives."""
    stage.start("a")
    stage.stop("a")

    assert show(stage.started("a#1")) == ["started a#1", "ready a#1"]
    assert stage.state("a") is JobState.STOPPING
    assert show(stage.ended("a#1", How.CANCELLED))[0] == "ended a#1 cancelled"


def test_a_body_that_was_back_before_the_ask_has_succeeded_whatever_the_order_of_the_messages(stage: Stage) -> None:
    """1. the body returns  2. stop is handled  3. the word that it returned arrives."""
    stage.run("a")
    stage.stop("a")

    ended = event_of([*stage.ended("a#1", was_asked=False)], EventName.ENDED)

    assert (ended.outcome, ended.reason) == (Outcome.SUCCEEDED, None)


def test_a_run_that_ends_at_the_very_instant_of_its_deadline_is_not_overdue(stage: Stage) -> None:
    """1. NameRun  2. the run ends while it is looked at  3. the answer arrives."""
    stage.run("d")
    stage.stop("d")
    stage.advance(5)
    stage.ended("d#1")

    late = stage.named("d#1")

    assert late == []
    assert stage.state("d") is JobState.FINISHED
    assert stage.lifecycle.jobs["d"].outcomes == {Outcome.CANCELLED: 1}


def test_within_zero_asks_and_gives_up_at_once() -> None:
    stage = Stage()
    stage.add(make_job("d", daemon=True, within=0))
    stage.run("d")

    stage.stop("d")
    due = stage.advance(0)

    assert show(due) == ["HurryRun d#1", "NameRun d#1"]
    assert show(stage.named("d#1"))[:3] == ["stop_overdue d#1", "ended d#1 abandoned", "blocked d#1"]


def test_a_wait_for_ever_is_never_hurried_and_never_overdue_but_always_named_in_reminders() -> None:
    stage = Stage()
    stage.add(make_job("a", within=WAIT_FOR_EVER))
    stage.run("a")
    stage.stop("a")

    found = stage.advance(3602)

    assert set(found) == {RemindStopping(("a#1",), 0)}
    assert len(found) == 1 + 3600 // 3


# -- reminders


def test_a_round_names_five_oldest_first_and_counts_the_others() -> None:
    stage = Stage()
    names = [f"j{number}" for number in range(8)]
    stage.add(*(make_job(name) for name in names))
    for name in names:
        stage.run(name)
    for name in reversed(names):
        stage.stop(name)

    (first,) = stage.advance(2)
    stage.ended("j7#1")
    (second,) = stage.advance(3)

    assert first == RemindStopping(("j7#1", "j6#1", "j5#1", "j4#1", "j3#1"), 3)
    assert second == RemindStopping(("j6#1", "j5#1", "j4#1", "j3#1", "j2#1"), 2)


def test_a_stop_that_is_over_needs_no_words_and_no_deadline(stage: Stage) -> None:
    stage.run("a")
    stage.stop("a")
    stage.ended("a#1")

    assert stage.lifecycle.next_deadline() is None
    assert stage.advance(60) == []


def test_the_reminder_of_an_earlier_stop_does_not_shorten_the_patience_of_the_next(stage: Stage) -> None:
    stage.run("a")
    stage.stop("a")
    stage.advance(1.5)
    stage.ended("a#1")
    stage.run("d")
    stage.stop("d")

    assert stage.advance(1.75) == []
    assert stage.advance(0.25) == [RemindStopping(("d#1",), 0)]


# -- abandoned


def test_an_abandoned_run_blocks_its_job_until_its_thread_ends_after_all(stage: Stage) -> None:
    stage.run("d")
    stage.stop("d")
    stage.advance(5)

    abandoned = stage.named("d#1")
    stage.advance(7)
    late = stage.ended("d#1", How.RAISED)
    again = stage.run("d")

    assert show(abandoned) == ["stop_overdue d#1", "ended d#1 abandoned", "blocked d#1", "WorkOver"]
    assert show(late) == ["late_exit d#1", "RunOver d#1"]
    assert event_of([*late], EventName.LATE_EXIT).seconds == 7
    assert again == "d#2"
    assert stage.lifecycle.jobs["d"].outcomes == {Outcome.ABANDONED: 1}


def test_an_abandoned_run_says_nothing_more_but_that_a_callback_failed(stage: Stage) -> None:
    stage.start("d")
    stage.started("d#1", is_ready=False)
    stage.stop("d")
    stage.advance(5)
    stage.named("d#1")

    assert stage.ready("d#1") == []
    assert stage.stop("d") == []
    assert stage.named("d#1") == []
    assert show(stage.callback_failed("d#1")) == ["callback_failed d#1"]


def test_a_start_that_fails_after_it_was_given_up_is_a_late_exit(stage: Stage) -> None:
    """A constructor that hangs through its stop, and then raises."""
    stage.start("d")
    stage.stop("d")
    stage.advance(5)
    stage.named("d#1")

    assert show(stage.start_failed("d#1")) == ["late_exit d#1", "RunOver d#1"]
    assert stage.state("d") is JobState.FINISHED


def test_what_went_wrong_in_the_callbacks_is_kept_for_the_report(stage: Stage) -> None:
    stage.run("a")
    stage.stop("a")

    found = stage.callback_failed("a#1")
    stage.ended("a#1", How.RAISED, was_woken=True)

    assert event_of([*found], EventName.CALLBACK_FAILED).data == {"callback": "terminate"}
    record = stage.lifecycle.jobs["a"].last_run
    assert record is not None
    assert record.failed_callbacks == ["terminate: RuntimeError: boom"]
    assert (record.outcome, record.error) == (Outcome.CANCELLED, BOOM)
    assert stage.callback_failed("a#1") == []


# -- start delays


def test_a_delayed_job_that_is_started_by_hand_does_not_start_again_when_its_delay_is_over() -> None:
    stage = Stage()
    stage.add(make_job("a", delay=5))
    stage.start_all()
    stage.run("a")
    stage.ended("a#1")

    assert stage.advance(60) == []
    assert stage.lifecycle.jobs["a"].runs == 1


def test_a_delayed_job_that_is_stopped_is_skipped_and_may_be_started_by_hand() -> None:
    stage = Stage()
    stage.add(make_job("a", delay=5))
    stage.start_all()

    found = stage.stop("a", "not today")

    assert show(found) == ["skipped a", "WorkOver"]
    assert event_of([*found], EventName.SKIPPED).reason == Reason(ReasonKind.USER, "not today")
    assert stage.advance(60) == []
    assert stage.run("a") == "a#1"


def test_manual_and_disabled_jobs_wait_for_a_person() -> None:
    stage = Stage()
    stage.add(make_job("m", manual=True), make_job("off", enabled=False))

    assert show(stage.start_all()) == ["scheduler_started"]
    assert stage.run("m") == "m#1"


# -- when the work is over


def test_daemons_do_not_keep_the_program_alive(stage: Stage) -> None:
    stage.start_all()
    stage.started("a#1")
    stage.started("d#1")
    before = stage.lifecycle.is_work_over

    found = stage.ended("a#1")

    assert not before
    assert show(found)[-1] == "WorkOver"
    assert stage.lifecycle.is_work_over


def test_daemons_alone_run_until_the_last_of_them_ends() -> None:
    stage = Stage()
    stage.add(make_job("one", daemon=True), make_job("two", daemon=True), make_job("m", manual=True))
    stage.start_all()
    stage.started("one#1")
    stage.started("two#1")

    first = stage.ended("one#1")
    second = stage.ended("two#1")

    assert "WorkOver" not in show(first)
    assert show(second)[-1] == "WorkOver"


def test_a_start_delay_keeps_the_program_alive() -> None:
    stage = Stage()
    stage.add(make_job("now"), make_job("late", delay=5))
    stage.start_all()
    stage.started("now#1")

    first = stage.ended("now#1")
    stage.advance(5)
    stage.started("late#1")

    assert "WorkOver" not in show(first)
    assert show(stage.ended("late#1"))[-1] == "WorkOver"


def test_a_stopping_run_keeps_the_program_alive_though_it_is_overdue(stage: Stage) -> None:
    stage.run("a")
    stage.stop("a")
    stage.advance(5)

    named = stage.named("a#1")

    assert "WorkOver" not in show(named)
    assert show(stage.ended("a#1"))[-1] == "WorkOver"


def test_a_manual_job_that_was_never_started_does_not_count() -> None:
    stage = Stage()
    stage.add(make_job("m", manual=True))
    stage.start_all()

    assert stage.lifecycle.is_work_over


def test_a_job_started_after_the_work_was_over_makes_it_go_on(stage: Stage) -> None:
    stage.run("a")
    stage.ended("a#1")
    stage.run("a")

    assert not stage.lifecycle.is_work_over
    assert show(stage.ended("a#2"))[-1] == "WorkOver"


def test_an_abandoned_run_of_a_job_that_is_no_daemon_keeps_nothing_alive() -> None:
    stage = Stage()
    stage.add(make_job("a", otherwise=Otherwise.ABANDON, within=1))
    stage.run("a")
    stage.stop("a")
    stage.advance(1)

    assert show(stage.named("a#1"))[-1] == "WorkOver"


# -- time and numbers


def test_every_event_has_the_next_number_and_both_times() -> None:
    clock = VirtualClock(mono=100, wall=5000)
    stage = Stage(clock)
    stage.add(make_job("a"))
    stage.run("a")
    clock.advance(2)
    clock.step_wall(-10)
    stage.ended("a#1")

    events = list(stage.history.events)

    assert [event.seq for event in events] == [1, 2, 3, 4, 5]
    assert {Moment(event.mono, event.at) for event in events} == {Moment(100, 5000), Moment(102, 4992)}


def test_a_refused_command_takes_no_number(stage: Stage) -> None:
    stage.run("a")

    with pytest.raises(Exception, match="still running"):
        stage.start("a")
    stage.ended("a#1")

    assert [event.seq for event in stage.history.events] == list(range(1, 7))
