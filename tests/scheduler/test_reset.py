"""Failures that are forgotten, and those that are for good, with real threads."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.model import JobState, Outcome, WaitingFor
from taskloom.core.policies import RestartLimit, RestartPolicy, RestartWhen
from taskloom.errors import SchedulerStopped
from taskloom.job import Job

SOON = 20.0
MUCH_LATER = RestartPolicy(RestartWhen.ON_FAILURE, delay=1000.0, max_delay=1000.0)
ONCE = RestartPolicy(RestartWhen.ON_FAILURE, delay=0.001, max_delay=0.001, limit=RestartLimit(1, 3600.0))
AGAIN = {"when": "on-failure", "delay": "1000s", "max_delay": "1000s"}


class Device:
    """What a job fails without."""

    def __init__(self) -> None:
        self.is_there = False

    def use(self, ctx: Any) -> None:
        if not self.is_there:
            raise OSError("no such device")


def serve(ctx: Any, port: int = 0) -> None:
    if port == 0:
        raise OSError("no port")


def end(ctx: Any) -> None:
    """Return at once."""


def test_a_job_that_waits_for_its_restart_starts_at_once_when_it_is_reset(scheduler: WatchedScheduler) -> None:
    device = Device()
    job = scheduler.add_function("a", device.use, restart=MUCH_LATER)
    scheduler.start()
    scheduler.wait_for(EventName.RESTART_SCHEDULED, "a")
    device.is_there = True

    job.reset("plugged in")

    assert scheduler.wait(SOON)
    report = job.status().report
    assert (report.runs, report.attempt, report.restarts, report.outcome) == (2, 1, 0, Outcome.SUCCEEDED)


def test_a_job_that_gave_up_starts_with_a_new_limit_when_it_is_reset(scheduler: WatchedScheduler) -> None:
    device = Device()
    job = scheduler.add_function("a", device.use, restart=ONCE)
    after = scheduler.add_function("b", end, after=["a"])
    scheduler.start()
    scheduler.wait_for(EventName.GAVE_UP, "a")

    job.reset()
    scheduler.wait_for(EventName.GAVE_UP, "a", count=2)
    device.is_there = True
    job.reset("plugged in")

    assert scheduler.wait(SOON)
    report = job.status().report
    assert (report.runs, report.marks, report.has_failed) == (5, (), False)
    assert after.status().report.outcome is Outcome.SUCCEEDED
    assert [str(event.reason) for event in scheduler.events if event.event is EventName.RESET] == [
        "user: reset", "user: plugged in",
    ]  # fmt: skip
    assert scheduler.stop().exit_code == 0


def test_a_run_may_reset_its_own_job(scheduler: WatchedScheduler) -> None:
    def run(ctx: Any) -> None:
        if ctx.attempt == 1 and ctx.run_id == "a#1":
            raise OSError("at first")
        scheduler.job("a").reset()

    job = scheduler.add_function("a", run, restart=ONCE)
    scheduler.start()

    assert scheduler.wait(SOON)
    assert job.status().report.outcome is Outcome.SUCCEEDED


def test_a_reset_is_refused_once_the_scheduler_was_stopped(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", end)
    scheduler.stop()

    with pytest.raises(SchedulerStopped, match="cannot reset job 'a'"):
        job.reset()


def test_a_reload_with_params_that_fix_a_job_starts_it_at_once(scheduler: WatchedScheduler) -> None:
    [job] = scheduler.add_all([Job(name="a", task=serve, restart=AGAIN)])
    scheduler.start()
    scheduler.wait_for(EventName.RESTART_SCHEDULED, "a")

    scheduler.reload([Job(name="a", task=serve, restart=AGAIN, description="fixed?")])
    before = job.status().report.waiting_for
    scheduler.reload([Job(name="a", task=serve, restart=AGAIN, params={"port": 5514})])

    assert before is WaitingFor.BACKOFF
    assert scheduler.wait(SOON)
    assert (job.status().report.runs, job.status().report.outcome) == (2, Outcome.SUCCEEDED)


def test_an_essential_job_that_outlives_its_timeout_and_its_join_ends_the_work(scheduler: WatchedScheduler) -> None:
    release = threading.Event()
    job = scheduler.add_function(
        "mule", lambda ctx: release.wait(SOON), essential=True, timeout=0.05, within=0.05, restart=ONCE
    )
    other = scheduler.add_function("other", lambda ctx: ctx.wait())

    scheduler.start()

    assert scheduler.wait(SOON)
    report = scheduler.stop()
    assert str(report.reason) == "essential: job 'mule' failed for good"
    assert [survivor.job for survivor in report.survivors] == ["mule"]
    assert report.exit_code == 3
    assert other.status().report.outcome is Outcome.CANCELLED
    assert job.status().report.state is JobState.STOPPING
    run = job.run
    assert run is not None
    release.set()
    assert run.join(SOON)
    assert run.outcome is Outcome.TIMED_OUT
