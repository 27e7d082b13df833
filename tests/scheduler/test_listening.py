"""Listeners of a real scheduler: whatever they do, the others and the stop feel nothing (fault G)."""

from __future__ import annotations

import threading
from typing import Any

from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import Event, EventName

SOON = 20.0


def wait(ctx: Any) -> None:
    ctx.wait()


def test_events_come_numbered_without_a_gap_and_in_order(scheduler: WatchedScheduler) -> None:
    jobs = [scheduler.add_function(f"job{number}", lambda ctx: None) for number in range(20)]
    for job in jobs:
        job.start()
    assert scheduler.wait(SOON)
    scheduler.finish()

    assert [event.seq for event in scheduler.events] == list(range(1, len(scheduler.events) + 1))
    for number in range(20):
        assert scheduler.told(f"job{number}") == ["job_added", "queued", "started", "ready", "ended succeeded"]


def test_a_listener_that_raises_loses_its_own_events_alone(scheduler: WatchedScheduler) -> None:
    def fail(event: Event) -> None:
        raise SystemExit("not with me")

    bad = scheduler.listen(fail)
    scheduler.add_function("a", wait).start()

    report = scheduler.finish()
    assert bad.close(SOON)

    assert report.is_clean
    assert bad.failed == len(scheduler.events)
    assert bad.last_error == "SystemExit: not with me"


def test_a_listener_that_blocks_for_ever_holds_up_nobody(scheduler: WatchedScheduler) -> None:
    let_go = threading.Event()
    blocked = scheduler.listen(lambda event: let_go.wait(SOON), limit=3)
    run = scheduler.add_function("a", wait).start()

    report = scheduler.stop()
    told = scheduler.wait_for(EventName.SCHEDULER_STOPPED)
    let_go.set()

    assert report.is_clean
    assert not run.is_alive()
    assert told.seq == 8
    assert blocked.close(SOON)
    assert blocked.dropped >= 8 - 3 - 1, "three wait, and one is being told"


def test_one_who_listens_late_hears_from_then_on(scheduler: WatchedScheduler) -> None:
    late: list[int] = []
    scheduler.add_function("a", wait)
    scheduler.wait_for(EventName.JOB_ADDED)

    ear = scheduler.listen(lambda event: late.append(event.seq))
    scheduler.add_function("b", wait)
    scheduler.stop()
    assert ear.close(SOON)

    assert late[0] == 2


def test_one_callback_may_listen_twice(scheduler: WatchedScheduler) -> None:
    heard: list[int] = []
    ears = [scheduler.listen(lambda event: heard.append(event.seq)) for _ in range(2)]
    scheduler.add_function("a", wait)
    scheduler.stop()
    for ear in ears:
        assert ear.close(SOON)

    assert sorted(heard) == [1, 1, 2, 2, 3, 3]


def test_a_listener_that_closes_itself_hears_no_more(scheduler: WatchedScheduler) -> None:
    heard: list[int] = []
    is_closed = threading.Event()

    def once(event: Event) -> None:
        heard.append(event.seq)
        ear.close(None)
        is_closed.set()

    ear = scheduler.listen(once)
    scheduler.add_function("a", wait)
    assert is_closed.wait(SOON)
    scheduler.stop()
    assert ear.close(SOON)

    assert heard == [1]


def test_the_events_of_a_run_tell_its_whole_story(scheduler: WatchedScheduler) -> None:
    def announce(ctx: Any) -> None:
        ctx.ready()
        ctx.wait()

    job = scheduler.add_function("a", announce, announces_ready=True)
    job.start()
    scheduler.wait_for(EventName.READY)
    job.stop("enough")
    scheduler.finish()

    story = [event for event in scheduler.events if event.run == "a#1"]
    assert [event.event.value for event in story] == ["queued", "started", "ready", "cancel_requested", "ended"]
    assert {event.attempt for event in story} == {1}
    assert str(story[3].reason) == "user: enough"
    assert story[4].seconds is not None
    assert story[4].seconds == story[4].mono - story[1].mono


def test_a_listener_ends_with_the_scheduler_and_after_the_last_late_exit(scheduler: WatchedScheduler) -> None:
    is_there, let_go = threading.Event(), threading.Event()

    def deaf(ctx: Any) -> None:
        is_there.set()
        let_go.wait(SOON)

    heard: list[EventName] = []
    ear = scheduler.listen(lambda event: heard.append(event.event))
    scheduler.add_function("deaf", deaf, daemon=True, within=0.0).start()
    assert is_there.wait(SOON)
    scheduler.stop()
    before = ear._thread.is_alive()
    let_go.set()
    ear._thread.join(SOON)

    assert before
    assert not ear._thread.is_alive()
    assert heard[-1] is EventName.LATE_EXIT
