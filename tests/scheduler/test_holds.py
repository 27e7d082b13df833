"""Pause, resume and stop through the library, with real threads."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.model import Hold, Reason, ReasonKind
from taskloom.core.policies import Schedule
from taskloom.errors import NotScheduled, SchedulerStopped, UnknownJob
from taskloom.scheduler import Scheduler
from taskloom.testing import make_job

HOURLY = Schedule(every=3600.0, text="every 1h")
OFTEN = Schedule(every=0.01, text="every 10ms")


def wait(ctx: Any) -> None:
    ctx.wait()


def end(ctx: Any) -> None:
    """Return at once."""


def test_a_paused_job_misses_its_firings_until_it_is_resumed(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", end, schedule=OFTEN)
    job.pause("maintenance")
    scheduler.start()

    missed = scheduler.wait_for(EventName.MISSED, "a", count=2)
    runs_before = job.status().report.runs
    job.resume("done")
    scheduler.wait_for(EventName.ENDED, "a")

    assert (missed.data["why"], runs_before) == ("paused", 0)
    assert scheduler.wait_for(EventName.PAUSED).reason == Reason(ReasonKind.USER, "maintenance")
    assert scheduler.wait_for(EventName.RESUMED).reason == Reason(ReasonKind.USER, "done")


def test_without_a_text_the_reason_is_the_verb(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", end, schedule=HOURLY)

    job.pause()
    job.resume()

    assert scheduler.wait_for(EventName.PAUSED).reason == Reason(ReasonKind.USER, "pause")
    assert scheduler.wait_for(EventName.RESUMED).reason == Reason(ReasonKind.USER, "resume")


def test_a_paused_job_may_be_started(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", end, schedule=HOURLY)
    scheduler.start()
    job.pause()

    run = job.start()
    run.join()

    status = job.status()
    assert (status.hold, status.report.marks) == (Hold.PAUSED, ("paused",))
    assert status.as_dict()["paused"] is True
    assert status.report.next_firing is not None


def test_a_job_without_a_schedule_is_not_paused(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", end)

    with pytest.raises(NotScheduled):
        job.pause()
    with pytest.raises(NotScheduled):
        job.resume()


def test_a_stop_holds_until_a_resume_that_runs_nothing(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", wait, schedule=HOURLY)
    scheduler.start()
    job.start().is_alive()

    job.stop("by alice")
    stopped = job.status()
    job.resume()
    resumed = job.status()

    assert (stopped.hold, stopped.report.held, stopped.report.next_firing) == (Hold.STOPPED, "stopped: by alice", None)
    assert (resumed.hold, resumed.report.runs) == (None, 1)
    assert resumed.report.next_firing is not None


def test_a_reload_leaves_a_stopped_job_stopped(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", wait)
    scheduler.start()
    scheduler.wait_for(EventName.READY, "a")
    job.stop()

    scheduler.reload([make_job("a", params={"n": 2})])

    assert (job.status().state, job.status().hold) == ("finished", Hold.STOPPED)


def test_the_queued_event_says_who_started_the_run(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", end)

    job.start(text="start, by alice").join()

    assert scheduler.wait_for(EventName.QUEUED, "a").reason == Reason(ReasonKind.USER, "start, by alice")


def test_after_a_stop_of_everything_nothing_is_paused() -> None:
    scheduler = Scheduler()
    job = scheduler.add(make_job("a", schedule=HOURLY))
    scheduler.stop()

    with pytest.raises(SchedulerStopped):
        job.pause()
    with pytest.raises(SchedulerStopped):
        job.resume()


def test_a_removed_job_is_unknown(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", end, schedule=HOURLY)
    scheduler.reload([])

    with pytest.raises(UnknownJob):
        job.pause()
    with pytest.raises(UnknownJob):
        job.resume()
