"""Thousands of jobs that fail at once, and again and again: the process stays calm, and a stop ends it all."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import Event, EventName
from taskloom.core.policies import RestartPolicy, RestartWhen
from taskloom.invariants.checker import check_events
from taskloom.scheduler.facade import Scheduler

SOON = 120.0

# What the restarts may cost of one core: they come 200 a second, which takes about a tenth.
MOST_OF_A_CORE = 0.7
MOST_STATUS_SECONDS = 1.0
# The helpers that wake are made as they are wanted; the timer is one more.
OWN_THREADS = 18


class Ear:
    """Keeps every event, and can be waited on for a count of one name. A listener: called on one thread."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.counts: Counter[EventName] = Counter()
        self._heard = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._heard:
            self.events.append(event)
            self.counts[event.event] += 1
            self._heard.notify_all()

    def wait_for(self, name: EventName, count: int) -> None:
        with self._heard:
            assert self._heard.wait_for(lambda: self.counts[name] >= count, SOON), self.counts


@pytest.fixture
def small_stacks() -> Iterator[None]:
    """Thousands of threads with the usual stacks of 8 MiB would ask for more address space than a container gives."""
    before = threading.stack_size(256 * 1024)
    yield
    threading.stack_size(before)


def fail(ctx: Any) -> None:
    raise ValueError("the server is gone")


def longest_status(scheduler: Scheduler, ear: Ear, failures: int) -> float:
    """Ask for the status again and again until so many runs have ended, and return the longest that one took."""
    longest = 0.0
    while ear.counts[EventName.ENDED] < failures:
        begun = time.monotonic()
        scheduler.status()
        longest = max(longest, time.monotonic() - begun)
        ear.wait_for(EventName.ENDED, min(failures, ear.counts[EventName.ENDED] + 100))
    return longest


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, not paths


@pytest.mark.parametrize(
    ("jobs", "restarts"),
    [(500, 1000), pytest.param(5000, 4000, marks=[pytest.mark.long, pytest.mark.timeout(300)])],
)
def test_jobs_that_fail_at_once_leave_the_process_calm(small_stacks: None, jobs: int, restarts: int) -> None:
    before = (threading.active_count(), descriptors())
    ear = Ear()
    policy = RestartPolicy(RestartWhen.ON_FAILURE, delay=0.01, factor=1.0, max_delay=0.01)
    scheduler = WatchedScheduler()
    listener = scheduler.listen(ear)
    for number in range(jobs):
        scheduler.add_function(f"job{number}", fail, restart=policy)

    scheduler.start()
    ear.wait_for(EventName.ENDED, jobs)
    began, used = time.monotonic(), time.process_time()
    slowest_status = longest_status(scheduler, ear, jobs + restarts)
    share = (time.process_time() - used) / (time.monotonic() - began)
    report = scheduler.stop(SOON)

    listener.close(SOON)
    assert share < MOST_OF_A_CORE
    assert slowest_status < MOST_STATUS_SECONDS
    assert report.survivors == ()
    assert check_events(ear.events, is_whole=True) == []
    stopping = next(index for index, event in enumerate(ear.events) if event.event is EventName.SCHEDULER_STOPPING)
    assert EventName.QUEUED not in {event.event for event in ear.events[stopping:]}
    scheduler.finish()
    after = (threading.active_count(), descriptors())
    assert after[0] - before[0] <= OWN_THREADS
    assert after[1] - before[1] <= 2


def test_a_stop_in_the_middle_of_a_storm_is_over_at_once(small_stacks: None) -> None:
    ear = Ear()
    policy = RestartPolicy(RestartWhen.ON_FAILURE, delay=0.001, factor=1.0, max_delay=0.001)
    scheduler = WatchedScheduler()
    listener = scheduler.listen(ear)
    for number in range(300):
        scheduler.add_function(f"job{number}", fail, restart=policy)
    scheduler.start()
    ear.wait_for(EventName.RESTART_SCHEDULED, 300)

    report = scheduler.stop(within=5.0)

    assert report.seconds < 5.0
    assert {job.state.value for job in report.jobs} == {"finished"}
    listener.close(SOON)
    scheduler.finish()
