"""The rule of readiness, over the status of jobs at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import pytest
from tests.support import running_job
from tests.support.asked_api import until_stopped
from tests.support.every_case import every_case
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.control.readiness import Readiness, readiness
from taskloom.core.awaited import awaited_jobs, first_awaited, is_awaited
from taskloom.core.events import EventName
from taskloom.core.model import Hold, JobState, Phase, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import Schedule
from taskloom.scheduler.snapshots import Jobs, Snapshot, complete

RUNNING = replace(running_job.RUNNING, starts_at_once=True)
WAITING = replace(RUNNING, state=JobState.WAITING, runs=0)


def test_a_run_that_is_not_ready_yet_is_awaited() -> None:
    assert is_awaited(RUNNING)


@pytest.mark.parametrize("waiting_for", [WaitingFor.START, WaitingFor.REMOVAL])
def test_a_job_that_is_about_to_start_is_awaited(waiting_for: WaitingFor) -> None:
    assert is_awaited(replace(WAITING, waiting_for=waiting_for))


@every_case(
    "change",
    [
        {"is_ready": True},
        {"outcomes": {"succeeded": 1}},
        {"outcomes": {"failed": 1}},
        {"starts_at_once": False},
        {"holds": {Hold.STOPPED: Reason(ReasonKind.USER)}},
        {"state": JobState.WAITING, "waiting_for": WaitingFor.DEPENDENCY},
        *({"state": state} for state in (JobState.DISABLED, JobState.BLOCKED, JobState.FINISHED, JobState.SKIPPED)),
    ],
    ids=str,
)
def test_a_job_is_not_awaited_if(change: dict[str, Any]) -> None:
    assert not is_awaited(replace(RUNNING, **change))


def test_a_paused_job_is_awaited_all_the_same() -> None:
    assert is_awaited(replace(RUNNING, holds={Hold.PAUSED: Reason(ReasonKind.USER)}))


@pytest.mark.parametrize(
    "phase, missing, text",
    [
        (Phase.OPEN, (), "ready"),
        (Phase.OPEN, ("a",), "waiting for a"),
        (Phase.OPEN, tuple("abcdefgh"), "waiting for a, b, c, d, e and 3 more"),
        (Phase.STOPPING, (), "stopping"),
        (Phase.STOPPED, (), "stopped"),
    ],
)
def test_readiness_in_words(phase: Phase, missing: tuple[str, ...], text: str) -> None:
    assert str(Readiness(phase, missing)) == text
    assert Readiness(phase, missing).is_ready is (text == "ready")


@pytest.mark.parametrize("phase", [Phase.STOPPING, Phase.STOPPED])
def test_a_program_that_stops_is_not_ready(phase: Phase) -> None:
    assert not readiness(Snapshot(1, phase, None, [])).is_ready


def awaited(scheduler: WatchedScheduler, jobs: Jobs = awaited_jobs) -> tuple[str, ...]:
    """Return the jobs that the scheduler's thread finds to be awaited, without the status of the others."""
    found: SimpleQueue[Snapshot] = SimpleQueue()
    scheduler.request_snapshot(found.put, jobs)
    return tuple(status.report.job for status in complete(found.get(timeout=20.0)).jobs)


@pytest.fixture
def scheduler() -> Iterator[WatchedScheduler]:
    watched = WatchedScheduler(log=False)
    yield watched
    watched.finish()


def test_a_program_is_ready_once_its_last_job_is(scheduler: WatchedScheduler) -> None:
    contexts: list[Any] = []

    def slow(ctx: Any) -> None:
        contexts.append(ctx)
        ctx.wait()

    scheduler.add_function("db", slow, announces_ready=True)
    scheduler.add_function("web", until_stopped, after=("db",))
    scheduler.add_function("later", until_stopped, delay=3600.0)
    scheduler.add_function("by-hand", until_stopped, manual=True)
    scheduler.add_function("nightly", until_stopped, schedule=Schedule(every=3600.0))
    before, all_before = readiness(scheduler.snapshot()), awaited(scheduler)
    first = awaited(scheduler, first_awaited)
    scheduler.start()
    scheduler.wait_for(EventName.STARTED, "db")
    during, all_during = readiness(scheduler.snapshot()), awaited(scheduler)

    contexts[0].ready()

    scheduler.wait_for(EventName.READY, "web")
    assert before == Readiness(Phase.OPEN, ("db", "web"))
    assert during == Readiness(Phase.OPEN, ("db",))
    assert str(readiness(scheduler.snapshot())) == "ready"
    assert (all_before, all_during, awaited(scheduler)) == (before.missing, during.missing, ())
    assert first == ("db",)


def test_a_job_that_fails_and_waits_for_its_restart_does_not_keep_the_program_from_being_ready(
    scheduler: WatchedScheduler,
) -> None:
    def fail(ctx: Any) -> None:
        raise ValueError("no")

    scheduler.add_function("bad", fail)
    scheduler.add_function("needs-it", until_stopped, after=("bad",), daemon=True)
    scheduler.start()
    scheduler.wait_for(EventName.ENDED, "bad")

    assert readiness(scheduler.snapshot()).is_ready
