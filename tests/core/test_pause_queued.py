"""A pause while a firing waits for the end of the run: that firing is missed, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore, show
from tests.support.held_jobs import every, keeps_the_invariants, missed, queued, scheduled_job

from taskloom.core.model import How, JobState, WaitingFor
from taskloom.core.policies import (
    Calendar,
    Overlap,
    RestartPolicy,
    RestartWhen,
    Schedule,
    Watchdog,
    WatchdogThen,
)

Instants = Callable[..., Calendar]


def waiting_firing(overlap: Overlap = Overlap.QUEUE, **policies: Any) -> HandDrivenCore:
    """Return a core in which a firing waits for the end of a#1."""
    stage = scheduled_job(every(overlap=overlap), **policies)
    stage.run("a")
    stage.advance(10)
    return stage


def test_a_firing_that_waits_for_the_end_of_the_run_is_missed() -> None:
    stage = waiting_firing()

    paused = stage.pause("a")
    ended = stage.ended("a#1")

    assert show(paused) == ["paused a", "missed a"]
    assert missed(paused) == [("00:00:10", 1, "paused")]
    assert (queued(ended), stage.state("a")) == ([], JobState.WAITING)
    assert keeps_the_invariants(stage)


def test_a_run_that_is_being_replaced_has_no_successor() -> None:
    stage = waiting_firing(Overlap.REPLACE)

    paused = stage.pause("a")
    stage.ended("a#1")

    assert missed(paused) == [("00:00:10", 1, "paused")]
    assert stage.state("a") is JobState.WAITING
    assert keeps_the_invariants(stage)


def test_without_the_firing_the_restart_policy_decides_again() -> None:
    stage = waiting_firing(restart=RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, jitter=0.0))

    stage.pause("a")
    stage.ended("a#1", How.RAISED)

    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.BACKOFF
    assert keeps_the_invariants(stage)


def test_without_the_firing_a_run_that_a_user_cancelled_is_not_restarted() -> None:
    stage = scheduled_job(every(overlap=Overlap.QUEUE), restart=RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0))
    stage.run("a")
    stage.advance(9)
    stage.stop("a", run="a#1")
    stage.advance(1)

    stage.pause("a")
    stage.ended("a#1", How.RAISED)

    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.FIRING
    assert keeps_the_invariants(stage)


@pytest.mark.parametrize(
    ("then", "waiting_for"),
    [(WatchdogThen.RESTART, WaitingFor.BACKOFF), (WatchdogThen.STOP, WaitingFor.FIRING)],
)
def test_without_the_firing_the_watchdog_has_decided(then: WatchdogThen, waiting_for: WaitingFor) -> None:
    stage = scheduled_job(every(overlap=Overlap.QUEUE), watchdog=Watchdog(3.0, then))
    stage.run("a")
    stage.advance(9)
    stage.unresponsive("a#1")
    stage.advance(1)

    stage.pause("a")
    stage.ended("a#1", How.RAISED)

    assert stage.lifecycle.jobs["a"].waiting_for is waiting_for
    assert keeps_the_invariants(stage)


@pytest.mark.parametrize("limit", [{"timeout": 11.0}, {"ready_within": 11.0}])
def test_without_the_firing_a_run_that_exceeds_a_limit_is_restarted_by_its_policy(limit: dict[str, float]) -> None:
    policy = RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, jitter=0.0)
    stage = scheduled_job(every(overlap=Overlap.QUEUE), restart=policy, **limit)
    stage.started(stage.start("a"), is_ready=False)
    stage.advance(11)

    stage.pause("a")
    stage.ended("a#1", How.CANCELLED)

    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.BACKOFF
    assert keeps_the_invariants(stage)


def test_a_blocked_job_whose_firing_is_dropped_has_failed_for_good() -> None:
    stage = scheduled_job(every(overlap=Overlap.QUEUE), timeout=11.0, daemon=True)
    stage.run("a")
    stage.advance(16)
    stage.stack_captured("a#1")
    was_blocked, had_failed = stage.state("a"), stage.lifecycle.jobs["a"].has_failed

    stage.pause("a")
    stage.ended("a#1")

    assert (was_blocked, had_failed) == (JobState.BLOCKED, False)
    assert stage.lifecycle.jobs["a"].has_failed
    assert stage.state("a") is JobState.WAITING
    assert keeps_the_invariants(stage)


def test_an_essential_job_whose_last_firing_is_dropped_stops_everything(instants: Instants) -> None:
    schedule = Schedule(calendar=instants(10.0), overlap=Overlap.QUEUE)
    stage = scheduled_job(schedule, timeout=11.0, daemon=True, essential=True)
    stage.run("a")
    stage.advance(16)
    stage.stack_captured("a#1")

    assert show(stage.pause("a"))[:3] == ["paused a", "missed a", "scheduler_stopping"]
    assert keeps_the_invariants(stage)
