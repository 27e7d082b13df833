"""Reload: the action for each changed field in each state of a job, and what stays unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.hand_driven_core import HandDrivenCore, event_of, show

from taskloom.core.actions import ApplySpec
from taskloom.core.changes import make_plan
from taskloom.core.events import EventName
from taskloom.core.inputs import Reload
from taskloom.core.model import (
    How,
    JobSpec,
    JobState,
    JoinPolicy,
    Otherwise,
    Reason,
    ReasonKind,
    RunnerSpec,
)
from taskloom.core.policies import (
    Dependency,
    LogLevel,
    LogPolicy,
    RestartPolicy,
    RestartWhen,
    Schedule,
    StartMode,
    StartPolicy,
    Watchdog,
)
from taskloom.core.reload import Change, ReloadAction, compare
from taskloom.diagnostics import Place
from taskloom.errors import DependencyCycle, DuplicateJob, SchedulerStopped
from taskloom.testing import make_job

ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0)
JOB = make_job("a", daemon=True, within=1.0, restart=ON_FAILURE)
PARAMS = replace(JOB, params={"n": 1})
GONE = Reason(ReasonKind.RELOAD, "no longer declared")
NEW_PARAMS = Reason(ReasonKind.RELOAD, "params changed")

# A new value for each field of a job, and the action of a reload that brings it.
FIELDS: dict[str, tuple[Any, ReloadAction]] = {
    "task": ("other", ReloadAction.RESTART),
    "params": ({"n": 1}, ReloadAction.RESTART),
    "daemon": (False, ReloadAction.RESTART),
    "runner": (RunnerSpec("process"), ReloadAction.RESTART),
    "description": ("words", ReloadAction.APPLY),
    "labels": (("web",), ReloadAction.APPLY),
    "enabled": (False, ReloadAction.APPLY),
    "poll_interval": (2.0, ReloadAction.APPLY),
    "join": (JoinPolicy(3.0, Otherwise.ABANDON), ReloadAction.APPLY),
    "start": (StartPolicy(StartMode.MANUAL), ReloadAction.APPLY),
    "schedule": (Schedule(every=5.0), ReloadAction.APPLY),
    "after": ((Dependency("b"),), ReloadAction.APPLY),
    "restart": (RestartPolicy(), ReloadAction.APPLY),
    "timeout": (5.0, ReloadAction.APPLY),
    "ready_within": (5.0, ReloadAction.APPLY),
    "watchdog": (Watchdog(5.0), ReloadAction.APPLY),
    "essential": (True, ReloadAction.APPLY),
    "log": (LogPolicy(LogLevel.DEBUG), ReloadAction.APPLY),
    "place": (Place("b.yaml", 9, 1), ReloadAction.KEEP),
    "binding": (object(), ReloadAction.KEEP),
    "replicas": (3, ReloadAction.KEEP),
    "replica": (2, ReloadAction.KEEP),
    "declared": ("b", ReloadAction.KEEP),
}


@every_case("name", FIELDS)
def test_the_action_for_each_changed_field(name: str) -> None:
    value, verdict = FIELDS[name]

    (change,) = compare({"a": JOB}, [replace(JOB, **{name: value})])

    assert change == Change("a", verdict, (name,) if verdict is not ReloadAction.KEEP else ())


def test_every_field_has_an_action() -> None:
    assert set(FIELDS) == {field.name for field in fields(JobSpec)} - {"name"}


def test_one_field_that_a_run_is_made_from_is_enough_for_a_restart_and_all_changed_fields_are_named() -> None:
    (change,) = compare({"a": JOB}, [replace(PARAMS, timeout=5.0, labels=("x",))])

    assert change.action is ReloadAction.RESTART
    assert set(change.fields) == {"params", "timeout", "labels"}
    assert str(Change("a", ReloadAction.RESTART, ("params", "timeout"))) == "a: restart (params, timeout)"
    assert str(Change("a", ReloadAction.KEEP)) == "a: keep"


class Array:
    """Like an array of numpy: two of them have no truth value when they are compared."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = object.__hash__


def test_params_that_cannot_be_compared_differ_unless_they_are_the_same_object() -> None:
    one = replace(JOB, params={"n": Array()})

    changes = [*compare({"a": one}, [replace(one, params={"n": Array()})]), *compare({"a": one}, [replace(one)])]

    assert [str(change) for change in changes] == ["a: restart (params)", "a: keep"]


def test_a_plan_that_was_made_before_another_declaration_is_made_anew() -> None:
    stage = running()
    plan = make_plan(stage.lifecycle.reloader.declarations(), [PARAMS])
    stage.add(make_job("late"))

    found = stage.send(Reload((PARAMS,), plan))

    assert [str(change) for change in plan.changes] == ["a: restart (params)"]
    assert event_of(found, EventName.RELOADED).data["remove"] == ["late"]


def test_a_new_name_is_a_removal_and_an_addition() -> None:
    found = compare({"a": JOB}, [replace(JOB, name="z")])

    assert found == [Change("a", ReloadAction.REMOVE), Change("z", ReloadAction.ADD)]


# -- unchanged jobs


def test_unchanged_jobs_keep_their_run_and_cause_no_action() -> None:
    stage = running()
    stage.add(make_job("b"))
    stage.run("b")

    found = stage.reload(PARAMS, make_job("b"))

    run = stage.lifecycle.jobs["b"].run
    assert run is not None
    assert (run.id, run.requested) == ("b#1", None)
    assert not [line for line in show(found) if "b#1" in line]


def test_a_job_whose_policies_change_keeps_its_run_under_the_new_ones() -> None:
    stage = running()
    new = replace(JOB, join=JoinPolicy(3.0, Otherwise.ABANDON), restart=RestartPolicy(), description="words")

    found = stage.reload(new)
    stage.ended("a#1", How.RAISED)

    assert ApplySpec("a#1", new) in found
    assert stage.state("a") is JobState.FINISHED


def test_the_event_lists_the_jobs_by_action() -> None:
    stage = running()
    stage.add(make_job("kept"), make_job("applied"), make_job("gone"))

    found = stage.reload(PARAMS, make_job("kept"), make_job("applied", timeout=5.0), make_job("new"))

    data = event_of(found, EventName.RELOADED).data
    assert data == {"add": ["new"], "remove": ["gone"], "apply": ["applied"], "restart": ["a"]}
    assert [str(change) for change in stage.lifecycle.reloader.changes] == [
        "gone: remove", "a: restart (params)", "kept: keep", "applied: apply now (timeout)", "new: add",
    ]  # fmt: skip


def test_a_preview_returns_the_same_changes_and_changes_nothing() -> None:
    stage = running()
    before = list(stage.history.events)

    preview = stage.lifecycle.reloader.preview([PARAMS, make_job("new")])

    assert [str(change) for change in preview] == ["a: restart (params)", "new: add"]
    assert stage.lifecycle.jobs["a"].spec is not PARAMS
    assert list(stage.history.events) == before


# -- a restart in every state


def declared() -> HandDrivenCore:
    stage = HandDrivenCore()
    stage.add(JOB)
    return stage


def started(job: JobSpec) -> Callable[[], HandDrivenCore]:
    def make() -> HandDrivenCore:
        stage = HandDrivenCore()
        stage.add(make_job("b", manual=True), job)
        stage.start_all()
        return stage

    return make


def running() -> HandDrivenCore:
    stage = HandDrivenCore()
    stage.add(JOB)
    stage.start_all()
    stage.started("a#1")
    return stage


def after_running(*steps: Callable[[HandDrivenCore], object]) -> Callable[[], HandDrivenCore]:
    def make() -> HandDrivenCore:
        stage = running()
        for step in steps:
            step(stage)
        return stage

    return make


def stop(stage: HandDrivenCore) -> None:
    stage.stop("a")


def restart(stage: HandDrivenCore) -> None:
    stage.restart("a")


def abandon(stage: HandDrivenCore) -> None:
    stage.advance(1)
    stage.stack_captured("a#1")


def end(stage: HandDrivenCore) -> None:
    stage.ended("a#1")


def fail(stage: HandDrivenCore) -> None:
    stage.ended("a#1", How.RAISED)


def disable(stage: HandDrivenCore) -> None:
    stage.reload(replace(JOB, enabled=False))


def remove(stage: HandDrivenCore) -> None:
    stage.reload()


# The state of the job, the immediate actions of a reload that changes its params, and whether a run follows its run.
RESTARTS: dict[str, tuple[Callable[[], HandDrivenCore], list[str], bool | None]] = {
    "declared": (declared, [], None),
    "waiting for its delay": (started(replace(JOB, start=StartPolicy(StartMode.AUTO, 5.0))), [], None),
    "waiting for a start": (started(replace(JOB, start=StartPolicy(StartMode.MANUAL))), [], None),
    "running": (running, ["cancel_requested a#1", "CancelRun a#1"], True),
    "stopping, by a user": (after_running(stop), [], False),
    "stopping, for a restart": (after_running(restart), [], True),
    "blocked, by a user": (after_running(stop, abandon), [], False),
    "blocked, restart pending": (after_running(restart, abandon), [], True),
    "waiting for its restart": (after_running(fail), ["queued a#2", "StartRun a#2"], None),
    "finished": (after_running(end), ["queued a#2", "StartRun a#2"], None),
    "disabled": (after_running(end, disable), ["queued a#2", "StartRun a#2"], None),
    "stopping, switched off": (after_running(disable), [], True),
    "blocked, switched off": (after_running(disable, abandon), [], True),
    "stopping, taken away": (after_running(remove), [], True),
    "blocked, taken away": (after_running(remove, abandon), [], True),
    "stopped by a user, then removed": (after_running(stop, remove), [], False),
    "stopped by a user, then disabled": (after_running(stop, disable), [], False),
}


MEETINGS = [(where, "restart") for where in RESTARTS]
MEETINGS += [(where, "keep") for where in RESTARTS if "away" in where or "off" in where]


@every_case(("where", "what"), MEETINGS)
def test_a_reload_in_every_state_of_a_job(where: str, what: str) -> None:
    """With new params, and with the declaration that it had when it was running, where that says something else."""
    make, at_once, follows = RESTARTS[where]
    stage = make()
    base = replace(stage.lifecycle.jobs["a"].spec, enabled=True)
    new = replace(base, params={"n": 1}) if what == "restart" else base

    found = [line for line in show(stage.reload(*_others(stage), new)) if line.split()[0] != "reloaded"]

    assert found == at_once
    if follows is not None:
        ended = show(stage.ended("a#1"))
        assert ("StartRun a#2" in ended) == follows
        assert stage.state("a") is (JobState.RUNNING if follows else JobState.FINISHED)
    assert stage.lifecycle.jobs["a"].spec.params == new.params


def _others(stage: HandDrivenCore) -> list[JobSpec]:
    return [job.spec for name, job in stage.lifecycle.jobs.items() if name != "a"]


def test_a_run_that_a_reload_restarts_has_the_reason_and_its_own_stop_ladder() -> None:
    stage = running()

    found = stage.reload(replace(PARAMS, join=JoinPolicy(100.0, Otherwise.ABANDON)))
    named = stage.advance(1)

    assert event_of(found, EventName.CANCEL_REQUESTED).reason == Reason(ReasonKind.RELOAD, "params, join changed")
    assert "CaptureStack a#1" in show(named)


def test_the_run_that_follows_is_made_from_the_newest_declaration() -> None:
    stage = running()
    stage.reload(PARAMS)
    stage.reload(replace(JOB, params={"n": 2}))

    stage.ended("a#1")

    assert stage.lifecycle.runs["a#2"].spec.params == {"n": 2}
    assert stage.lifecycle.jobs["a"].restarts == 0


def test_a_disabled_job_does_not_start_because_its_params_change() -> None:
    stage = after_running(disable, abandon)()

    stage.reload(replace(PARAMS, enabled=False))
    stage.ended("a#1")

    assert stage.state("a") is JobState.DISABLED


# -- all or nothing


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_cycle_is_refused_and_nothing_has_changed(length: int) -> None:
    stage = running()
    before = list(stage.history.events)
    names = [f"j{number}" for number in range(length)]
    circle = [make_job(name, after=[names[number - 1]]) for number, name in enumerate(names)]

    with pytest.raises(DependencyCycle) as caught:
        stage.reload(PARAMS, *circle)

    assert set(caught.value.circle) == set(names)
    assert list(stage.history.events) == before
    assert stage.lifecycle.jobs["a"].spec == JOB


def test_a_cycle_through_a_removed_job_that_is_still_stopping_is_refused() -> None:
    """A shutdown orders all jobs that have runs by their dependencies; a cycle would have no order."""
    stage = HandDrivenCore()
    stage.add(make_job("b"), make_job("a", after=["b"]))
    stage.run("b")
    stage.run("a")

    with pytest.raises(DependencyCycle):
        stage.reload(make_job("b", after=["a"]))
    stage.reload(make_job("b"))

    assert "scheduler_stopping" in show(stage.shutdown())


def test_two_declarations_of_one_name_are_refused_and_nothing_has_changed() -> None:
    stage = running()
    before = list(stage.history.events)

    with pytest.raises(DuplicateJob):
        stage.reload(PARAMS, JOB)

    assert list(stage.history.events) == before


def test_a_reload_is_refused_during_a_shutdown() -> None:
    stage = running()
    stage.shutdown()

    with pytest.raises(SchedulerStopped, match="cannot reload: the scheduler was stopped"):
        stage.reload(JOB)
