"""The resume of a stopped job arms its schedule and runs nothing; the holds of one job end one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore, show
from tests.support.held_jobs import every, hold_of, missed, started_core

from taskloom.core.model import Hold, How, JobSpec, JobState, WaitingFor
from taskloom.core.policies import (
    Calendar,
    Schedule,
)
from taskloom.errors import DependencyUnmet, NotScheduled
from taskloom.testing import VirtualClock, make_job

Instants = Callable[..., Calendar]
EVERY = every()


def job(**policies: Any) -> JobSpec:
    usual: dict[str, Any] = {"within": 5.0, "daemon": True}
    return make_job("a", **usual | policies)


def stopped(stage: HandDrivenCore) -> HandDrivenCore:
    stage.stop("a")
    return stage


def scheduled() -> HandDrivenCore:
    return stopped(started_core(job(schedule=EVERY)))


def finished() -> HandDrivenCore:
    stage = started_core(job())
    stage.started("a#1")
    stage.ended("a#1")
    return stopped(stage)


def running_by_schedule() -> HandDrivenCore:
    stage = started_core(job(schedule=EVERY))
    stage.run("a")
    return stopped(stage)


def disable(stage: HandDrivenCore) -> None:
    stage.reload(replace(stage.lifecycle.jobs["a"].spec, enabled=False))


# -- resume


@pytest.mark.parametrize("is_immediate", [False, True])
def test_resume_arms_the_schedule_of_a_stopped_job_and_runs_nothing(is_immediate: bool) -> None:
    stage = stopped(started_core(job(schedule=replace(EVERY, immediately=is_immediate), delay=3.0)))
    stage.advance(5)

    found = stage.resume("a")

    assert show(found) == ["resumed a"]
    assert (stage.lifecycle.jobs["a"].waiting_for, hold_of(stage)) == (WaitingFor.FIRING, [])
    assert show(stage.advance(9.9)) == []
    assert show(stage.advance(0.1))[0] == "queued a#1"


def test_resume_while_the_run_is_stopping_arms_the_schedule() -> None:
    stage = running_by_schedule()

    stage.resume("a")
    stage.ended("a#1")

    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.FIRING
    assert show(stage.advance(10))[0] == "queued a#2"


def test_resume_of_a_blocked_job_arms_the_schedule() -> None:
    stage = started_core(job(schedule=EVERY, daemon=True))
    stage.run("a")
    stopped(stage)
    stage.advance(5)
    stage.stack_captured("a#1")

    stage.resume("a")

    assert missed(stage.advance(10)) == [("00:00:15", 1, "blocked")]


def test_a_stopped_job_without_a_schedule_is_started_and_not_resumed() -> None:
    stage = finished()

    with pytest.raises(NotScheduled, match=r"^cannot resume job 'a': it has no schedule; start it instead$"):
        stage.resume("a")

    assert hold_of(stage) == [Hold.STOPPED]


@pytest.mark.parametrize("is_lost", [False, True])
def test_resume_is_refused_while_the_dependencies_are_not_satisfied(is_lost: bool) -> None:
    stage = stopped(started_core(make_job("b", manual=True), job(after=["b"], schedule=EVERY)))
    if is_lost:
        stage.run("b")
        stage.ended("b#1", How.RAISED)

    with pytest.raises(DependencyUnmet, match=r"^cannot resume job 'a': "):
        stage.resume("a")

    assert hold_of(stage) == [Hold.STOPPED]


def test_resume_of_a_schedule_without_further_firings_finishes_the_job(instants: Instants) -> None:
    stage = stopped(started_core(job(schedule=Schedule(calendar=instants(10.0)))))
    stage.advance(20)

    assert show(stage.resume("a")) == ["resumed a", "skipped a"]
    assert stage.state("a") is JobState.FINISHED


def test_resume_before_the_scheduler_starts_leaves_it_to_the_start() -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(job(schedule=replace(EVERY, immediately=True), delay=1.0))
    stage.stop("a")

    stage.resume("a")
    assert stage.advance(100) == []
    stage.start_all()

    assert show(stage.advance(1))[0] == "queued a#1"


def test_resume_of_a_job_that_is_disabled_meanwhile_arms_nothing() -> None:
    stage = scheduled()
    disable(stage)

    assert show(stage.resume("a")) == ["resumed a"]
    assert (stage.state("a"), hold_of(stage)) == (JobState.DISABLED, [])


# -- stopped and paused


def test_a_start_ends_the_stop_but_not_the_pause() -> None:
    stage = started_core(job(schedule=EVERY))
    stage.pause("a")
    stage.stop("a")
    both = hold_of(stage)

    stage.run("a")
    stage.ended("a#1")

    assert (both, hold_of(stage)) == ([Hold.PAUSED, Hold.STOPPED], [Hold.PAUSED])
    assert show(stage.advance(10)) == ["missed a"]


def test_a_stopped_job_may_be_paused_for_when_it_is_started() -> None:
    stage = scheduled()

    assert show(stage.pause("a")) == ["paused a"]
    stage.run("a")
    stage.ended("a#1")

    assert show(stage.advance(10)) == ["missed a"]


def test_one_resume_ends_both_holds() -> None:
    stage = scheduled()
    stage.pause("a")

    assert show(stage.resume("a")) == ["resumed a"]
    assert hold_of(stage) == []
    assert show(stage.advance(10))[0] == "queued a#1"


def test_resume_of_a_new_replica_is_refused_until_the_runs_have_ended_that_the_reload_stopped() -> None:
    stage = running_by_schedule()
    stage.reload(*replace(job(schedule=EVERY), replicas=2).replicated())

    with pytest.raises(DependencyUnmet, match=r"^cannot resume job 'a.1': needs the end of a#1$"):
        stage.resume("a.1")
    stage.ended("a#1")

    assert show(stage.resume("a.1")) == ["resumed a.1"]
    assert stage.lifecycle.jobs["a.1"].waiting_for is WaitingFor.FIRING


def test_resume_of_a_job_that_is_being_removed_arms_nothing() -> None:
    stage = running_by_schedule()
    stage.reload()

    stage.resume("a")

    assert stage.lifecycle.jobs["a"].next_firing is None
    assert "job_removed a" in show(stage.ended("a#1"))
