"""`missed: catch-up` over several starts of a program: which instants are made up for, once, and which are missed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.fake_calendar import FakeCalendar
from tests.support.remembering_program import RememberingProgram, events_of, told

from taskloom.calendars import at_calendar, cron_calendar
from taskloom.core import inputs
from taskloom.core.events import EventName
from taskloom.core.model import Hold, JobSpec, JobState, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import HELD_BACK_SECONDS, Missed, Overlap, Schedule
from taskloom.testing import make_job

HOUR, DAY = 3600.0, 86400.0
HOURLY = Schedule(calendar=FakeCalendar(0.0, HOUR), text="hourly", missed=Missed.CATCH_UP, grace=2 * HOUR)


def job(schedule: Schedule = HOURLY, **policies: Any) -> JobSpec:
    return make_job("a", schedule=schedule, **policies)


def program(*specs: JobSpec, wall: float = HOUR / 2) -> RememberingProgram:
    """Return a program in its first start, at half past midnight."""
    return RememberingProgram(*(specs or (job(),)), wall=wall)


# -- what is made up for


def test_the_latest_instant_that_passed_while_the_program_was_down_is_made_up_for_and_the_others_are_missed() -> None:
    host = program()
    host.advance(HOUR)

    host.restart_after(3 * HOUR)
    host.advance(HOUR)

    assert told(host.stage) == [
        "missed 2 until 03:00:00 down", "record 04:00:00", "run 04:00:00 made_up", "record 05:00:00", "run 05:00:00",
    ]  # fmt: skip


def test_an_instant_is_made_up_for_once_however_often_the_program_is_started() -> None:
    host = program()
    for _ in range(3):
        host.restart_after(HOUR)
        host.advance(60)
        host.restart_after(60)
        host.advance(60)

        assert told(host.stage) == []


def test_an_instant_older_than_grace_is_missed() -> None:
    host = program(job(replace(HOURLY, grace=600.0)))

    host.restart_after(HOUR)
    host.advance(60)

    assert told(host.stage) == ["missed 1 until 01:00:00 down"]
    assert host.stage.state("a") is JobState.WAITING


def test_nothing_is_made_up_for_in_the_first_start_and_if_no_instant_has_passed() -> None:
    host = program()
    host.advance(60)
    first = told(host.stage)

    host.restart_after(600)
    host.advance(60)

    assert [first, told(host.stage)] == [[], []]


def test_an_instant_that_passed_just_now_is_the_programs_own_if_it_comes_after_its_start() -> None:
    host = program()
    host.restart_after(HOUR / 2 - 1)

    host.advance(2)

    assert told(host.stage) == ["record 01:00:00", "run 01:00:00"]


def test_a_schedule_that_does_not_catch_up_makes_up_for_nothing() -> None:
    host = program(job(replace(HOURLY, missed=Missed.ONCE)))

    host.restart_after(3 * HOUR)
    host.advance(60)

    assert told(host.stage) == []


def test_a_made_up_firing_has_no_jitter() -> None:
    host = program(job(replace(HOURLY, jitter=1800.0)))

    host.restart_after(HOUR)

    assert told(host.stage) == ["record 01:00:00"]
    assert host.stage.clock.now().mono == 0.0


# -- single instants


def at(text: str, **options: Any) -> JobSpec:
    calendar = at_calendar(text, "UTC")
    return job(Schedule(calendar=calendar, text=f"at {text}", missed=Missed.CATCH_UP, **options))


def test_an_at_that_passed_while_the_program_was_down_is_made_up_for_and_the_job_ends() -> None:
    host = program(at("1970-01-01 02:00:00.123457"))

    host.restart_after(2 * HOUR)
    host.advance(60)
    first, state = told(host.stage), host.stage.state("a")
    host.restart_after(60)
    host.advance(60)

    assert first == ["record 02:00:00", "run 02:00:00 made_up"]
    assert state is JobState.FINISHED
    assert told(host.stage) == []
    assert [event.reason.text for event in events_of(host.stage, EventName.SKIPPED) if event.reason] == [
        "its schedule has no further firings"
    ]


def test_an_at_that_is_too_old_is_missed_and_the_job_ends() -> None:
    host = program(at("1970-01-01 02:00", grace=60.0))

    host.restart_after(2 * HOUR)

    assert told(host.stage) == ["missed 1 until 02:00:00 down"]
    assert host.stage.state("a") is JobState.FINISHED


def test_an_at_before_the_job_was_declared_is_not_made_up_for() -> None:
    host = program(at("1970-01-01 00:10"))

    host.restart_after(60)

    assert told(host.stage) == []


# -- intervals


def test_an_interval_goes_on_from_the_last_instant() -> None:
    host = program(job(Schedule(every=HOUR, missed=Missed.CATCH_UP)))
    host.advance(HOUR + 60)

    host.restart_after(600)
    host.advance(HOUR)

    assert told(host.stage) == ["record 02:30:00", "run 02:30:00"]


def test_an_interval_that_passed_is_due_at_once_and_the_older_ones_are_missed() -> None:
    host = program(job(Schedule(every=HOUR, missed=Missed.CATCH_UP)))
    host.advance(HOUR + 60)

    host.restart_after(2 * HOUR)
    host.advance(HOUR)

    assert told(host.stage) == [
        "missed 1 until 02:30:00 down", "record 03:30:00", "run 03:30:00 made_up", "record 04:30:00", "run 04:30:00",
    ]  # fmt: skip


def test_an_interval_older_than_grace_is_missed_and_goes_on_in_its_rhythm() -> None:
    host = program(job(Schedule(every=DAY, missed=Missed.CATCH_UP, grace=60.0)))

    host.restart_after(DAY + HOUR)
    host.advance(DAY)

    assert told(host.stage) == ["missed 1 until 00:30:00 down", "record 00:30:00", "run 00:30:00"]


def test_an_interval_after_the_clock_was_set_back_does_not_wait_for_the_old_time() -> None:
    host = program(job(Schedule(every=600.0, missed=Missed.CATCH_UP)), wall=DAY)
    host.advance(700)

    host.restart_after(-DAY / 2)
    host.advance(600)

    assert len(told(host.stage)) == 2


# -- together with other policies


def test_a_made_up_firing_and_the_immediate_run_are_one_run() -> None:
    host = program(job(replace(HOURLY, immediately=True)))
    host.advance(60)

    host.restart_after(HOUR)
    host.advance(60)
    made_up = told(host.stage)
    host.restart_after(60)
    host.advance(60)

    assert made_up == ["record 01:00:00", "run 01:00:00 made_up"]
    assert told(host.stage) == ["run now"]


def test_the_immediate_run_comes_if_the_instant_is_too_old() -> None:
    host = program(job(replace(HOURLY, immediately=True, grace=60.0)))

    host.restart_after(HOUR)

    assert told(host.stage) == ["missed 1 until 01:00:00 down", "run now"]


def test_a_made_up_firing_waits_for_the_dependencies_and_the_start_delay() -> None:
    db = make_job("db")
    host = program(db, job(after=["db"], delay=5.0))

    host.restart_after(HOUR)
    before = told(host.stage)
    host.stage.started("db#1")
    host.stage.advance(5)

    assert before == ["run now"]
    assert told(host.stage) == ["run now", "record 01:00:00"]


def test_an_instant_that_passes_during_that_wait_is_the_one_that_is_made_up_for() -> None:
    host = program(make_job("db"), job(after=["db"]))

    host.restart_after(HOUR)
    host.stage.advance(HOUR)
    host.stage.started("db#1")

    assert told(host.stage) == ["run now", "missed 1 until 01:00:00 down", "record 02:00:00"]


def test_a_pause_survives_and_the_instants_are_missed_because_of_it() -> None:
    host = program()
    host.stage.pause("a")

    host.restart_after(3 * HOUR)
    record = host.stage.lifecycle.jobs["a"]
    host.advance(60)

    assert told(host.stage) == ["missed 3 until 03:00:00 paused"]
    assert record.holds == {Hold.PAUSED: Reason(ReasonKind.USER, "maintenance")}
    assert record.hold_beginnings[Hold.PAUSED].at == (-3 * HOUR, HOUR / 2)
    assert events_of(host.stage, EventName.PAUSED) == []


def test_a_pause_that_was_resumed_does_not_come_back() -> None:
    host = program()
    host.stage.pause("a")
    host.restart_after(60)
    host.stage.resume("a")

    host.restart_after(60)

    assert not host.stage.lifecycle.jobs["a"].holds


def test_a_user_who_starts_the_job_before_its_schedule_is_armed_takes_the_place_of_the_made_up_run() -> None:
    host = program(make_job("db"), job(after=["db"]))

    host.restart_after(2 * HOUR)
    host.stage.start("a")

    assert told(host.stage) == ["run now", "run now", "missed 2 until 02:00:00 down"]


def test_a_job_that_a_user_stopped_makes_up_for_nothing_after_that() -> None:
    host = program()
    host.advance(HOUR)
    host.stage.stop("a")
    host.advance(3 * HOUR)

    host.restart_after(60)
    first = told(host.stage)
    host.advance(60)
    host.restart_after(HOUR)

    # The program has started it again, and the schedule makes up for what came since.
    assert [first, told(host.stage)] == [[], ["record 05:00:00"]]


def test_a_stop_of_a_running_job_by_a_user_makes_up_for_nothing_either() -> None:
    host = program(job(replace(HOURLY, immediately=True)))
    host.stage.started("a#1")
    host.stage.stop("a")
    host.stage.ended("a#1")
    host.stage.advance(3 * HOUR)

    host.restart_after(60)

    assert told(host.stage) == ["run now"]


def test_a_stop_of_the_program_does_not_count_as_one_of_the_job() -> None:
    host = program()
    host.stage.shutdown()

    host.restart_after(HOUR)

    assert told(host.stage) == ["record 01:00:00"]


def test_a_manual_job_makes_up_for_nothing() -> None:
    host = program(job(manual=True))
    host.stage.start("a")

    host.restart_after(3 * HOUR)
    host.stage.start("a")

    assert told(host.stage) == ["run now"]


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"task": "other"}, id="task"),
        pytest.param({"params": {"text": "hello"}}, id="params"),
        pytest.param({"schedule": replace(HOURLY, calendar=FakeCalendar(0.0, HOUR / 2))}, id="schedule"),
        pytest.param({"enabled": False}, id="enabled"),
    ],
)
def test_a_job_with_another_declaration_forgets_its_last_firing(changed: dict[str, Any]) -> None:
    host = program(replace(job(), **changed))

    host.kill()
    host.wall += 3 * HOUR
    host.specs = (job(),)
    host.start()

    assert told(host.stage) == []


def test_a_job_with_other_policies_remembers_its_last_firing() -> None:
    host = program()

    host.kill()
    host.wall += HOUR
    host.specs = (job(timeout=60.0, description="now with a timeout"),)
    host.start()

    assert told(host.stage) == ["record 01:00:00"]


def test_a_reload_that_changes_the_schedule_forgets_the_last_firing() -> None:
    host = program(make_job("db"), job(after=["db"]))
    host.restart_after(HOUR)

    host.specs = (host.specs[0], job(replace(HOURLY, grace=HOUR), after=["db"]))
    host.stage.send(inputs.Reload(host.specs, memory=host.recollection()))
    host.stage.started("db#1")
    in_this_start = told(host.stage)
    host.restart_after(60)
    host.stage.started("db#1")

    assert in_this_start == ["run now"]
    assert told(host.stage) == ["run now"]


def test_a_job_that_a_reload_declares_again_remembers() -> None:
    host = program()
    host.kill()
    host.wall += HOUR
    specs, host.specs = host.specs, ()
    host.start()

    host.specs = specs
    host.stage.send(inputs.Reload(specs, memory=host.recollection()))

    assert told(host.stage) == ["record 01:00:00"]


def test_a_job_that_was_removed_remembers_nothing() -> None:
    host = program()
    host.stage.reload()
    host.kill()

    assert host.remembered == {}


def test_each_replica_remembers_for_itself() -> None:
    specs = job(replicas=2).replicated()
    host = program(*specs)
    host.stage.pause("a.2")

    host.restart_after(HOUR)

    assert told(host.stage) == ["record 01:00:00", "missed 1 until 01:00:00 paused"]


# -- the wall clock


def test_no_instant_starts_a_second_run_after_the_clock_was_set_back_between_two_starts() -> None:
    host = program()
    host.advance(2 * HOUR)

    host.restart_after(-HOUR)
    host.advance(HOUR / 2 + 60)
    early = told(host.stage)
    host.advance(HOUR)

    assert early == []
    assert told(host.stage) == ["record 03:00:00", "run 03:00:00"]


def test_nor_if_it_is_stopped_and_started_meanwhile_or_the_clock_is_set_again() -> None:
    host = program()
    host.advance(2 * HOUR)
    host.restart_after(-HOUR)

    host.stage.stop("a")
    host.stage.arm("a")
    host.advance(60)
    host.stage.clock.step_wall(-600)
    host.advance(1500)

    assert [line for line in told(host.stage) if "02:00" in line or "01:00" in line] == []


def test_a_correction_by_more_than_three_hours_makes_the_schedule_follow_the_new_time() -> None:
    host = program(wall=DAY)
    host.advance(2 * HOUR)

    host.restart_after(-2 * HELD_BACK_SECONDS)
    host.advance(HOUR)
    first = told(host.stage)
    host.restart_after(HOUR)

    assert first == ["record 21:00:00", "run 21:00:00"]
    assert told(host.stage) == ["record 22:00:00"]


def test_a_calendar_with_wildcards_is_held_back_too() -> None:
    calendar = cron_calendar("*/10 * * * *", "UTC")
    host = program(job(Schedule(calendar=calendar, text="cron", missed=Missed.CATCH_UP)))
    host.advance(HOUR)

    host.stage.clock.step_wall(-1800)
    host.advance(1860)

    assert len(told(host.stage)) == len(set(told(host.stage)))


@pytest.mark.parametrize(
    "began, down", [("2026-03-28 12:00", 24 * HOUR), ("2026-10-24 12:00", 24 * HOUR)], ids=["spring", "autumn"]
)
def test_a_daily_instant_is_made_up_for_once_over_a_change_of_the_clocks(began: str, down: float) -> None:
    calendar = cron_calendar("30 2 * * *", "Europe/Berlin")
    wall = at_calendar(began, "Europe/Berlin").instant
    host = program(job(Schedule(calendar=calendar, text="cron", missed=Missed.CATCH_UP, grace=DAY)), wall=wall)

    host.restart_after(down)
    host.advance(60)
    host.restart_after(60)
    again = told(host.stage)

    assert again == []
    assert host.remembered["a"].last_instant == calendar.latest(host.now)


# -- the record


def test_a_run_starts_when_its_instant_is_recorded() -> None:
    host = program()
    host.stage.advance(HOUR / 2)
    waiting = host.stage.lifecycle.jobs["a"].waiting_for

    host.stage.recorded("a")

    assert waiting is WaitingFor.RECORD
    assert told(host.stage) == ["record 01:00:00", "run 01:00:00"]


@pytest.mark.parametrize("is_answered", [True, False], ids=["failed", "never"])
def test_a_run_whose_instant_is_not_recorded_starts_and_is_marked(is_answered: bool) -> None:
    host = program()
    host.stage.advance(HOUR / 2)

    if is_answered:
        host.stage.recorded("a", is_recorded=False)
    else:
        host.stage.advance(0.999)
        assert host.stage.state("a") is JobState.WAITING
        host.stage.advance(0.001)

    assert told(host.stage) == ["record 01:00:00", "run 01:00:00 unrecorded"]


def test_an_answer_that_comes_late_or_again_or_for_a_job_that_is_gone_is_dropped() -> None:
    host = program()
    host.stage.advance(HOUR / 2)
    host.stage.recorded("a")

    host.stage.send(inputs.InstantRecorded("a", HOUR, is_recorded=True))
    host.stage.advance(5)
    host.stage.send(inputs.InstantRecorded("gone", HOUR, is_recorded=True))

    assert told(host.stage) == ["record 01:00:00", "run 01:00:00"]


@pytest.mark.parametrize("is_whole", [True, False], ids=["program", "job"])
def test_a_stop_during_the_wait_starts_no_run_and_the_instant_is_missed(is_whole: bool) -> None:
    host = program()
    host.stage.advance(HOUR / 2)

    if is_whole:
        host.stage.shutdown()
    else:
        host.stage.stop("a")
    host.stage.send(inputs.InstantRecorded("a", HOUR, is_recorded=True))
    stopped = told(host.stage)
    host.restart_after(60)

    assert stopped == ["record 01:00:00", "missed 1 until 01:00:00 stopping"]
    assert told(host.stage) == []


def test_a_start_by_a_user_during_the_wait_takes_the_place_of_the_run() -> None:
    host = program()
    host.stage.advance(HOUR / 2)

    host.stage.start("a")
    host.stage.send(inputs.InstantRecorded("a", HOUR, is_recorded=True))

    assert told(host.stage) == ["record 01:00:00", "missed 1 until 01:00:00 overlap", "run now"]


def test_a_pause_during_the_wait_misses_the_instant() -> None:
    host = program()
    host.stage.advance(HOUR / 2)

    host.stage.pause("a")

    assert told(host.stage) == ["record 01:00:00", "missed 1 until 01:00:00 paused"]
    assert host.stage.lifecycle.jobs["a"].waiting_for is WaitingFor.FIRING


def test_a_pause_during_the_wait_for_the_only_instant_ends_the_job() -> None:
    host = program(at("1970-01-01 01:00"))
    host.stage.advance(HOUR / 2)

    host.stage.pause("a")

    assert host.stage.state("a") is JobState.SKIPPED or host.stage.state("a") is JobState.FINISHED


def test_a_reload_without_the_schedule_during_the_wait_misses_the_instant() -> None:
    host = program()
    host.stage.advance(HOUR / 2)

    host.stage.reload(make_job("a"))

    assert told(host.stage) == ["record 01:00:00", "missed 1 until 01:00:00 stopping"]


def test_a_reload_with_other_params_during_the_wait_applies_to_the_run() -> None:
    host = program()
    host.stage.advance(HOUR / 2)

    host.stage.reload(job(params={"text": "new"}))
    host.stage.recorded("a")

    run = host.stage.lifecycle.jobs["a"].run
    assert run is not None
    assert run.spec.params == {"text": "new"}


def test_an_instant_that_comes_during_the_wait_is_missed_but_the_one_before_it_counts_after_a_crash() -> None:
    host = program(job(Schedule(every=0.5, missed=Missed.CATCH_UP)))
    host.stage.advance(1.2)
    seen = told(host.stage)

    host.kill()
    host.wall += 60
    host.start()

    assert seen == ["record 00:30:00", "missed 1 until 00:30:01 overlap"]
    assert told(host.stage)[-1].startswith("record ")


@pytest.mark.parametrize("overlap", [Overlap.QUEUE, Overlap.REPLACE])
def test_a_firing_that_waited_for_the_end_of_a_run_is_made_up_for_after_a_crash(overlap: Overlap) -> None:
    host = program(job(replace(HOURLY, overlap=overlap)))
    host.stage.start("a")
    host.stage.started("a#1")
    host.stage.advance(HOUR)
    before = told(host.stage)

    host.restart_after(60)

    assert before == ["run now"]
    assert told(host.stage) == ["record 01:00:00"]


def test_an_instant_that_was_missed_while_an_earlier_one_waited_is_not_made_up_for() -> None:
    """It is the last one as soon as the run of the earlier one has started."""
    host = program(job(replace(HOURLY, overlap=Overlap.QUEUE)))
    host.stage.start("a")
    host.stage.started("a#1")
    host.stage.advance(3 * HOUR)
    host.stage.ended("a#1")
    host.commit("a", HOUR)
    host.stage.recorded("a")
    before = told(host.stage)

    host.restart_after(60)
    host.advance(1)

    assert before[-2:] == ["record 01:00:00", "run 01:00:00"]
    assert before[1:3] == ["missed 1 until 02:00:00 overlap", "missed 1 until 03:00:00 overlap"]
    assert told(host.stage) == []


def test_a_firing_that_waited_for_the_end_of_a_run_is_recorded_then() -> None:
    host = program(job(replace(HOURLY, overlap=Overlap.QUEUE)))
    host.stage.start("a")
    host.stage.started("a#1")
    host.stage.advance(HOUR)

    host.stage.ended("a#1")
    host.stage.recorded("a")

    assert told(host.stage) == ["run now", "record 01:00:00", "run 01:00:00"]
