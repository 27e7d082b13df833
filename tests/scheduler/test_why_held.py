"""Why a job is, or is not, running: the answers about jobs that a user has paused or stopped, to the letter."""

from __future__ import annotations

import pytest
from tests.support.why_scenes import (
    BY_ALICE,
    EVERY_5M,
    PAUSE,
    begun,
    declared,
    why,
)

from taskloom.core import inputs
from taskloom.core.model import How, Reason, ReasonKind
from taskloom.core.policies import Condition, Dependency, Schedule
from taskloom.testing import make_job

pytestmark = pytest.mark.usefixtures("in_utc")


def test_a_stopped_job_names_the_caller_and_what_ends_it() -> None:
    core = begun(make_job("web"))
    core.advance(10)
    core.stop("web", BY_ALICE)
    core.ended("web#1", How.CANCELLED)
    core.advance(3)

    assert why(core, "web") == (
        "web is not running: it was stopped 3s ago, at 00:00:10, by alice (uid 1000, pid 4242). Its last run, "
        "web#1, was cancelled 3s ago, at 00:00:10, after 10s. It stays stopped until a new start of the program, "
        "or until `taskloom start web`."
    )


def test_a_job_that_was_stopped_before_its_first_run_stays_stopped() -> None:
    core = declared(make_job("web", delay=30.0))
    core.start_all()
    core.stop("web", BY_ALICE)

    assert why(core, "web") == (
        "web is not running: it was stopped just now, at 00:00:00, by alice (uid 1000, pid 4242). It stays "
        "stopped until a new start of the program, or until `taskloom start web`."
    )


def test_the_schedule_of_a_stopped_job_can_be_resumed() -> None:
    core = begun(make_job("web", schedule=EVERY_5M), make_job("api", after=["web"]))
    core.advance(10)
    core.stop("web", "maintenance")
    core.advance(3)

    assert why(core, "web") == (
        "web is not running: it was stopped 3s ago, at 00:00:10: maintenance. It stays stopped until a new start "
        "of the program, or until `taskloom start web`. `taskloom resume web` lets its schedule go on, without a "
        "run at once."
    )
    assert why(core, "api") == (
        "api was skipped: job 'web' is skipped, and was to be ready. web is not running: it was stopped 3s ago, "
        "at 00:00:10: maintenance. `taskloom start api` starts it once web is ready."
    )


def test_a_stop_that_is_not_over_is_told_once() -> None:
    core = begun(make_job("web"))
    core.advance(10)
    core.stop("web", BY_ALICE)

    assert why(core, "web") == (
        "web is stopping: run web#1 was asked to stop just now, at 00:00:10 (stop, by alice (uid 1000, pid "
        "4242)), and has 10s left (join: 10s). If it has not ended by then, it is reported as overdue, and if it "
        "is still alive at the end of the program, the exit code is 3. It then stays stopped until a new start of "
        "the program, or until `taskloom start web`."
    )


def test_a_paused_job_names_the_caller_and_what_it_missed() -> None:
    core = begun(make_job("web", schedule=Schedule(every=60.0, text="every 1m")))
    core.advance(60)
    core.started("web#1")
    core.ended("web#1")
    core.send(PAUSE)
    core.advance(143)

    assert why(core, "web") == (
        "web is not running: its schedule (every 1m) was paused 2m23s ago, at 00:01:00, by alice (uid 1000, pid "
        "4242). Its last run, web#1, succeeded 2m23s ago, at 00:01:00. It has missed 2 firings since then. Each "
        "firing is missed until `taskloom resume web`; the next one is at 00:04:00, in 37s. A stop would end its "
        "schedule at once."
    )


def test_a_pause_is_told_beside_a_run_that_goes_on() -> None:
    core = begun(make_job("web", schedule=Schedule(every=60.0, text="every 1m")))
    core.advance(60)
    core.started("web#1")
    core.send(PAUSE)
    core.advance(63)

    assert why(core, "web") == (
        "web is running and ready: run web#1 began 1m3s ago, at 00:01:00. Its schedule was paused 1m3s ago, at "
        "00:01:00, by alice (uid 1000, pid 4242). It has missed 1 firing since then. Each firing is missed until "
        "`taskloom resume web`; the next one is at 00:03:00, in 57s. A stop would ask it to end, and would wait "
        "up to 10s for it (join: 10s)."
    )


def test_a_paused_job_may_be_what_another_waits_for() -> None:
    core = begun(make_job("load", schedule=EVERY_5M), make_job("web", after=[Dependency("load", Condition.SUCCEEDED)]))
    core.send(inputs.PauseJob("load", Reason(ReasonKind.USER, "pause, by alice")))
    core.advance(5)

    assert why(core, "web") == (
        "web waits for load (succeeded). load is not running: its schedule (every 5m) was paused 5s ago, at "
        "00:00:00, by alice. A stop of web would end its wait at once."
    )


def test_after_the_sentence_about_another_job_the_one_that_was_asked_about_is_named() -> None:
    core = declared(make_job("db"), make_job("web", after=["db"], schedule=EVERY_5M))
    core.start_all()
    core.send(inputs.StopJob("db", Reason(ReasonKind.USER, "stop, by alice")))
    core.started("db#1")
    core.ended("db#1", How.CANCELLED)
    core.send(inputs.StopJob("web", Reason(ReasonKind.USER, "stop, by bob")))
    core.advance(5)

    assert why(core, "web") == (
        "web is not running: it was stopped 5s ago, at 00:00:00, by bob. db is not running: it was stopped 5s ago, at "
        "00:00:00, by alice. web stays stopped until a new start of the program, or until `taskloom start web` once db "
        "is ready. From then on, `taskloom resume web` lets its schedule go on, without a run at once."
    )
