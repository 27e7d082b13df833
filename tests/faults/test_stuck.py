"""Faults A3, A5 and A6: tasks that block, spin, or see the cancel and continue."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.model import Otherwise, Outcome
from taskloom.errors import Cancelled, JobBlocked, JobStopping
from taskloom.runners.binding import Binding, Body
from taskloom.testing import make_job

SOON = 20.0

pytestmark = pytest.mark.usefixtures("neighbour")


class Pipe:
    """A socket without data until `release` closes its peer."""

    def __init__(self) -> None:
        self.ours, self._theirs = socket.socketpair()
        self.is_running = threading.Event()

    def release(self) -> None:
        self._theirs.close()


@pytest.fixture
def pipe(scheduler: WatchedScheduler) -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.release()
    pipe.ours.close()


def in_recv(pipe: Pipe) -> Callable[[Any], None]:
    def run(ctx: Any) -> None:
        pipe.is_running.set()
        pipe.ours.recv(1)  # blocks in recv

    return run


def in_select(pipe: Pipe) -> Callable[[Any], None]:
    def run(ctx: Any) -> None:
        pipe.is_running.set()
        select.select([pipe.ours], [], [])  # blocks in select

    return run


def in_sleep(pipe: Pipe) -> Callable[[Any], None]:
    def run(ctx: Any) -> None:
        pipe.is_running.set()
        time.sleep(1.0)  # the task under test blocks in sleep

    return run


@pytest.mark.parametrize(
    ("block", "mark"),
    [
        (in_recv, "# blocks in recv"),
        (in_select, "# blocks in select"),
        pytest.param(in_sleep, "blocks in sleep", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("daemon", [False, True])
def test_a_run_that_blocks_in_c_is_reported_at_its_within_and_prevents_the_next_start(
    scheduler: WatchedScheduler, pipe: Pipe, block: Callable[[Pipe], Callable[[Any], None]], mark: str, daemon: bool
) -> None:
    job = scheduler.add_function("blocked", block(pipe), daemon=daemon, within=0.1)
    run = job.start()
    assert pipe.is_running.wait(SOON)

    stopped = job.stop()
    with pytest.raises(JobBlocked if daemon else JobStopping):
        job.start()

    assert stopped is False
    overdue = scheduler.wait_for(EventName.STOP_OVERDUE, "blocked")
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(lines, 1) if text.endswith(mark))
    assert overdue.data["where"] == f"{__file__}:{line} in run"
    assert overdue.data["within"] == 0.1
    assert run.outcome is (Outcome.ABANDONED if daemon else None)

    pipe.release()
    assert run.join(SOON)
    assert run.outcome is (Outcome.ABANDONED if daemon else Outcome.CANCELLED)


@pytest.mark.parametrize("times", [1, 5])
def test_a_task_that_swallows_the_cancel_sees_it_again(scheduler: WatchedScheduler, times: int) -> None:
    swallowed: list[int] = []
    is_running = threading.Event()

    def swallow(ctx: Any) -> None:
        is_running.set()
        while True:
            try:
                ctx.sleep(SOON)
            except BaseException:
                swallowed.append(1)
                if len(swallowed) > times:
                    raise

    run = scheduler.add_function("swallows", swallow).start()
    assert is_running.wait(SOON)
    run.cancel()

    assert run.join(SOON)
    assert run.outcome is Outcome.CANCELLED
    assert len(swallowed) == times + 1


@pytest.mark.parametrize(("daemon", "otherwise"), [(False, Otherwise.EXIT), (True, Otherwise.ABANDON)])
def test_a_task_that_swallows_every_cancel_outlives_its_join_policy(
    scheduler: WatchedScheduler, daemon: bool, otherwise: Otherwise
) -> None:
    is_running, release = threading.Event(), threading.Event()

    def swallow(ctx: Any) -> None:
        is_running.set()
        while not release.is_set():
            try:
                ctx.raise_if_cancelled()
                ctx.sleep(SOON)
            except Cancelled:
                time.sleep(0.001)  # the task under test

    run = scheduler.add_function("swallows", swallow, daemon=daemon, within=0.1).start()
    assert is_running.wait(SOON)

    report = scheduler.stop()
    release.set()

    [survivor] = report.survivors
    assert (survivor.job, survivor.otherwise) == ("swallows", otherwise)
    assert survivor.poll_age is not None
    assert survivor.poll_age < 1.0, "it polls: it sees the cancel and continues"
    assert run.join(SOON)


@pytest.mark.long
def test_ten_spinning_tasks_see_the_cancel_and_affect_no_other_run(scheduler: WatchedScheduler) -> None:
    entered = threading.Semaphore(0)

    def spin(ctx: Any) -> None:
        entered.release()
        while not ctx.cancelled:
            pass

    runs = [scheduler.add_function(f"spin{number}", spin).start() for number in range(10)]
    for _ in runs:
        assert entered.acquire(timeout=SOON)

    for run in runs:
        run.cancel()

    assert all(run.join(SOON) for run in runs)
    assert {run.outcome for run in runs} == {Outcome.CANCELLED}


def test_a_run_whose_constructor_blocks_is_cancelled_reported_and_never_entered(scheduler: WatchedScheduler) -> None:
    is_running, release = threading.Event(), threading.Event()
    calls: list[str] = []

    def make() -> Body:
        is_running.set()
        release.wait(SOON)
        return Body(lambda ctx: calls.append("run"), None)

    job = scheduler.add(replace(make_job("slow", within=0.05), binding=Binding(make)))
    run = job.start()
    assert is_running.wait(SOON)

    stopped = job.stop()
    where = scheduler.wait_for(EventName.STOP_OVERDUE, "slow").data["where"]
    release.set()

    assert stopped is False
    assert where.endswith(" in make")
    assert run.join(SOON)
    assert (run.outcome, calls) == (Outcome.CANCELLED, [])
