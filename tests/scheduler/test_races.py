"""Races between start, stop and end: each order is forced once, and many occur at random (faults A7 and E)."""

from __future__ import annotations

import logging
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.model import Outcome
from taskloom.errors import SchedulerStopped, UsageError
from taskloom.runners import RunOrder
from taskloom.runners.thread import ReusingRun, ThreadRun, ThreadRunner
from taskloom.sync.cancel_token import CancelToken

SOON = 20.0


def wait(ctx: Any) -> None:
    ctx.wait()


class LyingRunner(ThreadRunner):
    """Does something while a run is being started, on a helper thread."""

    def __init__(self, meanwhile: Any) -> None:
        self._meanwhile = meanwhile

    def start(self, order: RunOrder, token: CancelToken, emit: Any) -> ThreadRun | ReusingRun:
        self._meanwhile()
        return super().start(order, token, emit)


def test_a_stop_that_comes_while_a_run_is_being_started_ends_that_run() -> None:
    # 1. start: the run is queued, and a helper is about to create its thread
    # 2. stop, from another thread: the run is cancelled, and the scheduler ends
    # 3. the thread is created: it never enters the body, and the caller of `start` does not wait for it
    is_stopping = threading.Event()

    def stop() -> None:
        is_stopping.set()
        scheduler.stop()

    def stop_meanwhile() -> None:
        pool.submit(stop)
        assert is_stopping.wait(SOON)

    with ThreadPoolExecutor(1) as pool:
        scheduler = WatchedScheduler(runners={"thread": LyingRunner(stop_meanwhile)})
        run = scheduler.add_function("a", wait).start()
        assert run.join(SOON)

    assert run.outcome is Outcome.CANCELLED
    assert scheduler.finish().is_clean


def test_a_start_after_the_stop_creates_no_thread(scheduler: WatchedScheduler) -> None:
    threads: list[str] = []
    job = scheduler.add_function("a", lambda ctx: threads.append("made"))
    scheduler.stop()

    with pytest.raises(SchedulerStopped):
        job.start()

    assert threads == []
    assert "queued" not in scheduler.event_names()


def test_a_stop_that_races_a_start_has_a_complete_history_in_either_order(fast_switching: None) -> None:
    wins = {"start": 0, "stop": 0}
    with ThreadPoolExecutor(1) as pool:
        for number in range(20):
            scheduler = WatchedScheduler()
            jobs = [scheduler.add_function(f"job{n}", wait) for n in range(2)]
            barrier = threading.Barrier(2)

            def stop(scheduler: WatchedScheduler = scheduler, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                scheduler.stop()

            stopping = pool.submit(stop)
            barrier.wait()
            try:
                if number % 2:
                    scheduler.start()
                else:
                    jobs[0].start()
                wins["start"] += 1
            except SchedulerStopped:
                wins["stop"] += 1
            stopping.result(SOON)

            assert scheduler.finish().is_clean
            names = scheduler.event_names()
            assert "queued" not in names[names.index("scheduler_stopping") :]

    assert sum(wins.values()) == 20


def test_a_stop_of_a_job_that_races_its_start_never_cancels_the_next_run(
    scheduler: WatchedScheduler, fast_switching: None
) -> None:
    job = scheduler.add_function("a", wait)
    refused = 0
    with ThreadPoolExecutor(1) as pool:
        for _ in range(20):
            barrier = threading.Barrier(2)

            def stop(barrier: threading.Barrier = barrier) -> bool:
                barrier.wait()
                return job.stop()

            stopping = pool.submit(stop)
            barrier.wait()
            try:
                run = job.start()
            except UsageError:
                refused += 1
                stopping.result(SOON)
                continue
            stopping.result(SOON)
            job.stop()
            assert run.join(SOON)
            assert run.outcome is Outcome.CANCELLED

    assert refused == 0, "the job is finished whenever a round begins"


def test_a_cancel_of_an_old_run_does_not_affect_the_new_one(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", wait)
    old = job.start()
    old.cancel()
    assert old.join(SOON)
    new = job.start()

    old.cancel("too late")

    assert new.is_alive()
    assert job.status().state == "running"


# -- fault A7: the cancel and the return


def test_a_run_that_returns_before_the_cancel_has_succeeded(scheduler: WatchedScheduler) -> None:
    run = scheduler.add_function("a", lambda ctx: None).start()
    assert run.join(SOON)

    run.cancel()

    assert (run.outcome, run.reason) == (Outcome.SUCCEEDED, None)


def test_a_run_that_returns_after_the_cancel_was_cancelled(scheduler: WatchedScheduler) -> None:
    has_begun, go_on = threading.Event(), threading.Event()

    def deaf(ctx: Any) -> None:
        has_begun.set()
        go_on.wait(SOON)

    run = scheduler.add_function("a", deaf).start()
    assert has_begun.wait(SOON)
    run.cancel()
    go_on.set()

    assert run.join(SOON)
    assert run.outcome is Outcome.CANCELLED


def test_a_cancel_between_the_return_and_its_report_is_too_late(scheduler: WatchedScheduler) -> None:
    # 1. the body returns; the run's thread records that no stop was requested
    # 2. the run is cancelled: for the core it is stopping
    # 3. the report is processed
    has_run = threading.Event()
    runs: list[Any] = []

    class Value:
        """The result of `run`; the runner logs a warning about it before it reports."""

    def run(ctx: Any) -> object:
        assert has_run.wait(SOON)
        return Value()

    def cancel(record: logging.LogRecord) -> bool:
        runs[0].cancel()
        return False

    logger = logging.getLogger("taskloom.task")
    logger.addFilter(cancel)
    try:
        runs.append(scheduler.add_function("a", run).start())
        has_run.set()
        assert runs[0].join(SOON)
    finally:
        logger.removeFilter(cancel)

    assert (runs[0].outcome, runs[0].reason) == (Outcome.SUCCEEDED, None)
    scheduler.wait_for(EventName.ENDED, "a")
    assert scheduler.event_names("a")[-2:] == ["cancel_requested", "ended succeeded"]


def test_the_outcomes_of_hundreds_of_random_cancels_agree_with_the_polls(
    scheduler: WatchedScheduler, fast_switching: None
) -> None:
    """One thread and one job: no run sees the cancel of another, and each outcome says what came first."""
    generator = random.Random(7)
    polls: list[bool] = []
    spins: list[int] = []

    def spin(ctx: Any) -> None:
        is_cancelled = False
        for _ in range(spins[-1]):
            is_cancelled = ctx.cancelled
        polls.append(is_cancelled)

    job = scheduler.add_function("a", spin)
    for _ in range(80):
        spins.append(generator.randrange(60))
        run = job.start()
        for _ in range(generator.randrange(60)):
            pass
        run.cancel()
        assert run.join(SOON)

        if run.outcome is Outcome.SUCCEEDED:
            assert polls[-1] is False
        else:
            assert run.outcome is Outcome.CANCELLED
    assert job.status().report.runs == 80
