"""Replicas: one declaration makes several independent jobs."""

from __future__ import annotations

import pytest
from tests.support.hand_driven_core import HandDrivenCore, show

from taskloom.core.actions import StartRun
from taskloom.core.model import How, JobSpec, JobState
from taskloom.core.policies import RestartPolicy, RestartWhen, Schedule
from taskloom.core.reload import Change, ReloadAction
from taskloom.errors import DependencyCycle
from taskloom.testing import make_job

ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0)


def stage_of(*jobs: JobSpec) -> HandDrivenCore:
    """Return a core in which all replicas of these jobs were started."""
    stage = HandDrivenCore()
    for job in jobs:
        stage.add(*job.replicated())
    stage.start_all()
    return stage


def test_three_replicas_are_three_jobs_with_their_numbers() -> None:
    specs = make_job("web", replicas=3).replicated()

    assert [(spec.name, spec.replica, spec.family) for spec in specs] == [
        ("web.1", 1, "web"), ("web.2", 2, "web"), ("web.3", 3, "web"),
    ]  # fmt: skip
    assert [spec.replicated() for spec in specs] == [(spec,) for spec in specs]


def test_a_job_of_one_replica_is_itself() -> None:
    job = make_job("web")

    assert job.replicated() == (job,)
    assert (job.family, job.replica) == ("web", 1)


def test_each_replica_is_started_with_its_number() -> None:
    stage = HandDrivenCore()
    stage.add(*make_job("web", replicas=3).replicated())

    found = stage.start_all()

    started = [(action.run, action.replica) for action in found if isinstance(action, StartRun)]
    assert started == [("web.1#1", 1), ("web.2#1", 2), ("web.3#1", 3)]


def test_each_replica_is_restarted_and_stopped_by_itself() -> None:
    stage = stage_of(make_job("web", replicas=3, restart=ON_FAILURE))
    for number in (1, 2, 3):
        stage.started(f"web.{number}#1")

    stage.ended("web.2#1", How.RAISED)
    stage.stop("web.3")
    restarted = stage.advance(0.5)

    assert show(restarted) == ["queued web.2#2", "StartRun web.2#2"]
    assert [stage.state(f"web.{number}") for number in (1, 2, 3)] == [
        JobState.RUNNING, JobState.RUNNING, JobState.STOPPING,
    ]  # fmt: skip


def test_each_replica_fires_by_itself() -> None:
    stage = stage_of(make_job("web", replicas=2, schedule=Schedule(every=10.0)))

    found = stage.advance(10)

    assert [action.run for action in found if isinstance(action, StartRun)] == ["web.1#1", "web.2#1"]


def test_dependents_of_replicas_are_stopped_before_all_of_them() -> None:
    stage = stage_of(make_job("db", replicas=2), make_job("web", replicas=2, after=["db"]))
    for run in ("db.1#1", "db.2#1", "web.1#1", "web.2#1"):
        stage.started(run)

    first = stage.shutdown()
    second = stage.ended("web.1#1") + stage.ended("web.2#1")

    assert [line for line in show(first) if line.startswith("CancelRun")] == ["CancelRun web.1#1", "CancelRun web.2#1"]
    assert [line for line in show(second) if line.startswith("CancelRun")] == ["CancelRun db.1#1", "CancelRun db.2#1"]


def test_a_cycle_through_replicas_is_refused_by_their_declared_name() -> None:
    stage = HandDrivenCore()
    stage.add(*make_job("web", replicas=2, after=["db"]).replicated())

    with pytest.raises(DependencyCycle, match="db -> web -> db"):
        stage.add(make_job("db", after=["web"]))


def test_a_reload_to_more_replicas_leaves_the_existing_ones_alone() -> None:
    stage = stage_of(make_job("web", replicas=2))
    stage.started("web.1#1")

    found = stage.reload(*make_job("web", replicas=4).replicated())

    assert [line for line in show(found) if line.startswith(("StartRun", "CancelRun"))] == [
        "StartRun web.3#1", "StartRun web.4#1",
    ]  # fmt: skip
    assert [change.action for change in stage.lifecycle.reloader.changes] == [ReloadAction.KEEP] * 2 + [
        ReloadAction.ADD
    ] * 2


def test_a_reload_to_fewer_replicas_removes_the_last_ones() -> None:
    stage = stage_of(make_job("web", replicas=3))

    stage.reload(*make_job("web", replicas=2).replicated())

    assert stage.lifecycle.reloader.changes[0] == Change("web.3", ReloadAction.REMOVE)
    assert stage.state("web.3") is JobState.STOPPING
    assert {stage.state("web.1"), stage.state("web.2")} == {JobState.RUNNING}


def test_a_reload_from_one_job_to_replicas_stops_the_one() -> None:
    stage = stage_of(make_job("web"))

    stage.reload(*make_job("web", replicas=2).replicated())
    found = stage.ended("web#1", How.NOT_ENTERED)

    assert "job_removed web" in show(found)
    assert list(stage.lifecycle.jobs) == ["web.1", "web.2"]
    assert list(stage.lifecycle.jobs["web.1"].family.members) == ["web.1", "web.2"]


def test_a_dependency_applies_to_the_replicas_that_a_reload_leaves() -> None:
    stage = stage_of(make_job("db", replicas=2), make_job("web", after=["db"]))
    stage.started("db.1#1")

    stage.reload(*make_job("db", replicas=1).replicated(), make_job("web", after=["db"]))
    while_it_leaves = stage.state("web")
    for run in ("db.1#1", "db.2#1"):
        stage.ended(run, How.NOT_ENTERED if run == "db.2#1" else How.RETURNED)
    begun = stage.started("db#1")

    assert while_it_leaves is JobState.WAITING
    assert "StartRun web#1" in show(begun)
