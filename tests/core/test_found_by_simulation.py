"""Bugs that random scenarios found, each reproduced in as few steps as possible."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.hand_driven_core import HandDrivenCore, show

from taskloom.core.actions import ReportStopProgress
from taskloom.core.model import How, JobState
from taskloom.core.policies import Condition, Dependency, RestartPolicy, RestartWhen
from taskloom.errors import JobDisabled
from taskloom.testing import make_job


def test_a_job_that_is_declared_again_gives_its_runs_new_names() -> None:
    stage, job = HandDrivenCore(), make_job("a")
    stage.add(job)
    stage.start_all()
    stage.started("a#1")
    stage.reload()
    stage.ended("a#1")

    found = stage.reload(job)

    assert "queued a#2" in show(found)
    assert stage.lifecycle.jobs["a"].runs == 1


def test_a_reload_that_removes_a_job_and_the_dependency_on_it_skips_nothing() -> None:
    stage, waiting = HandDrivenCore(), make_job("b", after=["a"])
    stage.add(make_job("a", manual=True), waiting)
    stage.start_all()

    found = stage.reload(replace(waiting, after=()))

    assert show(found)[-2:] == ["queued b#1", "StartRun b#1"]
    assert not [line for line in show(found) if line.startswith("skipped")]


def test_an_additional_replica_does_not_skip_the_dependents() -> None:
    stage, waiting = HandDrivenCore(), make_job("b", after=["a"])
    stage.add(make_job("a", manual=True), waiting)
    stage.start_all()

    found = stage.reload(*make_job("a", manual=True, replicas=2).replicated(), waiting)

    assert not [line for line in show(found) if line.startswith("skipped")]
    assert stage.state("b") is JobState.WAITING


def test_jobs_that_begin_again_in_one_reload_wait_for_each_other_in_any_order() -> None:
    stage, first, second = HandDrivenCore(), make_job("b", after=["a"]), make_job("a")
    stage.add(first, second)
    stage.start_all()
    stage.started("a#1", is_ready=False)
    stage.ended("a#1", How.RAISED)
    assert stage.state("b") is JobState.SKIPPED

    found = stage.reload(replace(first, params={"version": 2}), replace(second, params={"version": 2}))

    assert not [line for line in show(found) if line.startswith("skipped")]
    assert stage.state("b") is JobState.WAITING


def test_the_stop_that_an_essential_job_causes_reports_progress_two_seconds_after_its_own_requests() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", essential=True), make_job("b", within=30))
    stage.run("a")
    stage.run("b")
    stage.stop("a")
    stage.advance(1.5)
    stage.ended("a#1", How.RAISED)

    found = stage.advance(2)

    assert found == [ReportStopProgress(("b#1",), 0)]
    assert stage.history.steps[-1].now.mono == 3.5


def test_a_job_that_stops_because_it_was_disabled_is_not_restarted() -> None:
    stage, job = HandDrivenCore(), make_job("a")
    stage.add(job)
    stage.run("a")
    stage.reload(replace(job, enabled=False))

    with pytest.raises(JobDisabled):
        stage.restart("a")

    assert "queued a#2" not in show(stage.ended("a#1"))
    assert stage.state("a") is JobState.DISABLED


def test_a_job_that_waits_for_a_blocked_job_is_skipped_when_the_restart_is_cancelled() -> None:
    stage = HandDrivenCore()
    policy = RestartPolicy(RestartWhen.ON_FAILURE)
    stage.add(
        make_job("a", daemon=True, within=1, timeout=5.0, restart=policy),
        make_job("b", after=[Dependency("a", Condition.SUCCEEDED)]),
    )
    stage.start_all()
    stage.started("a#1")
    stage.advance(6)
    stage.stack_captured("a#1")
    assert stage.state("a") is JobState.BLOCKED
    assert stage.state("b") is JobState.WAITING

    found = stage.stop("a", run="a#1")

    assert show(found) == ["skipped b", "WorkFinished"]
