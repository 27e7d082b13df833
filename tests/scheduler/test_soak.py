"""Thousands of runs in one process: nothing of them stays."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import pytest

from taskloom import Context, Job, Scheduler
from taskloom.core.events import Event

JOBS = 100
MOST_GROWTH_KIB = 8 * 1024


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


@pytest.mark.parametrize("cycles", [10, pytest.param(300, marks=pytest.mark.long)])
def test_runs_leave_no_memory_no_thread_and_no_descriptor_behind(cycles: int) -> None:
    heard: list[int] = [0]

    def listen(event: Event) -> None:
        heard[0] = event.seq

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
        assert after[0] - before[0] < MOST_GROWTH_KIB
        # The waking helpers are made as they are wanted, sixteen at most.
        assert after[1] - before[1] <= 16
        assert after[2] - before[2] <= 2
        assert heard[0] > cycles * JOBS * 3
        assert listener.dropped == 0
