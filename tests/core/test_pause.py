"""A paused schedule: each firing is missed, everything else goes on, and after the resume nothing is made up for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.hand_driven_core import HandDrivenCore, event_of, show
from tests.support.held_jobs import every, hold_of, keeps_the_invariants, missed, queued, scheduled_job

from taskloom.core.actions import Action
from taskloom.core.events import EventName
from taskloom.core.inputs import Tick
from taskloom.core.model import Hold, How, JobState, Reason, ReasonKind
from taskloom.core.policies import (
    Calendar,
    Missed,
    RestartPolicy,
    RestartWhen,
    Schedule,
)
from taskloom.core.report import make_job_report
from taskloom.errors import NotScheduled, SchedulerStopped, UnknownJob
from taskloom.testing import VirtualClock, make_job

Instants = Callable[..., Calendar]
WHY = Reason(ReasonKind.USER, "maintenance")


def late(stage: HandDrivenCore, seconds: float) -> list[Action]:
    """Let the process sleep for `seconds`, and then handle everything that has become due."""
    stage.clock.advance(seconds)
    return stage.send(Tick())


# -- the commands


def test_pause_and_resume_are_events_with_a_reason_and_idempotent() -> None:
    stage = scheduled_job(every())

    paused, again = stage.pause("a"), stage.pause("a", "other")
    resumed, again = stage.resume("a"), stage.resume("a", "other")

    assert (show(paused), again, show(resumed), again) == (["paused a"], [], ["resumed a"], [])
    assert event_of(paused, EventName.PAUSED).reason == WHY
    assert event_of(resumed, EventName.RESUMED).reason == Reason(ReasonKind.USER, "done")


def test_the_first_reason_of_a_pause_is_kept_and_reported() -> None:
    stage = scheduled_job(every())
    stage.pause("a")
    stage.pause("a", "other")

    report = make_job_report(stage.lifecycle, stage.lifecycle.jobs["a"], stage.clock.now())

    assert report.holds == {Hold.PAUSED: WHY}
    assert (report.hold, report.held, report.marks) == (Hold.PAUSED, "paused: maintenance", ("paused",))
    assert report.as_dict()["paused"] is True
    assert report.as_dict()["held"] == "paused: maintenance"


def test_a_job_without_a_schedule_is_not_paused() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a"))

    with pytest.raises(NotScheduled, match=r"^cannot pause job 'a': it has no schedule; stop it instead$"):
        stage.pause("a")
    with pytest.raises(NotScheduled, match=r"^cannot resume job 'a': it has no schedule; start it instead$"):
        stage.resume("a")

    assert hold_of(stage) == []


def test_an_unknown_job_is_not_paused() -> None:
    with pytest.raises(UnknownJob):
        HandDrivenCore().pause("a")
    with pytest.raises(UnknownJob):
        HandDrivenCore().resume("a")


def test_during_a_shutdown_nothing_is_paused_or_resumed() -> None:
    stage = scheduled_job(every())
    stage.run("a")
    stage.shutdown()

    with pytest.raises(SchedulerStopped, match="cannot pause job 'a'"):
        stage.pause("a")
    with pytest.raises(SchedulerStopped, match="cannot resume job 'a'"):
        stage.resume("a")


# -- firings


def test_each_firing_of_a_paused_job_is_missed() -> None:
    stage = scheduled_job(every())
    stage.pause("a")

    found = stage.advance(35)

    assert missed(found) == [("00:00:10", 1, "paused"), ("00:00:20", 1, "paused"), ("00:00:30", 1, "paused")]
    assert stage.state("a") is JobState.WAITING
    assert stage.lifecycle.jobs["a"].missed == 3


def test_after_the_resume_the_next_instant_fires() -> None:
    stage = scheduled_job(every())
    stage.pause("a")
    stage.advance(25)

    at_resume, after = stage.resume("a"), stage.advance(5)

    assert show(at_resume) == ["resumed a"]
    assert queued(after) == ["queued a#1"]
    assert stage.clock.now().mono == 30


@pytest.mark.parametrize("policy", list(Missed))
@pytest.mark.parametrize("grace", [0.0, 3600.0])
def test_what_a_busy_process_did_not_handle_before_the_resume_is_missed_too(policy: Missed, grace: float) -> None:
    stage = scheduled_job(every(missed=policy, grace=grace))
    stage.pause("a")
    stage.clock.advance(25)

    at_resume, after = stage.resume("a"), stage.advance(4)

    assert show(at_resume) == ["missed a", "resumed a"]
    assert missed(at_resume) == [("00:00:20", 2, "paused")]
    assert after == []


def test_a_late_tick_reports_all_passed_instants_as_one() -> None:
    stage = scheduled_job(every())
    stage.pause("a")

    assert missed(late(stage, 45)) == [("00:00:40", 4, "paused")]


def test_all_kinds_of_calendars_are_paused(instants: Instants) -> None:
    stage = scheduled_job(Schedule(calendar=instants(10.0, 20.0, 3000.0)))
    stage.pause("a")

    found = stage.advance(30)
    stage.resume("a")

    assert missed(found) == [("00:00:10", 1, "paused"), ("00:00:20", 1, "paused")]
    assert queued(stage.advance(3000)) == ["queued a#1"]


def test_the_only_instant_of_a_paused_at_is_missed_and_ends_the_schedule(instants: Instants) -> None:
    stage = scheduled_job(Schedule(calendar=instants(10.0)))
    stage.pause("a")

    found = stage.advance(10)

    assert show(found) == ["missed a", "skipped a", "WorkFinished"]
    assert stage.state("a") is JobState.FINISHED
    assert show(stage.resume("a")) == ["resumed a"]
    assert stage.state("a") is JobState.FINISHED


def test_a_clock_that_was_set_forward_brings_nothing_back_after_the_resume(instants: Instants) -> None:
    """As after a suspend: the monotonic clock did not go on, and no tick has compared the clocks yet."""
    stage = scheduled_job(Schedule(calendar=instants(600.0, 7200.0)))
    stage.pause("a")
    stage.clock.step_wall(700.0)

    at_resume, after = stage.resume("a"), stage.advance(60)

    assert missed(at_resume) == [("00:10:00", 1, "paused")]
    assert queued(after) == []
    assert keeps_the_invariants(stage)


def test_a_clock_that_was_set_back_leaves_the_instant_ahead(instants: Instants) -> None:
    stage = scheduled_job(Schedule(calendar=instants(600.0)))
    stage.pause("a")
    stage.clock.advance(590.0)
    stage.clock.step_wall(-100.0)
    stage.send(Tick())
    stage.clock.advance(20.0)

    at_resume = stage.resume("a")

    assert missed(at_resume) == []
    assert queued(stage.advance(120)) == ["queued a#1"]


def test_the_time_of_a_firing_counts_and_not_that_of_its_instant() -> None:
    """By its jitter the instant of second 10 fires at second 15."""
    before, between = scheduled_job(every(jitter=10.0), 0.5), scheduled_job(every(jitter=10.0), 0.5)

    before.pause("a")
    before.advance(12)
    before.resume("a")
    between.advance(12)
    between.pause("a")

    assert queued(before.advance(3)) == ["queued a#1"]
    assert missed(between.advance(3)) == [("00:00:10", 1, "paused")]


def test_instants_that_jitter_overtakes_are_all_missed_at_the_resume() -> None:
    stage = scheduled_job(every(2.0, jitter=8.0), 0.0)
    stage.pause("a")
    stage.clock.advance(7)

    assert sum(count for _, count, _ in missed(stage.resume("a"))) == 3
    assert stage.send(Tick()) == []


def test_an_instant_that_follows_a_late_one_is_missed_at_the_resume_too() -> None:
    """By its jitter the instant of second 10 fires at second 18, and that of second 20 at once."""
    stage = scheduled_job(every(jitter=8.0), 1.0, 0.0)
    stage.pause("a")
    stage.clock.advance(21)

    at_resume = stage.resume("a")

    assert missed(at_resume) == [("00:00:10", 1, "paused"), ("00:00:20", 1, "paused")]
    assert stage.send(Tick()) == []


def test_a_paused_job_has_no_immediate_run() -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(make_job("a", schedule=every(immediately=True)))
    stage.pause("a")

    found = stage.start_all()

    assert missed(found) == [("00:00:00", 1, "paused")]
    assert (queued(found), stage.state("a")) == ([], JobState.WAITING)
    stage.resume("a")
    assert queued(stage.advance(10)) == ["queued a#1"]


def test_a_pause_during_the_start_delay_counts_when_the_schedule_is_armed() -> None:
    stage = scheduled_job(every(immediately=True), delay=5.0)
    stage.pause("a")

    assert missed(stage.advance(16)) == [("00:00:05", 1, "paused"), ("00:00:15", 1, "paused")]


# -- what goes on


def test_a_live_run_goes_on_and_a_start_is_one_additional_run() -> None:
    stage = scheduled_job(every())
    stage.run("a")

    stage.pause("a")
    still = stage.state("a")
    stage.ended("a#1")
    run = stage.run("a")
    stage.ended(run)

    assert still is JobState.RUNNING
    assert (stage.state("a"), hold_of(stage)) == (JobState.WAITING, [Hold.PAUSED])
    assert missed(stage.advance(10)) == [("00:00:10", 1, "paused")]


def test_restart_arm_and_reset_leave_the_schedule_paused() -> None:
    stage = scheduled_job(every())
    stage.run("a")
    stage.pause("a")

    stage.restart("a")
    stage.ended("a#1")
    again = stage.lifecycle.jobs["a"].run
    assert again is not None
    stage.started(again.id)
    stage.ended(again.id)
    stage.arm("a")
    stage.reset("a")

    assert (again.id, hold_of(stage)) == ("a#2", [Hold.PAUSED])
    assert missed(stage.advance(10)) == [("00:00:10", 1, "paused")]


def test_a_pending_restart_still_comes() -> None:
    """It continues the run that failed; only the schedule is paused."""
    stage = scheduled_job(every(), restart=RestartPolicy(RestartWhen.ON_FAILURE, delay=30.0, jitter=0.0))
    stage.run("a")
    stage.ended("a#1", How.RAISED)
    stage.pause("a")

    found = stage.advance(30)

    assert missed(found)[0] == ("00:00:10", 1, "paused")
    assert queued(found) == ["queued a#2"]


def test_a_paused_schedule_keeps_the_program_alive() -> None:
    stage = scheduled_job(every())
    stage.pause("a")
    stage.advance(100)

    assert not stage.lifecycle.is_work_over


def test_a_resume_that_misses_the_last_firing_of_an_essential_job_that_failed_stops_everything(
    instants: Instants,
) -> None:
    stage = scheduled_job(Schedule(calendar=instants(10.0)), essential=True)
    stage.run("a")
    stage.ended("a#1", How.RAISED)
    stage.pause("a")
    stage.clock.advance(20)

    found = stage.resume("a")

    assert show(found)[:3] == ["missed a", "skipped a", "scheduler_stopping"]
    assert "resumed a" not in show(found)
    assert keeps_the_invariants(stage)
