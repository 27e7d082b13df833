"""A caller may limit how long it waits for the scheduler: what it was told not to happen does not happen later."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.errors import SchedulerBusy
from taskloom.scheduler.calls import Call
from taskloom.scheduler.patience import patience, patience_until

SOON = 20.0


@contextmanager
def occupied(scheduler: WatchedScheduler) -> Iterator[None]:
    """Occupy the scheduler's thread within the block."""
    is_held, may_go_on = threading.Event(), threading.Event()

    def occupy(_: object) -> None:
        is_held.set()
        may_go_on.wait(SOON)

    holder = threading.Thread(target=lambda: scheduler._engine.query(None, occupy))
    holder.start()
    assert is_held.wait(SOON)
    try:
        yield
    finally:
        may_go_on.set()
        holder.join()


def test_a_command_that_was_not_answered_in_time_is_never_carried_out(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("web", lambda ctx: ctx.wait() or None, manual=True)
    before = scheduler.last_seq

    with occupied(scheduler), scheduler.answers_within(0.02), pytest.raises(SchedulerBusy) as busy:
        job.start()

    assert busy.value.is_undone
    assert job.run is None
    assert scheduler.last_seq == before


def test_the_limit_is_for_all_calls_of_the_block_together(scheduler: WatchedScheduler) -> None:
    with occupied(scheduler), scheduler.answers_within(0.02):
        for _ in range(3):
            with pytest.raises(SchedulerBusy):
                scheduler.status()


def test_without_a_limit_and_on_other_threads_a_call_waits(scheduler: WatchedScheduler) -> None:
    found: list[object] = []
    other = threading.Thread(target=lambda: found.append(scheduler.status()))
    with occupied(scheduler), scheduler.answers_within(0.02):
        other.start()
        with pytest.raises(SchedulerBusy):
            scheduler.status()

    other.join(SOON)
    assert found == [[]]
    assert scheduler.status() == []


def test_a_call_that_is_answered_in_time_is_as_without_a_limit(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("web", lambda ctx: ctx.wait() or None, manual=True)

    with scheduler.answers_within(SOON):
        run = job.start()

    scheduler.wait_for(EventName.READY, "web")
    assert run.is_alive()


def test_an_inner_limit_can_only_be_lower() -> None:
    with patience(10.0):
        outer = patience_until()
        with patience(20.0):
            assert patience_until() == outer
        with patience(5.0):
            assert patience_until() < outer
        assert patience_until() == outer
    assert patience_until() == float("inf")


@pytest.mark.parametrize("seconds", [float("nan"), "1", None])
def test_a_limit_is_a_number_of_seconds(scheduler: WatchedScheduler, seconds: object) -> None:
    with pytest.raises((TypeError, ValueError)), scheduler.answers_within(seconds):  # type: ignore[arg-type]
        pass


def test_either_the_scheduler_claims_a_call_or_the_caller_withdraws_it() -> None:
    """1. The caller's time is over; 2. the scheduler's thread comes to the call. In either order one of them has it."""
    withdrawn, claimed = Call((), lambda _: None), Call((), lambda _: None)

    assert withdrawn.withdraw()
    assert not withdrawn.claim()
    assert claimed.claim()
    assert claimed.claim()  # once more, after an error struck the first time
    assert not claimed.withdraw()


def test_a_run_may_be_started_without_waiting_for_its_thread(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("web", lambda ctx: ctx.wait() or None, manual=True)

    run = job.start(timeout=0)

    assert run.id == "web#1"
    scheduler.wait_for(EventName.READY, "web")
