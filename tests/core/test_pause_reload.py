"""A pause lasts through reloads, as long as the job has a schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore, event_of, show
from tests.support.held_jobs import every, hold_of, keeps_the_invariants, missed, queued, scheduled_job

from taskloom.core.events import EventName
from taskloom.core.model import Hold, Reason, ReasonKind
from taskloom.core.policies import (
    Calendar,
    Schedule,
)
from taskloom.testing import VirtualClock, make_job

Instants = Callable[..., Calendar]


def test_a_pause_survives_a_reload_with_another_schedule() -> None:
    stage = scheduled_job(every())
    stage.pause("a")

    stage.reload(make_job("a", schedule=every(3.0, immediately=True), within=5.0))

    assert hold_of(stage) == [Hold.PAUSED]
    assert missed(stage.advance(3)) == [("00:00:03", 1, "paused")]


def test_a_pause_survives_a_reload_that_begins_a_finished_job_again(instants: Instants) -> None:
    stage = scheduled_job(Schedule(calendar=instants(10.0)))
    stage.pause("a")
    stage.advance(10)

    found = stage.reload(make_job("a", schedule=every(5.0, immediately=True), within=5.0))

    assert (queued(found), missed(found)) == ([], [("00:00:10", 1, "paused")])
    assert missed(stage.advance(5)) == [("00:00:15", 1, "paused")]


def test_a_pause_survives_a_reload_that_restarts_the_run() -> None:
    stage = scheduled_job(every())
    stage.run("a")
    stage.pause("a")

    stage.reload(make_job("a", schedule=every(), within=5.0, params={"n": 2}))
    found = stage.ended("a#1")

    assert (queued(found), hold_of(stage)) == (["queued a#2"], [Hold.PAUSED])


@pytest.mark.parametrize("fields", [{}, {"params": {"n": 2}}, {"enabled": False}])
def test_a_pause_ends_with_the_schedule(fields: dict[str, Any]) -> None:
    stage = scheduled_job(every())
    stage.pause("a")

    found = stage.reload(make_job("a", within=5.0, **fields))

    reason = event_of(found, EventName.RESUMED).reason
    assert (hold_of(stage), reason) == ([], Reason(ReasonKind.RELOAD, "it has no schedule any more"))
    assert keeps_the_invariants(stage)


def test_a_pause_outlasts_that_the_job_is_disabled_for_a_while() -> None:
    stage = scheduled_job(every())
    job = stage.lifecycle.jobs["a"].spec
    stage.pause("a")

    stage.reload(replace(job, enabled=False))
    stage.reload(job)

    assert missed(stage.advance(10)) == [("00:00:10", 1, "paused")]


def test_a_job_that_is_removed_and_declared_again_later_is_a_new_one() -> None:
    stage = scheduled_job(every())
    job = stage.lifecycle.jobs["a"].spec
    stage.pause("a")

    stage.reload()
    stage.reload(job)

    assert hold_of(stage) == []
    assert queued(stage.advance(10)) == ["queued a#1"]


def test_new_replicas_of_a_paused_job_are_paused_like_the_others() -> None:
    stage = scheduled_job(every())
    job = stage.lifecycle.jobs["a"].spec
    stage.pause("a")

    found = stage.reload(*replace(job, replicas=2).replicated())

    assert [line for line in show(found) if line.startswith("paused")] == ["paused a.1", "paused a.2"]
    assert queued(stage.advance(20)) == []
    assert keeps_the_invariants(stage)


def test_a_new_replica_is_not_paused_if_another_one_is_not() -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    job = make_job("a", schedule=every())
    stage.add(*replace(job, replicas=2).replicated())
    stage.start_all()
    stage.pause("a.1")

    stage.reload(*replace(job, replicas=3).replicated())

    assert [name for name, each in stage.lifecycle.jobs.items() if each.is_paused] == ["a.1"]
