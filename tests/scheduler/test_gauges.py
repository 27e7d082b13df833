"""What runs have counted and reported: while they are alive, and with the event of their end."""

from __future__ import annotations

import threading
from typing import Any

from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName

PATIENCE_SECONDS = 20.0
REPORTED = {"counts": {"lines": 3}, "progress": {"done": 3, "total": 4, "unit": "lines"}}


def report(ctx: Any) -> None:
    ctx.count("lines", 3)
    ctx.progress(3, 4, unit="lines")


def test_the_event_of_an_end_has_what_the_run_has_counted_and_reported(scheduler: WatchedScheduler) -> None:
    def fail(ctx: Any) -> None:
        report(ctx)
        raise ValueError("boom")

    scheduler.add_function("fine", report, manual=True).start()
    scheduler.add_function("bad", fail, manual=True).start()

    assert scheduler.wait_for(EventName.ENDED, "fine").data == REPORTED
    assert scheduler.wait_for(EventName.ENDED, "bad").data == REPORTED


def test_each_of_many_short_runs_has_its_own_counters(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("quick", lambda ctx: ctx.count("attempt", ctx.attempt), manual=True)
    for number in range(1, 20):
        job.start(timeout=PATIENCE_SECONDS)
        scheduler.wait_for(EventName.ENDED, "quick", number)

    ended = [event for event in scheduler.events if event.event is EventName.ENDED]
    assert [event.data["counts"]["attempt"] for event in ended] == [event.attempt for event in ended]


def test_the_event_of_the_end_of_a_run_that_reported_nothing_has_no_data(scheduler: WatchedScheduler) -> None:
    scheduler.add_function("silent", lambda _: None, manual=True).start()
    assert scheduler.wait_for(EventName.ENDED, "silent").data == {}


def test_live_runs_tell_what_they_have_reported_and_when_they_polled(scheduler: WatchedScheduler) -> None:
    has_reported, may_end = threading.Event(), threading.Event()

    def run(ctx: Any) -> None:
        report(ctx)
        has_reported.set()
        may_end.wait(PATIENCE_SECONDS)

    scheduler.add_function("busy", run, manual=True).start()
    scheduler.add_function("ended", report, manual=True).start()
    scheduler.wait_for(EventName.ENDED, "ended")
    assert has_reported.wait(PATIENCE_SECONDS)

    [found] = scheduler.gauges()
    started = scheduler.wait_for(EventName.STARTED, "busy")
    may_end.set()

    assert (found.run, found.reported) == ("busy#1", REPORTED)
    assert found.polled_at is not None
    assert found.polled_at <= started.mono + PATIENCE_SECONDS
    scheduler.wait_for(EventName.ENDED, "busy")
    assert scheduler.gauges() == []
