"""Thousands of runs in one process leak nothing."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import pytest

from taskloom import Context, Job, Scheduler
from taskloom.core.events import Event, EventName

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
            assert self._changed.wait_for(lambda: self._count >= wanted, 300)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_restarts_and_firings_leak_no_memory_no_thread_and_no_descriptor() -> None:
    ends = _Ends()
    restart = {"when": "on-failure", "delay": "1ms", "max_delay": "1ms"}
    with Scheduler() as scheduler:
        for n in range(20):
            scheduler.add(Job(name=f"failing{n}", task=_failer, restart=restart, timeout="1d", ready_within="1d"))
            scheduler.add(Job(name=f"firing{n}", task=_failer, schedule={"every": "50ms"}, timeout="1d"))
        listener = scheduler.listen(ends)
        scheduler.start()
        # Until after the first cleanup of deadlines that no longer apply.
        ends.wait_for_more(2000)
        gc.collect()
        before = (_resident_kib(), threading.active_count(), _descriptors())

        ends.wait_for_more(30_000)

        gc.collect()
        after = (_resident_kib(), threading.active_count(), _descriptors())
        assert after[0] - before[0] < MAX_GROWTH_KIB
        # One run of each job may be alive at either moment; none of them has a descriptor.
        assert after[1] - before[1] <= 40
        assert after[2] - before[2] <= 2
        assert listener.dropped == 0
