"""A thousand jobs at once: all start, all are stopped and joined, and no thread is left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.model import Outcome

SOON = 300.0


@pytest.fixture
def small_stacks() -> Iterator[None]:
    """With the default stack size of 8 MiB, thousands of threads need more address space than a container has."""
    before = threading.stack_size(256 * 1024)
    yield
    threading.stack_size(before)


def wait(ctx: Any) -> None:
    ctx.wait()


def spin(ctx: Any) -> None:
    while not ctx.cancelled:
        pass


def start_and_stop(jobs: int, spinners: int = 0) -> None:
    before = set(threading.enumerate())
    scheduler = WatchedScheduler()
    handles = [scheduler.add_function(f"job{number}", wait) for number in range(jobs)]
    handles += [scheduler.add_function(f"spin{number}", spin) for number in range(spinners)]

    scheduler.start()
    assert sum(status.state == "running" for status in scheduler.status()) == jobs + spinners
    report = scheduler.finish(within=SOON)

    assert report.survivors == ()
    assert {job.outcome for job in report.jobs} == {Outcome.CANCELLED}
    assert len(report.jobs) == len(handles)
    left = [thread for thread in set(threading.enumerate()) - before if not thread.name.startswith("taskloom-")]
    assert left == [], "stop() returns after the threads of all runs have ended"
    names = [event.event for event in scheduler.events]
    assert names.count(EventName.ENDED) == jobs + spinners


def test_a_thousand_waiting_jobs_start_and_stop(small_stacks: None) -> None:
    start_and_stop(1000)


@pytest.mark.long
def test_a_thousand_waiting_jobs_stop_beside_ten_that_spin(small_stacks: None) -> None:
    start_and_stop(1000, spinners=10)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_ten_thousand_waiting_jobs_start_and_stop(small_stacks: None) -> None:
    start_and_stop(10_000)


@pytest.mark.long
def test_a_thousand_jobs_are_stopped_on_time_although_one_ignores_the_stop(small_stacks: None) -> None:
    has_begun, let_go = threading.Event(), threading.Event()

    def deaf(ctx: Any) -> None:
        has_begun.set()
        let_go.wait(SOON)

    scheduler = WatchedScheduler()
    for number in range(1000):
        scheduler.add_function(f"job{number}", wait)
    scheduler.add_function("deaf", deaf, within=0.1)
    scheduler.start()
    assert has_begun.wait(SOON)

    report = scheduler.stop()
    let_go.set()

    [survivor] = report.survivors
    assert (survivor.job, survivor.where.rpartition(" in ")[2]) == ("deaf", "deaf")
    assert report.exit_code == 3
    scheduler.finish()
