"""Listeners of a real scheduler: whatever they do, other listeners and the stop are not affected (fault G)."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import Event, EventName
from taskloom.core.policies import Schedule

SOON = 20.0


def wait(ctx: Any) -> None:
    ctx.wait()


def test_events_are_numbered_in_order_without_a_gap(scheduler: WatchedScheduler) -> None:
    jobs = [scheduler.add_function(f"job{number}", lambda ctx: None) for number in range(20)]
    for job in jobs:
        job.start()
    assert scheduler.wait(SOON)
    scheduler.finish()

    assert [event.seq for event in scheduler.events] == list(range(1, len(scheduler.events) + 1))
    for number in range(20):
        assert scheduler.event_names(f"job{number}") == ["job_added", "queued", "started", "ready", "ended succeeded"]


def test_a_listener_that_raises_loses_only_its_own_events(scheduler: WatchedScheduler) -> None:
    def fail(event: Event) -> None:
        raise SystemExit("not with me")

    bad = scheduler.listen(fail)
    scheduler.add_function("a", wait).start()

    report = scheduler.finish()
    assert bad.close(SOON)

    assert report.is_clean
    assert bad.failed == len(scheduler.events)
    assert bad.last_error == "SystemExit: not with me"


def test_a_listener_that_blocks_for_ever_delays_nothing(scheduler: WatchedScheduler) -> None:
    let_go = threading.Event()
    blocked = scheduler.listen(lambda event: let_go.wait(SOON), limit=3)
    run = scheduler.add_function("a", wait).start()

    report = scheduler.stop()
    last = scheduler.wait_for(EventName.SCHEDULER_STOPPED)
    let_go.set()

    assert report.is_clean
    assert not run.is_alive()
    assert last.seq == 8
    assert blocked.close(SOON)
    assert blocked.dropped >= 8 - 3 - 1, "three are queued, and one is being delivered"


def test_a_late_listener_receives_the_events_from_then_on(scheduler: WatchedScheduler) -> None:
    late: list[int] = []
    scheduler.add_function("a", wait)
    scheduler.wait_for(EventName.JOB_ADDED)

    listener = scheduler.listen(lambda event: late.append(event.seq))
    scheduler.add_function("b", wait)
    scheduler.stop()
    assert listener.close(SOON)

    assert late[0] == 2


def test_one_callback_may_listen_twice(scheduler: WatchedScheduler) -> None:
    received: list[int] = []
    listeners = [scheduler.listen(lambda event: received.append(event.seq)) for _ in range(2)]
    scheduler.add_function("a", wait)
    scheduler.stop()
    for listener in listeners:
        assert listener.close(SOON)

    assert sorted(received) == [1, 1, 2, 2, 3, 3]


def test_a_listener_that_closes_itself_receives_no_more_events(scheduler: WatchedScheduler) -> None:
    received: list[int] = []
    is_closed = threading.Event()

    def once(event: Event) -> None:
        received.append(event.seq)
        listener.close(None)
        is_closed.set()

    listener = scheduler.listen(once)
    scheduler.add_function("a", wait)
    assert is_closed.wait(SOON)
    scheduler.stop()
    assert listener.close(SOON)

    assert received == [1]


def test_the_events_of_a_run_are_complete_and_in_order(scheduler: WatchedScheduler) -> None:
    def announce(ctx: Any) -> None:
        ctx.ready()
        ctx.wait()

    job = scheduler.add_function("a", announce, announces_ready=True)
    job.start()
    scheduler.wait_for(EventName.READY)
    job.stop("enough")
    scheduler.finish()

    events = [event for event in scheduler.events if event.run == "a#1"]
    assert [event.event.value for event in events] == ["queued", "started", "ready", "cancel_requested", "ended"]
    assert {event.attempt for event in events} == {1}
    assert str(events[3].reason) == "user: enough"
    assert events[4].seconds is not None
    assert events[4].seconds == events[4].mono - events[1].mono


def test_a_listener_ends_with_the_scheduler_and_after_the_last_late_exit(scheduler: WatchedScheduler) -> None:
    has_begun, let_go = threading.Event(), threading.Event()

    def deaf(ctx: Any) -> None:
        has_begun.set()
        let_go.wait(SOON)

    received: list[EventName] = []
    listener = scheduler.listen(lambda event: received.append(event.event))
    scheduler.add_function("deaf", deaf, daemon=True, within=0.0).start()
    assert has_begun.wait(SOON)
    scheduler.stop()
    before = listener._thread.is_alive()
    let_go.set()
    listener._thread.join(SOON)

    assert before
    assert not listener._thread.is_alive()
    assert received[-1] is EventName.LATE_EXIT


def test_a_closed_listener_is_forgotten(scheduler: WatchedScheduler) -> None:
    class Callback:
        def __call__(self, event: Event) -> None:
            pass

    callback = Callback()
    is_freed = threading.Event()
    weakref.finalize(callback, is_freed.set)
    listener = scheduler.listen(callback)
    assert listener.close(SOON)
    assert listener.close(SOON), "idempotent"
    listener._thread.join(SOON)

    del callback, listener
    gc.collect()

    assert is_freed.is_set()


def test_no_event_is_delivered_after_close_has_returned(scheduler: WatchedScheduler) -> None:
    received: list[int] = []
    listener = scheduler.listen(lambda event: received.append(event.seq))
    scheduler.add_function("a", wait).start()
    assert listener.close(SOON)
    before = list(received)

    scheduler.finish()

    assert before
    assert received == before


def test_a_callback_that_closes_its_listener_gets_none_of_the_queued_events(scheduler: WatchedScheduler) -> None:
    received: list[int] = []
    is_full, is_closed = threading.Event(), threading.Event()

    def once(event: Event) -> None:
        received.append(event.seq)
        assert is_full.wait(SOON)
        assert listener.close(None)
        assert listener.flush(None)
        is_closed.set()

    listener = scheduler.listen(once)
    for number in range(5):
        scheduler.add_function(f"job{number}", wait)
    scheduler.wait_for(EventName.JOB_ADDED, count=5)
    is_full.set()
    assert is_closed.wait(SOON)

    scheduler.finish()

    assert received == [1]
    assert listener.close(SOON)


@pytest.mark.long
def test_any_thread_may_close_listeners_while_others_are_added(
    scheduler: WatchedScheduler, fast_switching: None
) -> None:
    counts: list[int] = []

    def come_and_go() -> None:
        for _ in range(5):
            received: list[Event] = []
            listener = scheduler.listen(received.append)
            scheduler.status()
            assert listener.close(SOON)
            counts.append(len(received))

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    scheduler.add_function("a", lambda ctx: None, daemon=True, schedule=Schedule(every=0.01)).arm()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    scheduler.wait_for(EventName.ENDED, "a")
    scheduler.finish()

    assert len(counts) == 20
    assert set(scheduler._engine.executor.listeners) <= {scheduler._listener}
