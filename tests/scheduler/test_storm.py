"""Many jobs that fail again and again: the process stays responsive, and a stop ends all of them."""

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

# The share of one core that the restarts may use. There are 200 a second, which uses about a tenth.
MAX_CORE_SHARE = 0.7
MAX_STATUS_SECONDS = 1.0
# At most sixteen helper threads and the timer, and one to spare.
OWN_THREADS = 18


class EventCounter:
    """Keeps every event, and waits until an event has come a number of times. A listener: called on one thread."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.counts: Counter[EventName] = Counter()
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self.counts[event.event] += 1
            self._changed.notify_all()

    def wait_for(self, name: EventName, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.counts[name] >= count, SOON), self.counts


@pytest.fixture
def small_stacks() -> Iterator[None]:
    """With the default stack size of 8 MiB, thousands of threads need more address space than a container has."""
    before = threading.stack_size(256 * 1024)
    yield
    threading.stack_size(before)


def fail(ctx: Any) -> None:
    raise ValueError("the server is gone")


def longest_status(scheduler: Scheduler, counter: EventCounter, failures: int) -> float:
    """Call `status` repeatedly until `failures` runs have ended; return the longest duration of a call."""
    longest = 0.0
    while counter.counts[EventName.ENDED] < failures:
        begun = time.monotonic()
        scheduler.status()
        longest = max(longest, time.monotonic() - begun)
        counter.wait_for(EventName.ENDED, min(failures, counter.counts[EventName.ENDED] + 100))
    return longest


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, not paths


@pytest.mark.long
@pytest.mark.parametrize(
    ("jobs", "restarts"),
    [(500, 1000), pytest.param(5000, 4000, marks=pytest.mark.timeout(300))],
)
def test_hundreds_of_failing_jobs_use_little_cpu_and_do_not_delay_status(
    small_stacks: None, jobs: int, restarts: int
) -> None:
    before = (threading.active_count(), descriptors())
    counter = EventCounter()
    policy = RestartPolicy(RestartWhen.ON_FAILURE, delay=0.01, factor=1.0, max_delay=0.01)
    scheduler = WatchedScheduler()
    listener = scheduler.listen(counter)
    for number in range(jobs):
        scheduler.add_function(f"job{number}", fail, restart=policy)

    scheduler.start()
    counter.wait_for(EventName.ENDED, jobs)
    began, used = time.monotonic(), time.process_time()
    slowest_status = longest_status(scheduler, counter, jobs + restarts)
    share = (time.process_time() - used) / (time.monotonic() - began)
    report = scheduler.stop(SOON)

    listener.close(SOON)
    assert share < MAX_CORE_SHARE
    assert slowest_status < MAX_STATUS_SECONDS
    assert report.survivors == ()
    assert check_events(counter.events, is_whole=True) == []
    stopping = next(index for index, event in enumerate(counter.events) if event.event is EventName.SCHEDULER_STOPPING)
    assert EventName.QUEUED not in {event.event for event in counter.events[stopping:]}
    scheduler.finish()
    after = (threading.active_count(), descriptors())
    assert after[0] - before[0] <= OWN_THREADS
    assert after[1] - before[1] <= 2


def test_a_stop_during_a_storm_of_restarts_ends_at_once(small_stacks: None) -> None:
    counter = EventCounter()
    policy = RestartPolicy(RestartWhen.ON_FAILURE, delay=0.001, factor=1.0, max_delay=0.001)
    scheduler = WatchedScheduler()
    listener = scheduler.listen(counter)
    for number in range(300):
        scheduler.add_function(f"job{number}", fail, restart=policy)
    scheduler.start()
    counter.wait_for(EventName.RESTART_SCHEDULED, 300)

    report = scheduler.stop(within=5.0)

    assert report.seconds < 5.0
    assert {job.state.value for job in report.jobs} == {"finished"}
    listener.close(SOON)
    scheduler.finish()
