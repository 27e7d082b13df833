"""Reload: two changes of one job at once, and changes of a job whose abandoned run is still alive."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore, show

from taskloom.core.model import JobSpec, JobState, WaitingFor
from taskloom.core.policies import RestartLimit, RestartPolicy, RestartWhen, Schedule, StartMode, StartPolicy
from taskloom.testing import VirtualClock, make_job

OTHER = make_job("other", within=1.0)
AUTO = make_job("a")
ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0)
BLOCKED = make_job("a", daemon=True, within=1.0, timeout=5.0, restart=ON_FAILURE)


def running(*jobs: JobSpec) -> HandDrivenCore:
    """Return a core at second 0 in which all jobs with `start: auto` have begun, but are not ready."""
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(*jobs)
    stage.start_all()
    for run in list(stage.lifecycle.runs):
        stage.started(run, is_ready=False)
    return stage


def blocked(spec: JobSpec, *others: JobSpec) -> HandDrivenCore:
    """Return a core in which the run of `spec` has outlived its timeout and is abandoned."""
    stage = running(spec, *others)
    stage.advance(6)
    stage.stack_captured("a#1")
    assert stage.state("a") is JobState.BLOCKED
    return stage


# -- two changes at once


@pytest.mark.parametrize(
    ("change", "waits_for"),
    [
        ({}, None),
        ({"params": {"n": 1}}, None),
        ({"daemon": True}, None),
        ({"restart": ON_FAILURE}, None),
        ({"schedule": Schedule(every=5.0)}, WaitingFor.FIRING),
        ({"params": {"n": 1}, "schedule": Schedule(every=5.0)}, WaitingFor.FIRING),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else None,
)
def test_a_manual_job_that_becomes_automatic_begins_whatever_else_changes(
    change: dict[str, Any], waits_for: WaitingFor | None
) -> None:
    stage = running(make_job("a", manual=True), OTHER)

    stage.reload(replace(AUTO, **change), OTHER)

    job = stage.lifecycle.jobs["a"]
    assert (job.run is None, job.waiting_for) == (waits_for is not None, waits_for)


def test_a_job_that_stays_may_be_started_by_a_user_although_its_start_changed_in_a_reload_that_stopped_runs() -> None:
    stage = running(AUTO, OTHER)
    stage.ended("a#1")
    stage.reload(make_job("new"), replace(AUTO, start=StartPolicy(StartMode.AUTO, 3.0)))

    assert stage.lifecycle.jobs["new"].waiting_for is WaitingFor.REMOVAL
    assert stage.start("a", is_now=False) == "a#2"


# -- an abandoned run

GAVE_UP = replace(BLOCKED, restart=replace(ON_FAILURE, limit=RestartLimit(0, 60.0)))


@pytest.mark.parametrize(
    ("declared", "last"),
    [((), ["job_removed a", "ForgetJob a"]), ((replace(GAVE_UP, enabled=False),), ["late_exit a#1", "ReleaseRun a#1"])],
    ids=["removed", "disabled"],
)
def test_a_reset_starts_no_job_that_a_reload_has_removed_or_disabled(
    declared: tuple[JobSpec, ...], last: list[str]
) -> None:
    stage = blocked(GAVE_UP, OTHER)
    stage.reload(*declared, OTHER)

    stage.reset("a")

    assert show(stage.ended("a#1"))[-2:] == last


@pytest.mark.parametrize("declared", [(), (replace(BLOCKED, enabled=False),)], ids=["removed", "disabled"])
def test_jobs_that_were_skipped_wait_again_when_a_blocked_job_is_brought_back(declared: tuple[JobSpec, ...]) -> None:
    dependent = make_job("b", after=["a"])
    stage = blocked(BLOCKED, dependent, OTHER)
    stage.reload(*declared, dependent, OTHER)
    before = stage.state("b")

    stage.reload(BLOCKED, dependent, OTHER)
    stage.ended("a#1")
    stage.started("a#2")

    assert (before, stage.state("b")) == (JobState.SKIPPED, JobState.RUNNING)
