from __future__ import annotations

from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore, show

from taskloom.core.model import How, Otherwise
from taskloom.core.policies import RestartLimit, RestartPolicy, RestartWhen, Schedule
from taskloom.testing import make_job

# -- when the work is over


def test_daemons_do_not_keep_the_program_alive(stage: HandDrivenCore) -> None:
    stage.start_all()
    stage.started("a#1")
    stage.started("d#1")
    before = stage.lifecycle.is_work_over

    found = stage.ended("a#1")

    assert not before
    assert show(found)[-1] == "WorkFinished"
    assert stage.lifecycle.is_work_over


def test_daemons_alone_run_until_the_last_of_them_ends() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("one", daemon=True), make_job("two", daemon=True), make_job("m", manual=True))
    stage.start_all()
    stage.started("one#1")
    stage.started("two#1")

    first = stage.ended("one#1")
    second = stage.ended("two#1")

    assert "WorkFinished" not in show(first)
    assert show(second)[-1] == "WorkFinished"


def test_a_start_delay_keeps_the_program_alive() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("now"), make_job("late", delay=5))
    stage.start_all()
    stage.started("now#1")

    first = stage.ended("now#1")
    stage.advance(5)
    stage.started("late#1")

    assert "WorkFinished" not in show(first)
    assert show(stage.ended("late#1"))[-1] == "WorkFinished"


def test_a_stopping_run_keeps_the_program_alive_even_if_overdue(stage: HandDrivenCore) -> None:
    stage.run("a")
    stage.stop("a")
    stage.advance(5)

    named = stage.stack_captured("a#1")

    assert "WorkFinished" not in show(named)
    assert show(stage.ended("a#1"))[-1] == "WorkFinished"


def test_a_manual_job_that_was_never_started_does_not_count() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("m", manual=True))
    stage.start_all()

    assert stage.lifecycle.is_work_over


def test_a_job_started_after_the_work_was_over_continues_it(stage: HandDrivenCore) -> None:
    stage.run("a")
    stage.ended("a#1")
    stage.run("a")

    assert not stage.lifecycle.is_work_over
    assert show(stage.ended("a#2"))[-1] == "WorkFinished"


def test_an_abandoned_run_of_a_non_daemon_job_does_not_keep_the_program_alive() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", otherwise=Otherwise.ABANDON, within=1))
    stage.run("a")
    stage.stop("a")
    stage.advance(1)

    assert show(stage.stack_captured("a#1"))[-1] == "WorkFinished"


# -- kinds of wait

WAITS: dict[str, dict[str, Any]] = {
    "a delay": {"delay": 5.0},
    "another job": {"after": ["m"]},
    "its next firing": {"schedule": Schedule(every=5.0)},
}


@pytest.mark.parametrize("what", WAITS)
@pytest.mark.parametrize("daemon", [False, True])
def test_a_job_that_will_start_by_itself_keeps_the_program_alive_unless_it_is_a_daemon(what: str, daemon: bool) -> None:
    stage = HandDrivenCore()
    stage.add(make_job("m", manual=True), make_job("now"), make_job("a", daemon=daemon, **WAITS[what]))
    stage.start_all()
    stage.started("now#1")

    found = stage.ended("now#1")

    assert ("WorkFinished" in show(found)) == daemon
    assert stage.lifecycle.is_work_over == daemon


def test_a_pending_restart_keeps_the_program_alive_until_the_job_gives_up() -> None:
    limit = RestartLimit(1, 60.0)
    stage = HandDrivenCore()
    stage.add(make_job("a", restart=RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0, limit=limit)))
    stage.run("a")

    first = stage.ended("a#1", How.RAISED)
    stage.advance(0.5)
    second = stage.ended("a#2", How.RAISED)

    assert "WorkFinished" not in show(first)
    assert show(second)[-2:] == ["gave_up a#2", "WorkFinished"]


def test_a_restart_after_an_abandoned_run_does_not_keep_the_program_alive() -> None:
    """That thread may never exit; the restart follows only if something else keeps the program alive."""
    stage = HandDrivenCore()
    stage.add(make_job("a", otherwise=Otherwise.ABANDON, within=1.0, restart=RestartPolicy(RestartWhen.ALWAYS)))
    stage.run("a")
    stage.restart("a")
    stage.advance(1)

    abandoned = stage.stack_captured("a#1")
    late = stage.ended("a#1")

    assert show(abandoned)[-1] == "WorkFinished"
    assert show(late)[-1] == "StartRun a#2"
    assert not stage.lifecycle.is_work_over


def test_the_work_is_over_when_the_last_waiting_job_is_skipped() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("b"), make_job("a", after=["b"]), make_job("z", after=["a"]))
    stage.start_all()

    found = stage.start_failed("b#1")

    assert show(found)[-3:] == ["skipped a", "skipped z", "WorkFinished"]
