"""A job that a user stopped: nothing but a user starts it again, whatever else happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.hand_driven_core import HandDrivenCore, show
from tests.support.held_jobs import every, hold_of, keeps_the_invariants, started_core

from taskloom.core import inputs
from taskloom.core.actions import StartRun
from taskloom.core.model import Hold, How, JobSpec, JobState, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import (
    Calendar,
    Condition,
    Dependency,
    RestartLimit,
    RestartPolicy,
    RestartWhen,
    Schedule,
)
from taskloom.core.records import FollowUp
from taskloom.errors import DependencyUnmet
from taskloom.testing import VirtualClock, make_job

Instants = Callable[..., Calendar]
ALWAYS = RestartPolicy(RestartWhen.ALWAYS, delay=1.0, jitter=0.0)
ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, jitter=0.0, limit=RestartLimit(1, 3600.0))
EVERY = every()
ENOUGH = Reason(ReasonKind.USER, "enough")


def job(**policies: Any) -> JobSpec:
    usual: dict[str, Any] = {"within": 5.0, "daemon": True}
    return make_job("a", **usual | policies)


# -- each state in which a job may be stopped


def declared() -> HandDrivenCore:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(job())
    stage.stop("a")
    stage.start_all()
    return stage


def manual() -> HandDrivenCore:
    return stopped(started_core(job(manual=True)))


def delayed() -> HandDrivenCore:
    return stopped(started_core(job(delay=5.0)))


def depending() -> HandDrivenCore:
    return stopped(started_core(make_job("b", manual=True), job(after=["b"])))


def skipped_before() -> HandDrivenCore:
    """The job was skipped because `b` failed, before a user stopped it."""
    stage = started_core(make_job("b", restart=ON_FAILURE), job(after=[Dependency("b", Condition.SUCCEEDED)]))
    for run in ("b#1", "b#2"):
        stage.started(run)
        stage.ended(run, How.RAISED)
        stage.advance(2)
    assert stage.state("a") is JobState.SKIPPED
    return stopped(stage)


def scheduled() -> HandDrivenCore:
    return stopped(started_core(job(schedule=EVERY)))


def backing_off() -> HandDrivenCore:
    stage = started_core(job(restart=ON_FAILURE))
    stage.started("a#1")
    stage.ended("a#1", How.RAISED)
    return stopped(stage)


def gave_up() -> HandDrivenCore:
    stage = started_core(job(restart=ON_FAILURE))
    for run in ("a#1", "a#2"):
        stage.started(run)
        stage.ended(run, How.RAISED)
        stage.advance(2)
    assert stage.lifecycle.jobs["a"].has_given_up
    return stopped(stage)


def finished() -> HandDrivenCore:
    stage = started_core(job())
    stage.started("a#1")
    stage.ended("a#1")
    return stopped(stage)


def running() -> HandDrivenCore:
    stage = started_core(job(restart=ALWAYS))
    stage.started("a#1")
    return stopped(stage)


def running_by_schedule() -> HandDrivenCore:
    stage = started_core(job(schedule=EVERY))
    stage.run("a")
    return stopped(stage)


def stopping_by_reload() -> HandDrivenCore:
    """A reload is stopping the run for another one when the user stops the job."""
    stage = started_core(job(restart=ALWAYS))
    stage.started("a#1")
    stage.reload(job(restart=ALWAYS, params={"n": 9}))
    return stopped(stage)


def blocked() -> HandDrivenCore:
    stage = started_core(job(restart=ALWAYS))
    stage.started("a#1")
    stopped(stage)
    stage.advance(5)
    stage.stack_captured("a#1")
    assert stage.state("a") is JobState.BLOCKED
    return stage


def blocked_before() -> HandDrivenCore:
    """The thread of an abandoned run is alive when the user stops the job, which was to be restarted."""
    stage = started_core(job(restart=ALWAYS, timeout=1.0))
    stage.started("a#1")
    stage.advance(6)
    stage.stack_captured("a#1")
    assert stage.state("a") is JobState.BLOCKED
    return stopped(stage)


def waiting_for_removal() -> HandDrivenCore:
    """A reload has added the job, which waits for the run of `b`, that it removed."""
    stage = started_core(make_job("b"))
    stage.started("b#1")
    stage.reload(job())
    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.REMOVAL
    return stopped(stage)


def stopped(stage: HandDrivenCore) -> HandDrivenCore:
    stage.stop("a")
    return stage


STAGES: dict[str, Callable[[], HandDrivenCore]] = {
    "declared": declared,
    "manual": manual,
    "delayed": delayed,
    "depending": depending,
    "skipped before": skipped_before,
    "scheduled": scheduled,
    "backing off": backing_off,
    "gave up": gave_up,
    "finished": finished,
    "running": running,
    "running by schedule": running_by_schedule,
    "stopping by reload": stopping_by_reload,
    "blocked": blocked,
    "blocked before": blocked_before,
    "waiting for removal": waiting_for_removal,
}


# -- everything that might start it


def others(stage: HandDrivenCore) -> list[JobSpec]:
    """Return the declarations of all other jobs that are not being removed."""
    jobs = stage.lifecycle.jobs.items()
    return [each.spec for name, each in jobs if name != "a" and each.follow_up is not FollowUp.REMOVAL]


def spec(stage: HandDrivenCore) -> JobSpec:
    return stage.lifecycle.jobs["a"].spec


def reload_with(stage: HandDrivenCore, **fields: Any) -> None:
    stage.reload(*others(stage), replace(spec(stage), **fields))


def end_run(stage: HandDrivenCore) -> None:
    """Have the run end, also late, by an error."""
    run = stage.lifecycle.jobs["a"].run
    if run is not None:
        stage.ended(run.id, How.RAISED)


def end_all_runs(stage: HandDrivenCore) -> None:
    for run in list(stage.lifecycle.runs):
        stage.ended(run)


def switch_off_and_on(stage: HandDrivenCore) -> None:
    reload_with(stage, enabled=False)
    reload_with(stage, enabled=True)


def take_away_and_bring_back(stage: HandDrivenCore) -> None:
    """The job is declared again before its run has ended; without a run it would be a new job."""
    declared_before = spec(stage)
    if stage.lifecycle.jobs["a"].run is not None:
        stage.reload(*others(stage))
        stage.reload(*others(stage), declared_before)


def start_what_it_waits_for(stage: HandDrivenCore) -> None:
    if others(stage):
        stage.reset("b")
        run = stage.lifecycle.jobs["b"].run
        name = run.id if run is not None else stage.start("b")
        stage.started(name)
        stage.ended(name)


CAUSES: dict[str, Callable[[HandDrivenCore], object]] = {
    "time": lambda stage: stage.advance(3600),
    "start all": lambda stage: stage.start_all(),
    "reset": lambda stage: stage.reset("a"),
    "the end of its run": end_run,
    "the end of all runs": end_all_runs,
    "another job": start_what_it_waits_for,
    "the same declaration": reload_with,
    "other params": lambda stage: reload_with(stage, params={"n": 1}),
    "no daemon": lambda stage: reload_with(stage, daemon=False),
    "another timeout": lambda stage: reload_with(stage, timeout=99.0),
    "another poll interval": lambda stage: reload_with(stage, poll_interval=99.0),
    "another restart policy": lambda stage: reload_with(stage, restart=RestartPolicy(RestartWhen.ALWAYS, jitter=0.0)),
    "another schedule": lambda stage: reload_with(
        stage, restart=RestartPolicy(), schedule=Schedule(every=3.0, immediately=True)
    ),
    "no schedule": lambda stage: reload_with(stage, schedule=None),
    "no dependencies": lambda stage: reload_with(stage, after=()),
    "start auto": lambda stage: reload_with(stage, start=make_job("a", delay=1.0).start),
    "params and start": lambda stage: reload_with(stage, start=make_job("a").start, params={"n": 1}),
    "off and on": switch_off_and_on,
    "away and back": take_away_and_bring_back,
    "a shutdown": lambda stage: stage.shutdown(),
}


@every_case("cause", CAUSES)
@every_case("start", STAGES)
def test_nothing_but_a_user_starts_a_stopped_job(start: str, cause: str) -> None:
    """Each cause, then everything else that might start it, and the end of a run that it may still have."""
    stage = STAGES[start]()
    before = len(stage.history.steps)

    CAUSES[cause](stage)
    if cause != "a shutdown":
        assert hold_of(stage) == [Hold.STOPPED]
        stage.start_all()
    stage.advance(60)
    end_all_runs(stage)
    stage.advance(3600)

    later = [action for step in stage.history.steps[before:] for action in step.actions]
    assert [action.run for action in later if isinstance(action, StartRun) and action.spec.name == "a"] == []
    assert keeps_the_invariants(stage)


# -- what a user does


COMMANDS: dict[str, Callable[[HandDrivenCore], object]] = {
    "start": lambda stage: stage.start("a"),
    "restart": lambda stage: stage.restart("a", is_now=True),
}


@every_case("command", COMMANDS)
@every_case("start", [name for name in STAGES if "running" not in name and not name.startswith("blo")])
def test_a_user_starts_it_again(start: str, command: str) -> None:
    stage = STAGES[start]()
    end_run(stage)

    COMMANDS[command](stage)

    assert (stage.state("a"), hold_of(stage)) == (JobState.RUNNING, [])


def test_a_restart_while_it_is_stopping_ends_the_hold_and_arms_the_schedule() -> None:
    stage = running_by_schedule()

    stage.restart("a")
    found = stage.ended("a#1")

    assert "queued a#2" in show(found)
    assert hold_of(stage) == []
    assert stage.lifecycle.jobs["a"].next_firing is not None


def test_arm_ends_the_hold() -> None:
    stage = finished()

    found = stage.arm("a")

    assert "queued a#2" in show(found)
    assert hold_of(stage) == []


def test_a_start_of_a_stopped_scheduled_job_arms_its_schedule_again() -> None:
    stage = scheduled()

    stage.run("a")
    stage.ended("a#1")

    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.FIRING
    assert "queued a#2" in show(stage.advance(10))


def test_a_refused_start_leaves_it_stopped() -> None:
    stage = depending()

    with pytest.raises(DependencyUnmet):
        stage.send(inputs.StartJob("a"))
    with pytest.raises(DependencyUnmet):
        stage.send(inputs.RestartJob("a", ENOUGH))

    assert hold_of(stage) == [Hold.STOPPED]


def test_the_cancel_of_one_run_holds_nothing_back() -> None:
    stage = started_core(job(schedule=EVERY))
    stage.run("a")

    stage.stop("a", run="a#1")
    stage.ended("a#1")

    assert hold_of(stage) == []
    assert "queued a#2" in show(stage.advance(10))


def test_a_stop_of_everything_holds_no_job() -> None:
    stage = started_core(job())
    stage.started("a#1")

    stage.shutdown()
    stage.stop("a")

    assert hold_of(stage) == []


def test_a_stopped_job_that_is_enabled_again_waits_for_a_user() -> None:
    stage = finished()
    switch_off_and_on(stage)

    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.START
    assert stage.start("a") == "a#2"
