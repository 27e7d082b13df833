"""Calendars in the core: clocks that are set, suspends, late ticks, and schedules without further instants."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore, event_of

from taskloom.core.actions import StartRun
from taskloom.core.events import EventName
from taskloom.core.inputs import Tick
from taskloom.core.model import How, JobState, Reason, ReasonKind
from taskloom.core.policies import Calendar, Missed, RestartPolicy, RestartWhen, Schedule
from taskloom.core.records import JobRecord
from taskloom.core.scheduling import COUNTED_INSTANTS
from taskloom.core.wall_clock import CLOCK_SECONDS
from taskloom.testing import VirtualClock, make_job

Instants = Callable[..., Calendar]
MINUTE, HOUR, DAY = 60, 3600, 86400


def stage_of(schedule: Schedule, **policies: Any) -> HandDrivenCore:
    """Return a core at second 0 of both clocks whose job `a` has this schedule and is armed."""
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(make_job("a", schedule=schedule, **policies))
    stage.start_all()
    return stage


def pass_time(stage: HandDrivenCore, seconds: float) -> list[tuple[float, float]]:
    """Let time pass, have each run end at once, and return when runs began: monotonic and wall seconds."""
    end = stage.clock.now().mono + seconds
    moments = []
    while (due := stage.lifecycle.next_deadline()) is not None and due <= end:
        stage.clock.advance_to(due)
        moments += tick(stage)
    stage.clock.advance_to(end)
    return moments


def tick(stage: HandDrivenCore) -> list[tuple[float, float]]:
    moments = []
    now = stage.clock.now()
    for action in stage.send(Tick()):
        if isinstance(action, StartRun):
            moments.append((round(now.mono, 3), round(now.wall, 3)))
            stage.started(action.run)
            stage.ended(action.run)
    return moments


def missed(stage: HandDrivenCore) -> list[tuple[int, str]]:
    """Return the number and the cause of each missed event so far."""
    events = (event for event in stage.history.events if event.event is EventName.MISSED)
    return [(event.data["count"], event.data["why"]) for event in events]


@pytest.fixture
def minutes(instants: Instants) -> Schedule:
    """Every minute of three days."""
    return Schedule(calendar=instants(*range(0, 3 * DAY, MINUTE)))


@pytest.fixture
def days(instants: Instants) -> Schedule:
    """Every day at noon, for thirty years."""
    return Schedule(calendar=instants(*range(DAY // 2, 30 * 365 * DAY, DAY)))


# -- the first instants


def test_a_calendar_fires_at_its_instants_but_not_at_the_one_at_which_it_was_armed(minutes: Schedule) -> None:
    stage = stage_of(minutes)

    assert pass_time(stage, 180) == [(60, 60), (120, 120), (180, 180)]


def test_a_calendar_is_read_on_the_wall_clock_whatever_the_monotonic_clock_shows(instants: Instants) -> None:
    stage = HandDrivenCore(VirtualClock(5000, 30))
    stage.add(make_job("a", schedule=Schedule(calendar=instants(0, 60, 120))))
    stage.start_all()

    assert pass_time(stage, 100) == [(5030, 60), (5090, 120)]


def test_arming_again_after_a_stop_sets_the_next_instant_from_then(minutes: Schedule) -> None:
    stage = stage_of(minutes)
    pass_time(stage, 130)

    stage.stop("a")
    stopped = pass_time(stage, 600)
    stage.arm("a")

    assert stopped == []
    assert pass_time(stage, 60) == [(780, 780)]


def test_the_clock_is_not_checked_while_no_calendar_is_armed(minutes: Schedule) -> None:
    stage = stage_of(minutes)
    due = [stage.lifecycle.next_deadline()]

    stage.stop("a")
    pass_time(stage, 60)
    due.append(stage.lifecycle.next_deadline())
    stage.arm("a")
    due.append(stage.lifecycle.next_deadline())

    assert due == [CLOCK_SECONDS, None, 60 + CLOCK_SECONDS]


def test_nothing_is_kept_of_removed_jobs(minutes: Schedule) -> None:
    stage = stage_of(minutes)
    kept = make_job("a", schedule=minutes)
    for number in range(3):
        stage.reload(kept, make_job(f"gone{number}", schedule=minutes))
        pass_time(stage, MINUTE)
    stage.reload(kept)
    pass_time(stage, 2 * MINUTE)
    gc.collect()

    records = [record.spec.name for record in gc.get_objects() if isinstance(record, JobRecord)]

    assert [name for name in records if name.startswith("gone")] == []


# -- the clock is set forward


def test_a_step_of_an_hour_forward_runs_the_latest_instant_and_counts_the_others_as_missed(minutes: Schedule) -> None:
    stage = stage_of(minutes)
    pass_time(stage, 31)

    stage.clock.step_wall(HOUR)
    moments = pass_time(stage, 134)

    assert moments == [(45, 3645), (60, 3660), (120, 3720)]
    assert missed(stage) == [(59, "late")]


@pytest.mark.parametrize(("step", "count"), [(DAY, 1440 - 1), (2 * DAY, COUNTED_INSTANTS)])
def test_a_step_of_a_day_forward_runs_once(minutes: Schedule, step: int, count: int) -> None:
    stage = stage_of(minutes)
    pass_time(stage, 31)

    stage.clock.step_wall(step)
    moments = pass_time(stage, 20)

    assert moments == [(45, 45 + step)]
    assert missed(stage) == [(min(count, COUNTED_INSTANTS), "late")]


def test_a_step_of_ten_years_forward_runs_nothing_older_than_the_grace(days: Schedule) -> None:
    stage = stage_of(days)

    stage.clock.step_wall(3650 * DAY)
    moments = pass_time(stage, DAY)

    assert moments == [(DAY / 2, 3650.5 * DAY)]
    assert missed(stage) == [(COUNTED_INSTANTS, "late"), (1, "late")]


@pytest.mark.parametrize(("late", "runs"), [(HOUR - 1, True), (HOUR, True), (HOUR + 1, False)])
def test_the_grace_is_counted_on_the_wall_clock(days: Schedule, late: int, runs: bool) -> None:
    stage = stage_of(days)

    stage.clock.step_wall(DAY / 2 + late - CLOCK_SECONDS)
    moments = pass_time(stage, CLOCK_SECONDS)

    assert moments == ([(CLOCK_SECONDS, DAY / 2 + late)] if runs else [])


def test_a_suspend_is_a_step_forward_for_calendars_and_no_time_for_intervals(minutes: Schedule) -> None:
    """The monotonic clock stops while the machine sleeps."""
    stage = stage_of(minutes)
    stage.add(make_job("every", schedule=Schedule(every=60.0)))
    stage.arm("every")
    pass_time(stage, 61)

    stage.clock.step_wall(8 * HOUR)
    moments = pass_time(stage, 60)

    assert [mono for mono, _ in moments] == [75, 120, 120]
    assert stage.lifecycle.jobs["every"].missed == 0
    assert stage.lifecycle.jobs["a"].missed == 8 * 60 - 1


# -- the clock is set back


def walls_of(moments: Sequence[tuple[float, float]]) -> list[float]:
    return [wall for _, wall in moments]


@pytest.mark.parametrize("back", [10 * MINUTE, HOUR, 2 * HOUR + 59 * MINUTE, 3 * HOUR])
def test_a_step_back_of_up_to_three_hours_runs_no_instant_twice_and_misses_none(minutes: Schedule, back: int) -> None:
    stage = stage_of(minutes)
    before = pass_time(stage, 4 * HOUR + 1)

    stage.clock.step_wall(-back)
    again = pass_time(stage, back)
    after = pass_time(stage, HOUR)

    assert len(before) == 240
    assert again == []
    assert walls_of(after) == [4 * HOUR + MINUTE * number for number in range(1, 61)]
    assert missed(stage) == []


def test_a_longer_step_back_is_a_correction_after_which_the_new_time_counts(minutes: Schedule) -> None:
    stage = stage_of(minutes)
    pass_time(stage, 4 * HOUR + 1)

    stage.clock.step_wall(-(3 * HOUR + MINUTE))
    again = pass_time(stage, 5 * MINUTE)

    assert walls_of(again) == [HOUR - MINUTE + MINUTE * number for number in range(1, 6)]
    assert missed(stage) == []


@pytest.mark.parametrize("back", [0.5, 30])
def test_a_clock_that_is_set_back_just_before_an_instant_delays_the_firing(minutes: Schedule, back: float) -> None:
    stage = stage_of(minutes)
    pass_time(stage, 59)

    stage.clock.step_wall(-back)
    moments = pass_time(stage, 91)

    assert moments == [(60 + back, 60), (120 + back, 120)]


def test_after_a_clock_that_was_wrong_by_days_is_corrected_firings_continue_from_the_right_time(
    minutes: Schedule,
) -> None:
    stage = stage_of(minutes)
    pass_time(stage, 59)

    stage.clock.step_wall(2 * DAY)
    wrong = pass_time(stage, 65)
    stage.clock.step_wall(-2 * DAY)
    right = pass_time(stage, 120)

    assert walls_of(wrong) == [2 * DAY + 60, 2 * DAY + 120]
    assert right == [(180, 180), (240, 240)]


@pytest.mark.parametrize("slew", [0.04, -0.04])
def test_a_clock_that_is_slewed_for_hours_fires_once_a_minute_and_never_twice(minutes: Schedule, slew: float) -> None:
    stage = stage_of(minutes)
    moments = []

    for _ in range(2 * HOUR // 15):
        stage.clock.step_wall(slew)
        moments += pass_time(stage, 15)

    instants = [round(wall / MINUTE) for wall in walls_of(moments)]
    assert instants == list(range(1, len(instants) + 1))
    # Calendars are adjusted to a step of 0.1 s, and the clock is checked every 15 s.
    assert all(abs(wall - MINUTE * round(wall / MINUTE)) < 0.2 for wall in walls_of(moments))
    assert len(instants) >= 119


# -- late ticks, jitter


def test_a_process_that_was_suspended_runs_one_missed_instant(minutes: Schedule) -> None:
    stage = stage_of(minutes)
    stage.clock.advance(10 * MINUTE + 30)

    moments = tick(stage)

    assert moments == [(630, 630)]
    assert missed(stage) == [(9, "late")]
    assert pass_time(stage, 30) == [(660, 660)]


def test_the_event_has_the_last_missed_instant(minutes: Schedule) -> None:
    stage = stage_of(minutes)
    stage.clock.advance(10 * MINUTE + 30)

    found = stage.send(Tick())

    missed = event_of(found, EventName.MISSED)
    assert missed.data == {"instant": "1970-01-01T00:09:00.000000Z", "count": 9, "why": "late"}


def test_jitter_delays_a_calendar_firing_but_not_its_instants(instants: Instants) -> None:
    calendar = instants(*range(0, DAY, MINUTE))
    stage = stage_of(Schedule(calendar=calendar, jitter=20.0))

    moments = pass_time(stage, HOUR)

    delays = [wall % MINUTE for wall in walls_of(moments)]
    assert [int(wall // MINUTE) for wall in walls_of(moments)][:58] == list(range(1, 59))
    assert all(0 <= delay <= 20 for delay in delays)
    assert len(set(delays)) > 50


# -- a calendar without further instants


def test_after_its_last_instant_a_job_is_finished(instants: Instants) -> None:
    stage = stage_of(Schedule(calendar=instants(10, 20)))

    moments = walls_of(pass_time(stage, 3600))

    assert moments == [10, 20]
    assert stage.state("a") is JobState.FINISHED
    assert stage.lifecycle.is_work_over


def test_a_calendar_without_further_instants_finishes_the_job_at_once(instants: Instants) -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(make_job("a", schedule=Schedule(calendar=instants(-5.0))))

    found = stage.start_all()

    skipped = event_of(found, EventName.SKIPPED)
    assert skipped.reason == Reason(ReasonKind.FINISHED, "its schedule has no further firings")
    assert stage.state("a") is JobState.FINISHED
    assert stage.lifecycle.is_work_over


def test_a_calendar_without_instants_runs_once_if_it_is_immediate(instants: Instants) -> None:
    stage = stage_of(Schedule(calendar=instants(), immediately=True))

    stage.started("a#1")
    stage.ended("a#1")

    assert (stage.state("a"), stage.lifecycle.jobs["a"].runs) == (JobState.FINISHED, 1)


@pytest.mark.parametrize("policies", [{"missed": Missed.SKIP}, {"grace": 5.0}])
def test_a_job_whose_last_instant_was_missed_is_finished(instants: Instants, policies: dict[str, Any]) -> None:
    stage = stage_of(Schedule(calendar=instants(10), **policies))

    stage.clock.advance(100)
    moments = tick(stage)

    assert (moments, missed(stage)) == ([], [(1, "late")])
    assert stage.state("a") is JobState.FINISHED
    assert stage.lifecycle.is_work_over


def test_dependents_of_a_job_whose_last_instant_was_missed_are_updated(instants: Instants) -> None:
    stage = stage_of(Schedule(calendar=instants(10), missed=Missed.SKIP))
    stage.add(make_job("b", after=["a"]))
    stage.arm("b")

    stage.clock.advance(100)
    tick(stage)

    assert stage.state("b") is JobState.SKIPPED
    reason = stage.lifecycle.jobs["b"].reason
    assert reason is not None
    assert reason.text == "job 'a' is finished, and was to be ready"


def test_a_restart_still_follows_the_last_instant(instants: Instants) -> None:
    stage = stage_of(Schedule(calendar=instants(10)), restart=RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0))
    stage.advance(10)
    stage.started("a#1")
    stage.ended("a#1", How.RAISED)

    stage.advance(0.5)
    stage.started("a#2")
    stage.ended("a#2")

    assert (stage.state("a"), stage.lifecycle.jobs["a"].runs) == (JobState.FINISHED, 2)
