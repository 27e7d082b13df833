"""A reload that changes what a job failed for good because of: it begins again, and so do those that wait for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.failing_job import (
    LIMITED,
    OTHER,
    SLOW,
    acts,
    change,
    fail,
    give_up,
    job_a,
    new_window,
    stage_of,
    starts,
)
from tests.support.hand_driven_core import HandDrivenCore, show

from taskloom.core.model import (
    How,
    JobSpec,
    JobState,
    WaitingFor,
)
from taskloom.core.policies import (
    Condition,
    Dependency,
    JoinPolicy,
    Otherwise,
    RestartLimit,
    RestartPolicy,
)
from taskloom.testing import VirtualClock, make_job

# -- a job that failed for good


def failed_for_good(how: str) -> HandDrivenCore:
    if how == "gave up":
        stage = stage_of(job_a(restart=LIMITED))
        give_up(stage)
    elif how == "gave up at its timeout":
        stage = stage_of(job_a(restart=replace(LIMITED, limit=RestartLimit(1, 3600.0)), timeout=5.0))
        for _ in range(2):
            stage.advance(5)
            fail(stage)
            stage.advance(1)
    else:
        stage = stage_of(job_a(restart=RestartPolicy(), timeout=5.0))
        stage.advance(5)
        fail(stage)
    assert stage.state("a") is JobState.FINISHED
    return stage


@every_case(
    ("how", "fields", "is_fixed"),
    [
        ("gave up", {"params": {"n": 1}}, True),
        ("gave up", {"poll_interval": 0.5}, True),
        ("gave up", {"restart": replace(LIMITED, limit=None)}, True),
        ("gave up", {"restart": replace(LIMITED, limit=RestartLimit(9, 60.0))}, True),
        ("gave up", {"restart": RestartPolicy()}, False),
        ("gave up", {"timeout": 60.0}, False),
        ("gave up", {"description": "new"}, False),
        ("gave up at its timeout", {"timeout": 60.0}, True),
        ("gave up at its timeout", {"poll_interval": 0.5}, False),
        ("timed out", {"timeout": 60.0}, True),
        ("timed out", {"restart": SLOW}, False),
        ("timed out", {"join": JoinPolicy(60.0, Otherwise.EXIT)}, False),
    ],
)
def test_a_job_that_failed_for_good_begins_again_if_a_reload_may_have_fixed_it(
    how: str, fields: dict[str, Any], is_fixed: bool
) -> None:
    stage = failed_for_good(how)
    run = stage.lifecycle.jobs["a"].runs + 1

    found = acts(change(stage, **fields))

    assert (found[-2:] == starts(run)) == is_fixed
    assert found or not is_fixed
    assert stage.lifecycle.jobs["a"].has_failed != is_fixed


def test_a_manual_job_that_gave_up_waits_for_its_start_without_the_mark() -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(OTHER, job_a(restart=LIMITED, manual=True))
    stage.run("a")
    give_up(stage)

    found = acts(change(stage, params={"n": 1}))

    assert found == ["reset a"]
    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.START
    stage.start("a")
    assert new_window(stage)


def test_a_job_that_a_user_stopped_during_its_restart_delay_does_not_begin_again_for_a_new_timeout() -> None:
    stage = stage_of(job_a(timeout=5.0))
    stage.advance(5)
    fail(stage)
    stage.stop("a")

    assert acts(change(stage, timeout=60.0)) == ["reset a"]
    assert stage.state("a") is JobState.FINISHED


# -- a blocked job


def blocked(**policies: Any) -> HandDrivenCore:
    stage = stage_of(job_a(daemon=True, within=1.0, timeout=5.0, **policies))
    stage.advance(6)
    stage.stack_captured("a#1")
    return stage


@pytest.mark.parametrize("restart", [SLOW, RestartPolicy()])
@pytest.mark.parametrize("fields", [{"params": {"n": 1}}, {"timeout": 60.0}])
def test_a_blocked_job_runs_again_as_soon_as_the_thread_has_ended(
    fields: dict[str, Any], restart: RestartPolicy
) -> None:
    stage = blocked(restart=restart)

    found = acts(change(stage, **fields))

    assert found == []
    assert show(stage.ended("a#1"))[-2:] == starts(2)


def test_a_blocked_job_keeps_its_restart_delay_if_nothing_may_fix_it() -> None:
    stage = blocked()

    change(stage, description="new", poll_interval=0.5)

    assert show(stage.ended("a#1"))[-1] == "restart_scheduled a#1"


# -- the jobs after it


def chain(**policies: Any) -> HandDrivenCore:
    """Return a core in which `a` has failed for good and the jobs after it were skipped."""
    stage = HandDrivenCore(VirtualClock(0, 0))
    after = [Dependency("a", Condition.SUCCEEDED)]
    stage.add(
        OTHER, job_a(restart=RestartPolicy(), **policies), make_job("second", after=after),
        make_job("third", after=["second"]), make_job("stopped", after=after), make_job("both", after=[*after, "bad"]),
        make_job("bad"),
    )  # fmt: skip
    stage.start_all()
    stage.stop("stopped")
    stage.started("bad#1")
    stage.ended("bad#1", How.RAISED)
    stage.started("a#1")
    stage.advance(5)
    fail(stage)
    return stage


def declared(stage: HandDrivenCore) -> list[JobSpec]:
    return [job.spec for job in stage.lifecycle.jobs.values()]


@pytest.mark.parametrize("fields", [{"params": {"n": 1}}, {"timeout": 60.0}])
def test_jobs_that_were_skipped_because_of_it_wait_again(fields: dict[str, Any]) -> None:
    stage = chain(timeout=5.0)
    specs = [replace(spec, **fields) if spec.name == "a" else spec for spec in declared(stage)]

    stage.reload(*specs)
    waiting = {name for name, job in stage.lifecycle.jobs.items() if job.waits_for_dependencies}
    stage.started("a#2")
    ended = show(stage.ended("a#2"))

    assert waiting == {"second", "third"}
    assert "queued second#1" in ended
    assert "queued third#1" in show(stage.started("second#1"))
    assert stage.state("stopped") is stage.state("both") is JobState.SKIPPED


@pytest.mark.parametrize("fields", [{"params": {"n": 1}}, {"timeout": 60.0}])
def test_jobs_that_were_skipped_because_it_is_blocked_wait_again(fields: dict[str, Any]) -> None:
    stage = blocked(restart=RestartPolicy())
    stage.add(make_job("second", after=["a"]))
    skipped = show(stage.arm("second"))

    stage.reload(*(replace(spec, **fields) if spec.name == "a" else spec for spec in declared(stage)))
    is_waiting = stage.lifecycle.jobs["second"].waits_for_dependencies
    stage.ended("a#1")

    assert skipped[0] == "skipped second"
    assert is_waiting
    assert "queued second#1" in show(stage.started("a#2"))


def test_they_wait_for_the_new_run_although_an_old_one_had_succeeded() -> None:
    stage = chain()
    stage.run("a")
    stage.ended("a#2")

    found = stage.reload(*(replace(spec, params={"n": 1}) if spec.name == "a" else spec for spec in declared(stage)))
    stage.started("a#3")

    assert "queued a#3" in show(found)
    assert stage.lifecycle.jobs["second"].waits_for_dependencies
    assert "queued second#1" in show(stage.ended("a#3"))


def test_they_stay_skipped_if_it_is_not_fixed() -> None:
    stage = chain()

    found = show(stage.reload(*(replace(spec, description="new") for spec in declared(stage))))

    assert {line for line in found if not line.startswith("ApplySpec")} == {"reloaded"}
    assert stage.state("second") is JobState.SKIPPED


def test_a_job_that_waits_for_two_is_skipped_until_the_last_of_them_is_fixed() -> None:
    stage = chain()

    stage.reload(*(replace(spec, params={"n": 1}) if spec.name == "bad" else spec for spec in declared(stage)))
    before = stage.state("both")
    stage.reload(*(replace(spec, params={"n": 1}) if spec.name == "a" else spec for spec in declared(stage)))

    assert (before, stage.state("both")) == (JobState.SKIPPED, JobState.WAITING)


def test_a_new_job_after_one_that_was_skipped_is_not_skipped_itself() -> None:
    stage = chain()
    specs = [replace(spec, params={"n": 1}) if spec.name == "a" else spec for spec in declared(stage)]

    found = show(stage.reload(*specs, make_job("new", after=["second"])))

    assert "skipped new" not in found
    assert stage.lifecycle.jobs["new"].waits_for_dependencies


def test_those_that_waited_through_its_restarts_go_on_waiting() -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(job_a(), make_job("second", after=["a"]))
    stage.start_all()
    stage.started("a#1", is_ready=False)
    fail(stage)

    stage.reload(job_a(params={"n": 1}), make_job("second", after=["a"]))

    assert "queued second#1" in show(stage.started("a#2"))
