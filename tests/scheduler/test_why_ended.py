"""Why a job is, or is not, running: the answers about jobs that have ended, or never begin, to the letter."""

from __future__ import annotations

import pytest
from tests.support.why_scenes import (
    FIRST_WALL_SECONDS,
    RETRIED,
    SUCCESS,
    Once,
    begun,
    declared,
    fail,
    why,
)

from taskloom.core.model import How
from taskloom.core.policies import Schedule
from taskloom.testing import make_job

pytestmark = pytest.mark.usefixtures("in_utc")


def test_a_job_that_gave_up_can_be_reset() -> None:
    core = declared(make_job("db", restart=RETRIED))
    core.start_all()
    fail(core, "db", 3, then=9)

    assert why(core, "db") == (
        "db gave up (more than 2 restarts within 1m): it failed 3 times, most recently 9s ago, at 00:00:18: "
        "RuntimeError: boom. `taskloom reset db` forgets the failures and starts it again."
    )


def test_a_permanent_failure_gives_up_at_once() -> None:
    core = declared(make_job("db", restart=RETRIED))
    core.start_all()
    core.started("db#1")
    core.ended("db#1", How.PERMANENT)
    core.advance(9)

    assert why(core, "db") == (
        "db gave up (permanent failure): it failed 9s ago, at 00:00:00: RuntimeError: boom. `taskloom reset db` "
        "forgets the failures and starts it again."
    )


def test_a_job_that_was_skipped_because_another_gave_up_goes_on_with_its_reset() -> None:
    core = declared(make_job("db", restart=RETRIED), make_job("web", after=["db"]))
    core.start_all()
    fail(core, "db", 3, then=9)

    assert why(core, "web") == (
        "web was skipped: job 'db' ended failed, and was to be ready. db gave up (more than 2 restarts within "
        "1m): it failed 3 times, most recently 9s ago, at 00:00:18: RuntimeError: boom. `taskloom reset db` "
        "starts db again, and then web."
    )


def test_a_job_that_was_skipped_names_the_failure_at_the_end_of_the_chain() -> None:
    core = begun(make_job("db"), make_job("api", after=[SUCCESS]), make_job("web", after=["api"]))
    core.advance(5)
    core.ended("db#1", How.RAISED)
    core.advance(5)

    assert why(core, "web") == (
        "web was skipped: job 'api' is skipped, and was to be ready. api needs db (succeeded). db is not running: its "
        "last run, db#1, failed 5s ago, at 00:00:05, after 5s: RuntimeError: boom. `taskloom start web` starts it once "
        "api is ready."
    )


def test_a_job_that_was_skipped_can_start_when_the_cause_is_gone() -> None:
    core = begun(make_job("db"), make_job("api", after=[SUCCESS]), make_job("web", after=["api"]))
    core.ended("db#1", How.RAISED)
    core.run("db")
    core.advance(1)
    core.ended("db#2")

    assert why(core, "api") == (
        "api was skipped: job 'db' ended failed, and was to be succeeded, which has changed since then. `taskloom "
        "start api` starts it."
    )
    assert why(core, "web") == (
        "web was skipped: job 'api' is skipped, and was to be ready. api was skipped: job 'db' ended failed, and "
        "was to be succeeded, which has changed since then. `taskloom start web` starts it once api is ready."
    )


def test_a_disabled_job_makes_its_dependents_impossible() -> None:
    core = declared(make_job("db", enabled=False), make_job("web", after=["db"]))
    core.start_all()

    assert why(core, "web") == (
        "web was skipped: job 'db' is disabled, and was to be ready. db cannot run: it is disabled (enabled: "
        "false). `taskloom start web` starts it once db is ready."
    )
    assert why(core, "db") == (
        "db cannot run: it is disabled (enabled: false). To enable it, change its declaration and reload."
    )


def test_a_job_that_is_not_declared_makes_its_dependents_impossible() -> None:
    core = declared(make_job("web", after=["db"]))
    core.start_all()

    assert why(core, "web") == ("web was skipped: there is no job 'db'. It can start once a reload declares db.")


def test_a_success_is_followed_by_nothing() -> None:
    core = begun(make_job("web"))
    core.advance(62)
    core.ended("web#1")
    core.advance(5)

    assert why(core, "web") == (
        "web is not running: its last run, web#1, succeeded 5s ago, at 00:01:02, after 1m2s. No restart follows a "
        "success (restart: never). `taskloom start web` starts it again."
    )


def test_a_failure_is_told_with_its_error_and_its_policy() -> None:
    core = begun(make_job("web"))
    core.advance(62)
    core.ended("web#1", How.RAISED)
    core.advance(5)

    assert why(core, "web") == (
        "web is not running: its last run, web#1, failed 5s ago, at 00:01:02, after 1m2s: RuntimeError: boom. No "
        "restart follows a failure (restart: never). `taskloom start web` starts it again."
    )


def test_a_run_that_could_not_start_is_told_with_its_error() -> None:
    core = declared(make_job("web"))
    core.start_all()
    core.start_failed("web#1")
    core.advance(5)

    assert why(core, "web") == (
        "web is not running: its last run, web#1, could not start 5s ago, at 00:00:00: RuntimeError: boom. No "
        "restart follows a failure (restart: never). `taskloom start web` starts it again."
    )


def test_a_run_that_timed_out_is_told_with_its_limit() -> None:
    core = begun(make_job("web", timeout=5.0))
    core.advance(6)
    core.ended("web#1", How.CANCELLED)
    core.advance(5)

    assert why(core, "web") == (
        "web is not running: its last run, web#1, timed out 5s ago, at 00:00:06, after 6s (longer than its "
        "timeout of 5s). No restart follows a failure (restart: never). `taskloom start web` starts it again."
    )


def test_a_run_that_was_not_ready_in_time_is_told_with_its_limit() -> None:
    core = declared(make_job("web", ready_within=5.0))
    core.start_all()
    core.started("web#1", is_ready=False)
    core.advance(6)
    core.ended("web#1", How.CANCELLED)
    core.advance(5)

    assert why(core, "web") == (
        "web is not running: its last run, web#1, failed 5s ago, at 00:00:06, after 6s (watchdog: not ready "
        "within 5s). No restart follows a failure (restart: never). `taskloom start web` starts it again."
    )


def test_a_run_that_was_cancelled_alone_is_told_with_its_caller() -> None:
    core = begun(make_job("web"))
    core.advance(10)
    core.stop("web", "enough", run="web#1")
    core.ended("web#1", How.CANCELLED)
    core.advance(3)

    assert why(core, "web") == (
        "web is not running: its last run, web#1, was cancelled 3s ago, at 00:00:10, after 10s (enough). It was "
        "stopped, so no run follows by itself. `taskloom start web` starts it again."
    )


def test_a_schedule_without_further_instants_is_over() -> None:
    core = declared(make_job("web", schedule=Schedule(calendar=Once(FIRST_WALL_SECONDS + 10.0), text="at 00:00:10")))
    core.start_all()
    core.advance(11)
    core.started("web#1")
    core.ended("web#1")
    core.advance(1)

    assert why(core, "web") == (
        "web is not running: its last run, web#1, succeeded 1s ago, at 00:00:11. Its schedule has no further "
        "firings. `taskloom start web` starts it again."
    )


def test_a_schedule_that_never_fires_is_over_at_once() -> None:
    core = declared(make_job("web", schedule=Schedule(calendar=Once(0.0), text="at 00:00:10")))
    core.start_all()

    assert why(core, "web") == (
        "web is not running and is finished (its schedule has no further firings). `taskloom start web` starts it."
    )
