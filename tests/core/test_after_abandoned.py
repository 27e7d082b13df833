"""A job whose run was abandoned: its restarts and firings wait until the thread exits."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore, show

from taskloom.core.model import JobState
from taskloom.core.policies import RestartPolicy, RestartWhen, Schedule
from taskloom.errors import JobBlocked
from taskloom.testing import make_job

ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0)


def timed_out_and_abandoned(**policies: Any) -> HandDrivenCore:
    stage = HandDrivenCore()
    stage.add(make_job("a", daemon=True, within=1.0, restart=ON_FAILURE, timeout=5.0, **policies))
    stage.run("a")
    stage.advance(5)
    stage.advance(1)
    stage.stack_captured("a#1")
    return stage


def test_a_restart_waits_until_the_abandoned_thread_exits_and_then_for_its_delay() -> None:
    stage = timed_out_and_abandoned()
    waited = stage.advance(3600)

    late = stage.ended("a#1")
    restarted = stage.advance(0.5)

    assert waited == []
    assert show(late) == ["late_exit a#1", "ReleaseRun a#1", "restart_scheduled a#1"]
    assert show(restarted) == ["queued a#2", "StartRun a#2"]


def test_a_blocked_job_refuses_every_start_and_still_waits_for_its_thread() -> None:
    stage = timed_out_and_abandoned()

    for command in (stage.start, stage.arm, stage.restart):
        with pytest.raises(JobBlocked, match="the thread of its abandoned run a#1 is still alive"):
            command("a")

    assert "restart_scheduled a#1" in show(stage.ended("a#1"))


def test_a_shutdown_cancels_the_restart_after_an_abandoned_run() -> None:
    stage = timed_out_and_abandoned()
    stage.shutdown()

    late = stage.ended("a#1")

    assert show(late) == ["late_exit a#1", "ReleaseRun a#1"]
    assert stage.state("a") is JobState.FINISHED
    assert stage.advance(60) == []


def test_a_late_exit_during_a_shutdown_starts_nothing_even_before_its_level() -> None:
    stage = timed_out_and_abandoned()
    stage.add(make_job("top", after=["a"]))
    stage.run("top")
    stage.shutdown()

    late = stage.ended("a#1")

    assert show(late) == ["late_exit a#1", "ReleaseRun a#1"]
    assert stage.state("a") is JobState.FINISHED


def test_firings_are_missed_until_an_abandoned_thread_exits() -> None:
    stage = timed_out_and_abandoned(schedule=Schedule(every=60.0))

    blocked = stage.advance(120)
    stage.ended("a#1")
    stage.advance(0.5)
    stage.started("a#2")
    stage.ended("a#2")
    again = stage.advance(60)

    assert show(blocked) == ["missed a", "missed a"]
    assert show(again)[:2] == ["queued a#3", "StartRun a#3"]
