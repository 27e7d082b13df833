"""A restart by a user of a job without a run: it waits for `after` as a start does, unless it is to be now."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.hand_driven_core import HandDrivenCore, show

from taskloom.core.model import How, JobState, WaitingFor
from taskloom.core.policies import Condition, Dependency, RestartPolicy, RestartWhen, Schedule
from taskloom.errors import DependencyUnmet, JobDisabled, SchedulerStopped
from taskloom.testing import make_job

SLOW = RestartPolicy(RestartWhen.ON_FAILURE, delay=60.0, jitter=0.0)


def stage_of(**policies: object) -> HandDrivenCore:
    """Return a core in which `b` is ready and `a` starts after it."""
    stage = HandDrivenCore()
    stage.add(make_job("b"), make_job("a", after=["b"], **policies))  # type: ignore[arg-type]
    stage.run("b")
    return stage


def lose_dependency(stage: HandDrivenCore) -> None:
    stage.stop("b")
    stage.ended("b#1")


def waiting_for_dependency() -> HandDrivenCore:
    stage = HandDrivenCore()
    stage.add(make_job("b", manual=True), make_job("a", after=["b"]))
    stage.start_all()
    return stage


def declared() -> HandDrivenCore:
    stage = stage_of(manual=True)
    lose_dependency(stage)
    return stage


def delayed() -> HandDrivenCore:
    stage = stage_of(delay=60.0)
    stage.arm("a")
    lose_dependency(stage)
    return stage


def backing_off() -> HandDrivenCore:
    stage = stage_of(restart=SLOW)
    stage.run("a")
    stage.ended("a#1", How.RAISED)
    lose_dependency(stage)
    return stage


def waiting_for_firing() -> HandDrivenCore:
    stage = stage_of(schedule=Schedule(every=60.0))
    stage.arm("a")
    lose_dependency(stage)
    return stage


def finished() -> HandDrivenCore:
    stage = stage_of()
    stage.run("a")
    stage.ended("a#1")
    lose_dependency(stage)
    return stage


def skipped() -> HandDrivenCore:
    stage = HandDrivenCore()
    stage.add(make_job("b", manual=True), make_job("a", after=["b"]))
    stage.run("b")
    stage.ended("b#1", How.RAISED)
    stage.arm("a")
    return stage


WITHOUT_RUN: dict[str, Callable[[], HandDrivenCore]] = {
    "declared": declared,
    "waiting for another job": waiting_for_dependency,
    "delayed": delayed,
    "backing off": backing_off,
    "waiting for its firing": waiting_for_firing,
    "finished": finished,
    "skipped": skipped,
}


@pytest.mark.parametrize("where", WITHOUT_RUN)
def test_a_restart_is_refused_while_a_dependency_is_not_satisfied(where: str) -> None:
    stage = WITHOUT_RUN[where]()
    job = stage.lifecycle.jobs["a"]
    before = (job.state, job.waiting_for, job.due_at, job.next_firing, len(list(stage.history.events)))

    with pytest.raises(DependencyUnmet, match=r"cannot start job 'a': .*'b'"):
        stage.restart("a")

    assert (job.state, job.waiting_for, job.due_at, job.next_firing, len(list(stage.history.events))) == before


@pytest.mark.parametrize("where", WITHOUT_RUN)
def test_a_restart_at_once_asks_for_no_dependency(where: str) -> None:
    stage = WITHOUT_RUN[where]()

    found = stage.restart("a", is_now=True)

    assert [line.split("#")[0] for line in show(found)[:2]] == ["queued a", "StartRun a"]
    assert stage.lifecycle.jobs["a"].restarts == 0


@pytest.mark.parametrize("is_now", [False, True])
def test_a_restart_is_refused_like_a_start_for_any_other_reason(is_now: bool) -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", enabled=False), make_job("b"))

    with pytest.raises(JobDisabled):
        stage.restart("a", is_now=is_now)
    stage.shutdown()
    with pytest.raises(SchedulerStopped):
        stage.restart("b", is_now=is_now)


@pytest.mark.parametrize("is_stopping", [False, True])
def test_a_restart_of_a_run_does_not_ask_for_dependencies(is_stopping: bool) -> None:
    """A running dependent is left alone when its dependency ends, and a restart only replaces its run."""
    stage = stage_of()
    stage.run("a")
    if is_stopping:
        stage.stop("a")
    lose_dependency(stage)

    stage.restart("a")
    found = stage.ended("a#1")

    assert show(found)[-2:] == ["queued a#2", "StartRun a#2"]


def test_the_second_of_two_restarts_replaces_the_run_of_the_first() -> None:
    stage = stage_of()

    stage.restart("a")
    lose_dependency(stage)
    stage.restart("a")
    found = stage.ended("a#1", How.NOT_ENTERED)

    assert show(found) == ["ended a#1 cancelled", "ReleaseRun a#1", "queued a#2", "StartRun a#2"]


def test_a_restart_waits_for_every_replica_of_its_dependency() -> None:
    stage = HandDrivenCore()
    stage.add(*make_job("b", replicas=2).replicated(), *make_job("a", after=["b"], replicas=2).replicated())
    stage.run("b.1")

    with pytest.raises(DependencyUnmet, match=r"b\.2"):
        stage.restart("a.1")
    stage.run("b.2")

    assert show(stage.restart("a.1"))[0] == "queued a.1#1"
    assert stage.state("a.2") is JobState.WAITING


def test_a_condition_that_is_satisfied_lets_the_restart_through() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("b"), make_job("a", after=[Dependency("b", Condition.SUCCEEDED)], delay=60.0))
    stage.start_all()
    stage.started("b#1")
    with pytest.raises(DependencyUnmet):
        stage.restart("a")

    stage.ended("b#1")
    waits_for = stage.lifecycle.jobs["a"].waiting_for

    assert waits_for is WaitingFor.DELAY
    assert show(stage.restart("a")) == ["queued a#1", "StartRun a#1"]
