"""A stopped job among others: what it keeps alive, its replicas, its dependents, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore, event_of, show
from tests.support.held_jobs import every, started_core

from taskloom.core import inputs
from taskloom.core.events import EventName
from taskloom.core.model import Hold, JobSpec, JobState, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import (
    Calendar,
    Condition,
    Dependency,
)
from taskloom.core.report import make_job_report
from taskloom.testing import VirtualClock, make_job

Instants = Callable[..., Calendar]
EVERY = every()


def job(**policies: Any) -> JobSpec:
    usual: dict[str, Any] = {"within": 5.0, "daemon": True}
    return make_job("a", **usual | policies)


def stopped(stage: HandDrivenCore) -> HandDrivenCore:
    stage.stop("a")
    return stage


def finished() -> HandDrivenCore:
    stage = started_core(job())
    stage.started("a#1")
    stage.ended("a#1")
    return stopped(stage)


def test_a_stopped_job_does_not_keep_the_program_alive() -> None:
    stage = started_core(job(schedule=EVERY, daemon=False))

    assert show(stage.stop("a"))[-1] == "WorkFinished"
    assert stage.lifecycle.is_work_over


@pytest.mark.parametrize("command", ["resume", "start", "arm"])
def test_who_lets_it_go_on_keeps_the_program_alive_again(command: str) -> None:
    stage = stopped(started_core(job(schedule=EVERY, daemon=False)))

    getattr(stage, command)("a")

    assert not stage.lifecycle.is_work_over


def test_all_replicas_stopped_means_that_new_ones_do_not_start() -> None:
    """Also from one to several, where all are replaced, since their names change."""
    stage = finished()
    for replicas in (2, 3, 1):
        stage.reload(*replace(make_job("a"), replicas=replicas).replicated())

    assert [name for name, each in stage.lifecycle.jobs.items() if each.is_stopped] == ["a"]
    assert stage.lifecycle.runs == {}


def test_a_new_replica_starts_if_another_one_is_not_stopped() -> None:
    stage = started_core(*replace(job(), replicas=2).replicated())
    for run in list(stage.lifecycle.runs):
        stage.started(run)
    stage.stop("a.1")

    stage.reload(*replace(job(), replicas=3).replicated())

    assert stage.state("a.3") is JobState.RUNNING


def test_a_job_that_is_removed_and_declared_again_later_is_a_new_one() -> None:
    stage = finished()

    stage.reload()
    found = stage.reload(job())

    assert "queued a#2" in show(found)


def test_what_starts_after_a_stopped_job_waits_or_is_skipped_as_before() -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(make_job("a"), make_job("c", after=[Dependency("a", Condition.READY)]))
    stage.stop("a")
    stage.start_all()
    waiting = stage.lifecycle.jobs["c"].waiting_for

    stage.run("a")

    assert waiting is WaitingFor.DEPENDENCY
    assert stage.state("c") is JobState.RUNNING


def test_the_report_says_who_stopped_it() -> None:
    stage = started_core(job(schedule=EVERY))
    stage.stop("a", "stop, by alice (uid 1000, pid 4242)")
    stage.stop("a", "another one")

    report = make_job_report(stage.lifecycle, stage.lifecycle.jobs["a"], stage.clock.now())

    assert (report.hold, report.held) == (Hold.STOPPED, "stopped by alice (uid 1000, pid 4242)")
    assert report.marks == ("stopped by user",)
    assert report.as_dict()["paused"] is False


@pytest.mark.parametrize(("text", "held"), [("", "stopped"), ("stop", "stopped"), ("too loud", "stopped: too loud")])
def test_how_a_hold_is_written(text: str, held: str) -> None:
    stage = started_core(job(schedule=EVERY))
    stage.stop("a", text)

    assert make_job_report(stage.lifecycle, stage.lifecycle.jobs["a"], stage.clock.now()).held == held


# -- who started it


def test_the_event_of_a_run_says_who_started_it() -> None:
    stage = finished()
    reason = Reason(ReasonKind.USER, "start, by alice")

    found = stage.send(inputs.StartJob("a", is_now=False, reason=reason))

    assert event_of(found, EventName.QUEUED).reason == reason


def test_a_start_without_a_reason_has_none() -> None:
    stage = finished()

    assert event_of(stage.send(inputs.StartJob("a")), EventName.QUEUED).reason is None


def test_a_replica_that_is_being_removed_does_not_count() -> None:
    stage = started_core(*replace(job(), replicas=3).replicated())
    for run in list(stage.lifecycle.runs):
        stage.started(run)
    stage.stop("a.1")
    stage.stop("a.2")
    stage.reload(*replace(job(), replicas=2).replicated())  # the run of a.3 is stopping

    stage.reload(*replace(job(), replicas=4).replicated())

    assert [name for name, each in stage.lifecycle.jobs.items() if each.is_stopped] == ["a.1", "a.2", "a.4"]
