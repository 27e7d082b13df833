"""Async tasks under a scheduler: declared, stopped, overdue and named, watched, restarted, like any other task."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.async_tasks import turn
from tests.support.watched_scheduler import WatchedScheduler

from taskloom import AsyncContext, Duration, Job, Outcome, Task, param
from taskloom.core.events import EventName

SOON = 20.0
HOUR = 3600.0


@pytest.fixture
def way_out() -> Iterator[threading.Event]:
    """Ends the tasks that do not stop, and joins their threads after the test."""
    before = set(threading.enumerate())
    event = threading.Event()

    yield event

    event.set()
    for thread in threading.enumerate():
        if thread not in before and not thread.name.startswith("taskloom-"):
            thread.join(SOON)


def place_of(mark: str, function: str) -> str:
    """Return `file:line in function` of the line of this file that has the mark as its comment."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    [number] = [number for number, line in enumerate(lines, start=1) if line.endswith(f"  # {mark}")]
    return f"{__file__}:{number} in {function}"


class Poller(Task):
    """Wait in a loop."""

    every: Duration = param("1ms", description="time between two polls")
    announces_ready = True

    async def run(self, ctx: AsyncContext) -> None:
        ctx.ready()
        while not await ctx.wait(self.every):
            ctx.count("polls")


def test_a_class_and_a_function_run_and_stop(scheduler: WatchedScheduler) -> None:
    async def sleeper(ctx: AsyncContext, seconds: float = HOUR) -> None:
        await asyncio.wait_for(asyncio.Event().wait(), seconds)

    scheduler.add(Job(name="class", task=Poller, params={"every": "2ms"}))
    scheduler.add(Job(name="instance", task=Poller(every=0.001)))
    scheduler.add(Job(name="function", task=sleeper))
    scheduler.start()
    for name in ("class", "instance", "function"):
        scheduler.wait_for(EventName.READY, name)

    report = scheduler.stop(SOON)

    assert {job.job: job.outcome for job in report.jobs} == dict.fromkeys(
        ("class", "instance", "function"), Outcome.CANCELLED
    )
    assert report.exit_code == 0


def test_a_run_that_fails_is_restarted_with_a_loop_of_its_own(scheduler: WatchedScheduler) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def flaky(ctx: AsyncContext) -> None:
        loops.append(asyncio.get_running_loop())
        if ctx.attempt < 3:
            raise OSError("connection lost")

    job = scheduler.add(Job(name="flaky", task=flaky, restart={"when": "on-failure", "delay": 0.001}))
    scheduler.start()
    assert scheduler.wait(SOON)

    assert job.status().report.outcome is Outcome.SUCCEEDED
    assert len(set(map(id, loops))) == 3


def test_a_deaf_coroutine_is_a_survivor_with_its_line(scheduler: WatchedScheduler, way_out: threading.Event) -> None:
    has_begun = threading.Event()

    async def deaf(ctx: AsyncContext) -> None:
        has_begun.set()
        while not way_out.is_set():
            try:
                await asyncio.sleep(0.01)  # the task under test: deaf
            except asyncio.CancelledError:
                continue

    scheduler.add(Job(name="deaf", task=deaf, daemon=True, join="50ms")).start()
    assert has_begun.wait(SOON)

    report = scheduler.stop(SOON)

    [survivor] = report.survivors
    assert (survivor.job, survivor.where) == ("deaf", place_of("the task under test: deaf", "deaf"))


def test_an_executor_thread_that_does_not_return_is_a_survivor_with_its_line(
    scheduler: WatchedScheduler, way_out: threading.Event
) -> None:
    has_begun = threading.Event()

    def block() -> None:
        has_begun.set()
        way_out.wait(SOON)  # blocks

    async def run(ctx: AsyncContext) -> None:
        await ctx.to_thread(block)

    handle = scheduler.add(Job(name="blocked", task=run, daemon=True, join="50ms"))
    handle.start()
    assert has_begun.wait(SOON)

    report = scheduler.stop(SOON)

    [survivor] = report.survivors
    assert survivor.where == place_of("blocks", "block")
    assert handle.status().report.outcome is Outcome.ABANDONED


def test_a_run_that_awaits_anything_has_just_polled(scheduler: WatchedScheduler) -> None:
    async def awaits(ctx: AsyncContext) -> None:
        await asyncio.Event().wait()

    job = scheduler.add(Job(name="quiet", task=awaits))
    job.start()
    pause = threading.Event()

    assert any(job.status().poll_age == 0.0 or pause.wait(0.001) for _ in range(10_000))


@pytest.mark.long
def test_a_watchdog_stops_a_coroutine_that_blocks_its_loop(
    scheduler: WatchedScheduler, way_out: threading.Event
) -> None:
    async def blocks(ctx: AsyncContext) -> None:
        await turn()
        while not ctx.reason:  # not a poll
            way_out.wait(0.001)

    job = scheduler.add(Job(name="blocks", task=blocks, watchdog={"after": "10ms", "then": "stop"}))
    job.start()
    scheduler.wait_for(EventName.UNRESPONSIVE, "blocks")
    scheduler.wait_for(EventName.ENDED, "blocks")

    assert job.status().report.outcome is Outcome.FAILED


def test_a_task_with_terminate_is_called_as_well(scheduler: WatchedScheduler) -> None:
    calls: list[str] = []

    class Both(Task):
        async def run(self, ctx: AsyncContext) -> None:
            await asyncio.Event().wait()

        def terminate(self) -> None:
            calls.append(threading.current_thread().name)

    run = scheduler.add(Job(name="both", task=Both)).start()
    scheduler.wait_for(EventName.READY, "both")
    run.cancel()

    assert run.join(SOON)
    assert run.outcome is Outcome.CANCELLED
    assert len(calls) <= 1


def test_two_hundred_loops_stop_together(scheduler: WatchedScheduler) -> None:
    for number in range(200):
        scheduler.add(Job(name=f"job-{number}", task=Poller, params={"every": "1h"}))
    scheduler.start()
    for number in range(200):
        scheduler.wait_for(EventName.READY, f"job-{number}")

    report = scheduler.stop(SOON)

    assert {job.outcome for job in report.jobs} == {Outcome.CANCELLED}


def test_a_run_that_stops_its_own_scheduler_is_cancelled(scheduler: WatchedScheduler) -> None:
    seen: list[Any] = []

    async def stops(ctx: AsyncContext) -> None:
        scheduler.request_stop(SOON)
        seen.append(await ctx.wait(HOUR))

    scheduler.add(Job(name="stops", task=stops)).start()

    assert scheduler.wait_stopped(SOON)
    assert seen == [True]
