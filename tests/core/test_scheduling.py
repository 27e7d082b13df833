"""Schedules: when they fire, and what a firing does if the job is busy or blocked, or the process is late."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.hand_driven_core import HandDrivenCore, event_of, show

from taskloom.core.actions import Action, StartRun
from taskloom.core.events import Event, EventName
from taskloom.core.inputs import Tick
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import How, JobState, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import (
    Calendar,
    Missed,
    Overlap,
    RestartLimit,
    RestartPolicy,
    RestartWhen,
    Schedule,
)
from taskloom.core.report import make_job_report
from taskloom.testing import VirtualClock, make_job

Instants = Callable[..., Calendar]
ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0)


def stage_of(schedule: Schedule, random: float | None = None, **policies: Any) -> HandDrivenCore:
    """Return a core at second 0 of both clocks whose job `a` has this schedule and is armed."""
    stage = HandDrivenCore(VirtualClock(0, 0))
    if random is not None:
        stage.lifecycle = Lifecycle(lambda: random, 30.0)
    stage.add(make_job("a", schedule=schedule, **policies))
    stage.start_all()
    return stage


def every(seconds: float = 10.0, **policies: Any) -> Schedule:
    return Schedule(every=seconds, **policies)


def finish(stage: HandDrivenCore) -> list[Action]:
    """Have the run of `a` succeed."""
    run = stage.lifecycle.jobs["a"].run
    assert run is not None
    if run.started is None:
        stage.started(run.id)
    return stage.ended(run.id)


def fired(stage: HandDrivenCore, seconds: float) -> list[float]:
    """Let time pass, have each run end at once, and return when runs were begun."""
    end = stage.clock.now().mono + seconds
    moments = []
    while (due := stage.lifecycle.next_deadline()) is not None and due <= end:
        stage.clock.advance_to(due)
        for action in stage.send(Tick()):
            if isinstance(action, StartRun):
                moments.append(due)
                finish(stage)
    stage.clock.advance_to(end)
    return moments


def late(stage: HandDrivenCore, seconds: float) -> list[Action]:
    """Let the process sleep for `seconds`, and then handle everything that has become due."""
    stage.clock.advance(seconds)
    return stage.send(Tick())


def missed(found: Sequence[Action]) -> list[tuple[str, int, str]]:
    """Return each missed event: the second of the last instant, the number and the cause."""
    return [
        (str(action.data["instant"])[11:19], action.data["count"], action.data["why"])
        for action in found
        if isinstance(action, Event) and action.event is EventName.MISSED
    ]


# -- intervals


def test_an_interval_fires_one_interval_after_it_was_armed_and_repeats() -> None:
    stage = stage_of(every())

    assert fired(stage, 40) == [10, 20, 30, 40]


def test_an_interval_does_not_drift_however_late_and_long_its_runs_are() -> None:
    stage = stage_of(every())
    moments = []

    for lateness in (0.3, 0.9, 0.7, 0.0, 0.5):
        due = stage.lifecycle.next_deadline()
        assert due is not None
        stage.clock.advance_to(due + lateness)
        stage.send(Tick())
        moments.append(due)
        stage.clock.advance(5)
        finish(stage)

    assert moments == [10, 20, 30, 40, 50]


def test_an_interval_that_no_float_can_hold_is_on_time_after_ten_thousand_firings() -> None:
    moments = fired(stage_of(every(0.1)), 1000.05)

    assert len(moments) == 10_000
    assert moments[-1] == pytest.approx(1000, abs=1e-6)


def test_an_immediate_schedule_runs_when_it_is_armed_and_an_interval_later() -> None:
    stage = stage_of(every(immediately=True))

    first = stage.lifecycle.jobs["a"].state
    finish(stage)

    assert first is JobState.RUNNING
    assert fired(stage, 20) == [10, 20]


@pytest.mark.parametrize(("random", "moments"), [(0.0, [10, 20, 30]), (1.0, [14, 24, 34]), (0.5, [12, 22, 32])])
def test_jitter_delays_each_firing_but_not_the_instants(random: float, moments: list[float]) -> None:
    assert fired(stage_of(every(jitter=4.0), random), 35) == moments


def test_jitter_longer_than_the_interval_misses_no_firing_that_is_not_yet_due() -> None:
    stage = stage_of(every(jitter=15.0), random=1.0)

    assert fired(stage, 60) == [25, 35, 45, 55]
    assert stage.lifecycle.jobs["a"].missed == 0


def test_dependencies_come_before_the_delay_and_the_delay_before_the_schedule() -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(make_job("b", manual=True), make_job("a", after=["b"], delay=5, schedule=every()))
    stage.start_all()
    job = stage.lifecycle.jobs["a"]
    waits = [job.waiting_for]

    stage.advance(100)
    stage.run("b")
    waits.append(job.waiting_for)
    stage.advance(5)
    waits.append(job.waiting_for)

    assert waits == [WaitingFor.DEPENDENCY, WaitingFor.DELAY, WaitingFor.FIRING]
    assert fired(stage, 20) == [115, 125]


def test_the_report_has_the_next_firing() -> None:
    stage = HandDrivenCore(VirtualClock(0, 1000))
    stage.add(make_job("a", schedule=every(60)))
    stage.start_all()
    stage.advance(10)

    report = make_job_report(stage.lifecycle, stage.lifecycle.jobs["a"], stage.clock.now())

    assert report.next_firing == 1060


# -- a firing while the job is busy

BUSY = ["running", "stopping", "blocked", "backing off"]


def busy_stage(where: str, overlap: Overlap) -> HandDrivenCore:
    """Return a core whose first run, begun at 10 s, is in this state at the firing at 20 s."""
    stage = stage_of(every(overlap=overlap), daemon=True, within=5.0, restart=RestartPolicy(
        RestartWhen.ON_FAILURE, delay=60.0, max_delay=60.0, jitter=0.0))  # fmt: skip
    stage.advance(10)
    stage.started("a#1")
    stage.advance(1)
    if where == "backing off":
        stage.ended("a#1", How.RAISED)
    elif where != "running":
        stage.stop("a", run="a#1")
    if where == "blocked":
        stage.advance(5)
        stage.stack_captured("a#1")
    elif where == "stopping":
        stage.advance(4)
    return stage


OVERLAPS: dict[tuple[str, Overlap], list[str]] = {
    ("running", Overlap.SKIP): ["missed a"],
    ("running", Overlap.QUEUE): [],
    ("running", Overlap.REPLACE): ["cancel_requested a#1", "CancelRun a#1"],
    ("stopping", Overlap.SKIP): ["missed a"],
    ("stopping", Overlap.QUEUE): [],
    ("stopping", Overlap.REPLACE): [],
    ("blocked", Overlap.SKIP): ["missed a"],
    ("blocked", Overlap.QUEUE): ["missed a"],
    ("blocked", Overlap.REPLACE): ["missed a"],
    ("backing off", Overlap.SKIP): ["queued a#2", "StartRun a#2"],
    ("backing off", Overlap.QUEUE): ["queued a#2", "StartRun a#2"],
    ("backing off", Overlap.REPLACE): ["queued a#2", "StartRun a#2"],
}


@every_case(("where", "overlap"), OVERLAPS, ids=[f"{over.value} {where}" for where, over in OVERLAPS])
def test_a_firing_while_the_job_is_busy(where: str, overlap: Overlap) -> None:
    stage = busy_stage(where, overlap)
    stage.clock.advance_to(20)

    found = stage.send(Tick())

    heard = [
        line for line in show(found) if line.split()[0] not in ("ReportStopProgress", "MarkUrgent", "CaptureStack")
    ]
    assert heard == OVERLAPS[where, overlap]
    why = "blocked" if where == "blocked" else "overlap"
    assert missed(found) == ([("00:00:20", 1, why)] if "missed a" in heard else [])


@pytest.mark.parametrize("overlap", [Overlap.QUEUE, Overlap.REPLACE])
@pytest.mark.parametrize("where", ["running", "stopping"])
def test_a_queued_firing_starts_when_the_run_has_ended_and_at_most_one_is_queued(where: str, overlap: Overlap) -> None:
    stage = busy_stage(where, overlap)
    stage.clock.advance_to(20)
    stage.send(Tick())
    stage.clock.advance_to(30)
    second = missed(stage.send(Tick()))
    ended = finish(stage)

    assert second == [("00:00:30", 1, "overlap")]
    assert show(ended)[-2:] == ["queued a#2", "StartRun a#2"]
    finish(stage)
    assert stage.lifecycle.jobs["a"].runs == 2


def test_a_replaced_run_has_the_reason() -> None:
    stage = busy_stage("running", Overlap.REPLACE)

    found = stage.advance(9)

    reason = event_of(found, EventName.CANCEL_REQUESTED).reason
    assert reason == Reason(ReasonKind.REPLACED, "its schedule fired again")


def test_a_firing_replaces_a_pending_restart_and_is_attempt_1() -> None:
    stage = busy_stage("backing off", Overlap.SKIP)
    stage.advance(9)
    run = stage.lifecycle.jobs["a"].run
    assert run is not None
    stage.started(run.id)
    stage.ended(run.id)

    assert (run.id, run.attempt) == ("a#2", 1)
    assert fired(stage, 60) == [30, 40, 50, 60, 70, 80]
    assert stage.lifecycle.jobs["a"].restarts == 0


def test_a_stop_drops_the_queued_firing_and_disarms_the_schedule() -> None:
    stage = busy_stage("running", Overlap.QUEUE)
    stage.advance(9)
    stage.stop("a")

    found = finish(stage)

    assert show(found) == ["ended a#1 cancelled", "ReleaseRun a#1", "WorkFinished"]
    assert fired(stage, 100) == []
    assert stage.state("a") is JobState.FINISHED


def test_a_job_that_gave_up_still_fires() -> None:
    limited = RestartPolicy(RestartWhen.ON_FAILURE, delay=0.5, jitter=0.0, limit=RestartLimit(1, 60.0))
    stage = stage_of(every(), restart=limited)
    for run in ("a#1", "a#2"):
        stage.advance(10 if run == "a#1" else 0.5)
        stage.started(run)
        found = stage.ended(run, How.RAISED)

    assert event_of(found, EventName.GAVE_UP).run == "a#2"
    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.FIRING
    assert fired(stage, 10) == [20]
    assert not stage.lifecycle.jobs["a"].has_given_up


# -- late: the process was stopped, or its machine was too busy


@pytest.mark.parametrize(("lateness", "runs"), [(0.0, 1), (1.0, 1), (1.001, 0)])
def test_with_missed_skip_an_instant_is_missed_once_it_is_a_second_late(lateness: float, runs: int) -> None:
    stage = stage_of(every(missed=Missed.SKIP))

    found = late(stage, 10 + lateness)

    assert stage.lifecycle.jobs["a"].runs == runs
    assert missed(found) == ([] if runs else [("00:00:10", 1, "late")])
    assert stage.lifecycle.jobs["a"].missed == 1 - runs


@pytest.mark.parametrize(("lateness", "runs"), [(5.0, 1), (30.0, 1), (30.001, 0)])
def test_a_late_instant_runs_within_its_grace(lateness: float, runs: int) -> None:
    stage = stage_of(every(100.0, grace=30.0))

    found = late(stage, 100 + lateness)

    assert stage.lifecycle.jobs["a"].runs == runs
    assert missed(found) == ([] if runs else [("00:01:40", 1, "late")])


def test_of_several_late_instants_the_latest_runs_and_the_others_are_counted_as_missed() -> None:
    stage = stage_of(every())

    found = late(stage, 57)

    assert missed(found) == [("00:00:40", 4, "late")]
    assert show(found) == ["missed a", "queued a#1", "StartRun a#1"]
    assert stage.lifecycle.jobs["a"].missed == 4
    finish(stage)
    assert fired(stage, 13) == [60, 70]


def test_with_missed_skip_none_of_several_late_instants_runs() -> None:
    stage = stage_of(every(missed=Missed.SKIP))

    found = late(stage, 57)

    assert missed(found) == [("00:00:40", 4, "late"), ("00:00:50", 1, "late")]
    assert fired(stage, 13) == [60, 70]


def test_an_instant_that_is_on_time_runs_although_earlier_ones_were_missed() -> None:
    stage = stage_of(every(missed=Missed.SKIP))

    found = late(stage, 50.5)

    assert missed(found) == [("00:00:40", 4, "late")]
    assert stage.state("a") is JobState.RUNNING


def test_late_instants_during_a_run_are_all_missed() -> None:
    stage = stage_of(every())
    stage.advance(10)
    stage.started("a#1")

    found = late(stage, 35)

    assert missed(found) == [("00:00:30", 2, "late"), ("00:00:40", 1, "overlap")]
