"""Thousands of runs in one process leak nothing."""

from __future__ import annotations

import gc
import os
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from taskloom import Context, Job, Scheduler
from taskloom.core.events import Event, EventName
from taskloom.scheduler.subscribers import Listener
from taskloom.testing.runner_tasks import wait_until

# The memory, threads and descriptors are those of the whole process.
pytestmark = pytest.mark.alone

JOBS = 100
MAX_GROWTH_KIB = 8 * 1024


def _waiter(ctx: Context) -> None:
    ctx.fileno()
    ctx.on_cancel(lambda: None)
    ctx.count("waits")
    ctx.wait()


def _failer(ctx: Context) -> None:
    raise ValueError(f"{ctx.run_id} fails on purpose")


def _resident_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, not paths


def _cycle(scheduler: Scheduler, waiting: list[str], failing: list[str]) -> None:
    runs = [scheduler.job(name).start() for name in waiting + failing]
    for run in runs:
        run.cancel("next cycle")
    for run in runs:
        assert run.join(30)


@pytest.mark.parametrize("cycles", [4, pytest.param(300, marks=pytest.mark.long)])
def test_runs_leak_no_memory_no_thread_and_no_descriptor(cycles: int) -> None:
    last_seq: list[int] = [0]

    def listen(event: Event) -> None:
        last_seq[0] = event.seq

    with Scheduler() as scheduler:
        waiting = [scheduler.add(Job(name=f"w{n}", task=_waiter, join="20s")).name for n in range(JOBS - 10)]
        failing = [scheduler.add(Job(name=f"f{n}", task=_failer, join="20s")).name for n in range(10)]
        listener = scheduler.listen(listen)
        for _ in range(5):
            _cycle(scheduler, waiting, failing)
        listener.flush(30)
        gc.collect()
        before = (_resident_kib(), threading.active_count(), _descriptors())

        for _ in range(cycles):
            _cycle(scheduler, waiting, failing)

        listener.flush(30)
        gc.collect()
        after = (_resident_kib(), threading.active_count(), _descriptors())
        assert after[0] - before[0] < MAX_GROWTH_KIB
        # Helper threads are created on demand, sixteen at most.
        assert after[1] - before[1] <= 16
        assert after[2] - before[2] <= 2
        assert last_seq[0] > cycles * JOBS * 3
        assert listener.dropped == 0


# Nothing ends for this long only if the scheduler hangs: a busy machine is slow, but it goes on.
STALL_SECONDS = 120.0
RUNS = 5000
# Blocks of Python's memory, two for each run. The deadlines of 500 runs that are over are kept until the next cleanup,
# which is 16,000 blocks at most, so they cannot be in both of two growths.
MAX_BLOCKS = 2 * RUNS


class _Ends:
    """Counts the runs that ended. A listener: called on one thread."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        if event.event is EventName.ENDED:
            with self._changed:
                self._count += 1
                self._changed.notify_all()

    def wait_for_more(self, count: int) -> None:
        with self._changed:
            wanted = self._count + count
            while self._count < wanted:
                is_further = partial(self._has_more_than, self._count)
                assert self._changed.wait_for(is_further, STALL_SECONDS), "no run ends any more"

    def _has_more_than(self, count: int) -> bool:
        return self._count > count


class _Use(NamedTuple):
    """What the process uses while no run is alive."""

    kib: int
    blocks: int
    """Blocks of memory that Python objects have; unlike the resident memory, nothing is kept in reserve."""
    threads: int
    descriptors: int


def _has_no_thread_of_a_run() -> bool:
    return not any(thread.name.startswith(("failing", "firing")) for thread in threading.enumerate())


class _Restarting:
    """Jobs that fail and restart, and jobs whose schedule fires, all the time."""

    def __init__(self, scheduler: Scheduler) -> None:
        kinds: dict[str, dict[str, Any]] = {
            "failing": {"restart": {"when": "on-failure", "delay": "1ms", "max_delay": "1ms"}},
            "firing": {"schedule": {"every": "50ms"}},
        }
        self._jobs = [
            scheduler.add(
                Job(name=f"{name}{n}", task=_failer, join="60s", timeout="1d", ready_within="1d", **supervision)
            )
            for name, supervision in kinds.items()
            for n in range(20)
        ]
        self._ends = _Ends()
        self.listener: Listener = scheduler.listen(self._ends)

    def use_after(self, runs: int) -> _Use:
        """Let more runs end, stop all jobs, and return what is used then."""
        for job in self._jobs:
            job.arm()
        self._ends.wait_for_more(runs)
        for job in self._jobs:
            assert job.stop(timeout=STALL_SECONDS)
        assert self.listener.flush(STALL_SECONDS)
        assert wait_until(_has_no_thread_of_a_run, STALL_SECONDS)
        gc.collect()
        return _Use(_resident_kib(), sys.getallocatedblocks(), threading.active_count(), _descriptors())


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_restarts_and_firings_leak_no_memory_no_thread_and_no_descriptor() -> None:
    """A leak grows with each thousand runs; what is kept up to a limit, such as deadlines that are over, does not."""
    with Scheduler() as scheduler:
        jobs = _Restarting(scheduler)
        # Until after the first cleanup of deadlines that no longer apply.
        first = jobs.use_after(2000)
        second = jobs.use_after(RUNS)
        third = jobs.use_after(RUNS)

        assert min(second.kib - first.kib, third.kib - second.kib) < MAX_GROWTH_KIB / 2
        assert min(second.blocks - first.blocks, third.blocks - second.blocks) < MAX_BLOCKS
        # Helper threads are created on demand, sixteen at most.
        assert third.threads - first.threads <= 16
        assert third.descriptors - first.descriptors <= 2
        assert jobs.listener.dropped == 0
