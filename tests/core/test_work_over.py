from __future__ import annotations

from taskloom.core.model import Otherwise
from taskloom.testing.stage import Stage, make_job, show

# -- when the work is over


def test_daemons_do_not_keep_the_program_alive(stage: Stage) -> None:
    stage.start_all()
    stage.started("a#1")
    stage.started("d#1")
    before = stage.lifecycle.is_work_over

    found = stage.ended("a#1")

    assert not before
    assert show(found)[-1] == "WorkOver"
    assert stage.lifecycle.is_work_over


def test_daemons_alone_run_until_the_last_of_them_ends() -> None:
    stage = Stage()
    stage.add(make_job("one", daemon=True), make_job("two", daemon=True), make_job("m", manual=True))
    stage.start_all()
    stage.started("one#1")
    stage.started("two#1")

    first = stage.ended("one#1")
    second = stage.ended("two#1")

    assert "WorkOver" not in show(first)
    assert show(second)[-1] == "WorkOver"


def test_a_start_delay_keeps_the_program_alive() -> None:
    stage = Stage()
    stage.add(make_job("now"), make_job("late", delay=5))
    stage.start_all()
    stage.started("now#1")

    first = stage.ended("now#1")
    stage.advance(5)
    stage.started("late#1")

    assert "WorkOver" not in show(first)
    assert show(stage.ended("late#1"))[-1] == "WorkOver"


def test_a_stopping_run_keeps_the_program_alive_though_it_is_overdue(stage: Stage) -> None:
    stage.run("a")
    stage.stop("a")
    stage.advance(5)

    named = stage.named("a#1")

    assert "WorkOver" not in show(named)
    assert show(stage.ended("a#1"))[-1] == "WorkOver"


def test_a_manual_job_that_was_never_started_does_not_count() -> None:
    stage = Stage()
    stage.add(make_job("m", manual=True))
    stage.start_all()

    assert stage.lifecycle.is_work_over


def test_a_job_started_after_the_work_was_over_makes_it_go_on(stage: Stage) -> None:
    stage.run("a")
    stage.ended("a#1")
    stage.run("a")

    assert not stage.lifecycle.is_work_over
    assert show(stage.ended("a#2"))[-1] == "WorkOver"


def test_an_abandoned_run_of_a_job_that_is_no_daemon_keeps_nothing_alive() -> None:
    stage = Stage()
    stage.add(make_job("a", otherwise=Otherwise.ABANDON, within=1))
    stage.run("a")
    stage.stop("a")
    stage.advance(1)

    assert show(stage.named("a#1"))[-1] == "WorkOver"
