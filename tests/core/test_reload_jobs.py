"""Reload: jobs that are added, removed, enabled or disabled, and changes of their schedules and dependencies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore, event_of, show

from taskloom.core.actions import ForgetJob
from taskloom.core.events import EventName
from taskloom.core.model import How, JobState, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import Calendar, Overlap, RestartPolicy, RestartWhen, Schedule
from taskloom.errors import JobDisabled
from taskloom.testing import VirtualClock, make_job

ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0)
JOB = make_job("a", daemon=True, within=1.0, restart=ON_FAILURE)


def started(**policies: Any) -> HandDrivenCore:
    """Return a core at second 0 in which `a` was started with all jobs."""
    stage = HandDrivenCore(VirtualClock(0, 0))
    usual: dict[str, Any] = {"daemon": True, "within": 1.0, "restart": ON_FAILURE}
    stage.add(make_job("a", **usual | policies))
    stage.start_all()
    return stage


def running(**policies: Any) -> HandDrivenCore:
    stage = started(**policies)
    stage.started("a#1")
    return stage


def backing_off(**policies: Any) -> HandDrivenCore:
    stage = running(**policies)
    stage.ended("a#1", How.RAISED)
    return stage


def finished(**policies: Any) -> HandDrivenCore:
    stage = running(**policies)
    stage.ended("a#1")
    return stage


def blocked() -> HandDrivenCore:
    stage = running()
    stage.stop("a")
    stage.advance(1)
    stage.stack_captured("a#1")
    return stage


AT_REST: dict[str, Callable[[], HandDrivenCore]] = {
    "declared": lambda: started(manual=True),
    "waiting for its delay": lambda: started(delay=5.0),
    "waiting for its firing": lambda: started(schedule=Schedule(every=5.0)),
    "backing off": backing_off,
    "finished": finished,
}


# -- removal


def test_a_running_job_that_is_removed_is_stopped_first() -> None:
    stage = running()

    found = stage.reload()
    ended = stage.ended("a#1")

    assert event_of(found, EventName.CANCEL_REQUESTED).reason == Reason(ReasonKind.RELOAD, "no longer declared")
    assert show(ended) == ["ended a#1 cancelled", "ReleaseRun a#1", "job_removed a", "ForgetJob a", "WorkFinished"]
    assert stage.lifecycle.jobs == {}


def test_a_blocked_job_is_removed_when_its_thread_exits() -> None:
    stage = blocked()
    stage.reload()

    assert list(stage.lifecycle.jobs) == ["a"]
    assert show(stage.ended("a#1")) == ["late_exit a#1", "ReleaseRun a#1", "job_removed a", "ForgetJob a"]


@pytest.mark.parametrize("word", ["stop", "cancel", "restart"])
def test_a_job_that_a_reload_removed_is_removed_whatever_a_user_commands_meanwhile(word: str) -> None:
    stage = running()
    stage.reload()

    if word == "restart":
        stage.restart("a")
    else:
        stage.stop("a", run="a#1" if word == "cancel" else None)

    assert "job_removed a" in show(stage.ended("a#1"))


@pytest.mark.parametrize("where", AT_REST)
def test_a_job_without_a_run_is_removed_at_once(where: str) -> None:
    stage = AT_REST[where]()

    found = stage.reload()

    assert ForgetJob("a") in found
    assert "a" not in stage.lifecycle.jobs
    assert stage.advance(3600) == []


def test_a_removed_name_can_be_added_again_and_the_names_of_runs_stay_unique() -> None:
    stage = finished()
    stage.reload()

    found = stage.reload(JOB)

    assert show(found) == ["reloaded", "job_added a", "queued a#2", "StartRun a#2"]


# -- enabling and disabling


def test_a_disabled_job_is_stopped_and_refuses_to_start() -> None:
    stage = running()

    found = stage.reload(replace(JOB, enabled=False))
    stage.ended("a#1")

    assert event_of(found, EventName.CANCEL_REQUESTED).reason == Reason(ReasonKind.RELOAD, "it was disabled")
    assert stage.state("a") is JobState.DISABLED
    with pytest.raises(JobDisabled):
        stage.start("a")


@pytest.mark.parametrize("where", AT_REST)
def test_a_job_without_a_run_is_disabled_at_once(where: str) -> None:
    stage = AT_REST[where]()

    stage.reload(replace(stage.lifecycle.jobs["a"].spec, enabled=False))

    assert stage.state("a") is JobState.DISABLED
    assert stage.advance(3600) == []


@pytest.mark.parametrize(("manual", "state"), [(False, JobState.RUNNING), (True, JobState.WAITING)])
def test_a_job_that_is_enabled_starts_by_its_own_declaration(manual: bool, state: JobState) -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", enabled=False, manual=manual))
    stage.start_all()

    stage.reload(make_job("a", manual=manual))

    assert stage.state("a") is state


def test_enabling_starts_nothing_before_the_scheduler_has_started() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", enabled=False))

    stage.reload(make_job("a"))

    assert (stage.state("a"), stage.lifecycle.jobs["a"].waiting_for) == (JobState.WAITING, WaitingFor.START)


# -- schedules


EVERY, OFTEN = Schedule(every=10.0), Schedule(every=3.0)


def queued_at(stage: HandDrivenCore, seconds: float) -> list[float]:
    """Let time pass, have each run succeed at once, and return when runs were queued."""
    end, moments = stage.clock.now().mono + seconds, []
    while (due := stage.lifecycle.next_deadline()) is not None and due <= end:
        found = stage.advance(due - stage.clock.now().mono)
        for line in show(found):
            if line.startswith("StartRun"):
                moments.append(due)
                stage.started(line.split()[1])
                stage.ended(line.split()[1])
    stage.clock.advance_to(end)
    return moments


@pytest.mark.parametrize(
    ("make", "moments"),
    [(running, []), (backing_off, [0.5]), (finished, [])],
    ids=["running", "backing off", "finished"],
)
def test_a_schedule_that_is_added_counts_from_the_reload(
    make: Callable[[], HandDrivenCore], moments: list[float]
) -> None:
    stage = make()
    new = replace(stage.lifecycle.jobs["a"].spec, schedule=EVERY)

    stage.reload(new)
    if stage.lifecycle.jobs["a"].run is not None:
        stage.ended("a#1")

    assert queued_at(stage, 25) == [*moments, 10, 20]


def test_a_changed_schedule_counts_from_the_reload() -> None:
    stage = started(schedule=EVERY)
    stage.advance(9)

    stage.reload(replace(stage.lifecycle.jobs["a"].spec, schedule=OFTEN))

    assert queued_at(stage, 10) == [12, 15, 18]


def test_an_unchanged_schedule_keeps_its_instants_whatever_else_changes() -> None:
    stage = started(schedule=EVERY)
    stage.advance(9)

    stage.reload(replace(stage.lifecycle.jobs["a"].spec, params={"n": 1}, timeout=60.0))

    assert queued_at(stage, 12) == [10, 20]


def test_removing_the_schedule_ends_the_wait_for_it() -> None:
    stage = started(schedule=EVERY)

    found = stage.reload(JOB)

    reason = Reason(ReasonKind.RELOAD, "it has no schedule any more")
    assert event_of(found, EventName.SKIPPED).reason == reason
    assert stage.state("a") is JobState.SKIPPED
    assert stage.advance(3600) == []


def test_removing_the_schedule_leaves_the_run_alone() -> None:
    stage = started(schedule=EVERY)
    stage.advance(10)
    stage.started("a#1")

    stage.reload(JOB)

    assert stage.state("a") is JobState.RUNNING
    stage.ended("a#1")
    assert stage.state("a") is JobState.FINISHED


def test_a_new_schedule_without_further_instants_finishes_the_job(instants: Callable[..., Calendar]) -> None:
    stage = started(schedule=EVERY)

    stage.reload(replace(JOB, schedule=Schedule(calendar=instants())))

    assert stage.state("a") is JobState.FINISHED


def test_a_changed_overlap_applies_at_the_next_firing() -> None:
    stage = running()
    stage.reload(replace(JOB, schedule=EVERY))

    stage.reload(replace(JOB, schedule=replace(EVERY, overlap=Overlap.REPLACE)))

    assert "CancelRun a#1" in show(stage.advance(10))


@pytest.mark.parametrize("step", ["switched off", "taken away"])
def test_a_scheduled_job_that_is_declared_again_before_its_run_has_stopped_waits_for_its_firing(step: str) -> None:
    stage = running(schedule=replace(EVERY, immediately=True))
    spec = stage.lifecycle.jobs["a"].spec
    stage.reload(*([replace(spec, enabled=False)] if step == "switched off" else []))

    stage.reload(spec)
    ended = stage.ended("a#1")

    assert "StartRun a#2" not in show(ended)
    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.FIRING
    assert queued_at(stage, 10) == [10]


# -- dependencies, starts


def test_a_waiting_job_goes_on_when_a_reload_removes_its_dependency() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("b", manual=True), make_job("a", after=["b"]))
    stage.start_all()

    found = stage.reload(make_job("b", manual=True), make_job("a"))

    assert "StartRun a#1" in show(found)


def test_a_job_that_waits_for_a_removed_job_is_skipped_once_that_is_gone() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("b"), make_job("a", after=["b"]))
    stage.start_all()
    stage.started("b#1", is_ready=False)
    stage.reload(make_job("a", after=["b"]))
    before = stage.state("a")

    found = stage.ended("b#1")

    assert before is JobState.WAITING
    assert show(found)[-3:] == ["ForgetJob b", "skipped a", "WorkFinished"]


def test_a_skipped_job_whose_dependencies_are_corrected_begins_again() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("b", enabled=False), make_job("a", after=["b"]))
    stage.start_all()
    skipped = stage.state("a")

    stage.reload(make_job("b", enabled=False), make_job("a"))

    assert skipped is JobState.SKIPPED
    assert stage.state("a") is JobState.RUNNING


def test_a_job_whose_start_a_user_stopped_is_not_started_by_a_change_of_its_dependencies() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("b", manual=True), make_job("a", after=["b"]))
    stage.start_all()
    stage.stop("a")

    stage.reload(make_job("b", manual=True), make_job("a"))

    assert stage.state("a") is JobState.SKIPPED


def test_a_manual_job_that_becomes_automatic_is_started() -> None:
    stage = started(manual=True)

    found = stage.reload(JOB)

    assert "StartRun a#1" in show(found)


# -- what keeps the program alive


def test_the_work_is_over_when_the_last_non_daemon_job_is_removed_and_no_daemon_is_left() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a"), make_job("b", delay=60.0), make_job("d", daemon=True))
    stage.start_all()
    stage.started("a#1")
    stage.started("d#1")

    first = stage.reload(make_job("a"), make_job("d", daemon=True))
    second = stage.reload()
    third = stage.ended("d#1")
    fourth = stage.ended("a#1")

    assert ["WorkFinished" in show(found) for found in (first, second, third, fourth)] == [False, False, False, True]


@pytest.mark.parametrize("where", AT_REST)
def test_removing_a_job_restores_the_count_of_active_jobs(where: str) -> None:
    stage = AT_REST[where]()
    stage.reload(replace(stage.lifecycle.jobs["a"].spec, daemon=False))
    stage.reload(make_job("z"))

    held = stage.lifecycle.is_work_over
    while stage.lifecycle.runs:  # "z" begins when the old run has ended
        stage.ended(next(iter(stage.lifecycle.runs)))

    assert (held, stage.lifecycle.is_work_over) == (False, True)
    assert stage.lifecycle._store._active_jobs == 0
    assert stage.lifecycle._store._active_daemons == 0
