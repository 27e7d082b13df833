"""A scheduler in an asyncio program: its waiting methods do not block the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from tests.support.async_tasks import pause

from taskloom import AsyncContext, Context, Job, Outcome, Reason, ReasonKind, Scheduler, StopReport
from taskloom.scheduler import async_host

SOON = 20.0
HOUR = 3600.0


class Gate:
    """A task that ends some time after its stop was requested: when the test opens it."""

    def __init__(self) -> None:
        self.is_asked = threading.Event()
        self.let_go = threading.Event()
        self.has_ended = threading.Event()

    def run(self, ctx: Context) -> None:
        ctx.wait()
        self.is_asked.set()
        assert self.let_go.wait(SOON)
        self.has_ended.set()

    async def asked(self) -> None:
        """Wait until the stop is requested, while the loop goes on."""
        while not self.is_asked.is_set():
            await pause(0.001)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.let_go.set()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in threading.enumerate():
        if thread not in before:
            thread.join(SOON)
            assert not thread.is_alive(), thread.name


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, SOON))


def test_the_loop_goes_on_during_a_stop(gate: Gate) -> None:
    async def main() -> None:
        scheduler = Scheduler()
        scheduler.add(Job(name="slow", task=gate.run)).start()
        stopping = asyncio.create_task(scheduler.astop(SOON))
        await gate.asked()
        await pause(0.001)
        assert not stopping.done()
        gate.let_go.set()
        reports.append(await stopping)

    reports: list[StopReport] = []
    run(main())

    assert [job.outcome for job in reports[0].jobs] == [Outcome.CANCELLED]


def test_the_default_executor_is_not_needed(gate: Gate) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        full = [loop.run_in_executor(None, gate.has_ended.wait, SOON) for _ in range(40)]
        scheduler = Scheduler()
        scheduler.add(Job(name="slow", task=gate.run)).start()
        gate.let_go.set()
        await scheduler.astop(SOON)
        assert all(await asyncio.gather(*full))

    run(main())


def test_a_second_stop_returns_the_same_report() -> None:
    async def main() -> None:
        scheduler = Scheduler()
        scheduler.add(Job(name="waits", task=lambda ctx: ctx.wait())).start()
        reason = Reason(ReasonKind.USER, "enough")
        first, second = await asyncio.gather(scheduler.astop(SOON, reason=reason), scheduler.astop(SOON))
        assert first == second == await scheduler.astop() == scheduler.stop()
        assert scheduler.stop_reason == reason

    run(main())


def test_a_cancelled_stop_goes_on(gate: Gate) -> None:
    async def main() -> None:
        scheduler = Scheduler()
        scheduler.add(Job(name="slow", task=gate.run)).start()
        stopping = asyncio.create_task(scheduler.astop(SOON))
        await gate.asked()
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        assert not gate.has_ended.is_set()
        gate.let_go.set()
        assert await scheduler.await_stopped(SOON)

    run(main())

    assert gate.has_ended.is_set()


def test_a_stop_that_is_cancelled_at_once_was_requested_all_the_same() -> None:
    async def main() -> None:
        scheduler = Scheduler()
        scheduler.add(Job(name="waits", task=lambda ctx: ctx.wait())).start()
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scheduler.astop(SOON)
        current.uncancel()
        assert await scheduler.await_stopped(SOON)

    run(main())


def test_a_block_stops_everything_at_its_end() -> None:
    async def main() -> None:
        async with Scheduler() as scheduler:
            job = scheduler.add(Job(name="waits", task=lambda ctx: ctx.wait()))
            job.start()
        assert job.status().report.outcome is Outcome.CANCELLED
        assert scheduler.wait_stopped(0)

    run(main())


def test_an_error_in_the_block_is_raised_after_the_stop() -> None:
    async def main() -> None:
        with pytest.raises(KeyError, match="mine"):
            async with Scheduler() as scheduler:
                scheduler.add(Job(name="waits", task=lambda ctx: ctx.wait())).start()
                raise KeyError("mine")
        assert scheduler.wait_stopped(0)

    run(main())


@pytest.mark.parametrize("count", [1, 3])
def test_a_block_that_is_cancelled_at_its_end_waits_all_the_same(gate: Gate, count: int) -> None:
    async def block() -> None:
        async with Scheduler() as scheduler:
            schedulers.append(scheduler)
            scheduler.add(Job(name="slow", task=gate.run)).start()

    async def main() -> None:
        task = asyncio.create_task(block())
        await gate.asked()
        for _ in range(count):
            task.cancel()
            await pause(0.001)
        assert not task.done()
        gate.let_go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert schedulers[0].wait_stopped(0)
        assert gate.has_ended.is_set()

    schedulers: list[Scheduler] = []
    run(main())


def test_the_end_of_the_loop_waits_for_a_block(gate: Gate) -> None:
    async def block() -> None:
        async with Scheduler() as scheduler:
            scheduler.add(Job(name="slow", task=gate.run)).start()

    async def main() -> None:
        keep.append(asyncio.create_task(block()))
        await gate.asked()
        asyncio.get_running_loop().call_later(0.01, gate.let_go.set)

    keep: list[object] = []
    asyncio.run(main())

    assert gate.has_ended.is_set()


def test_without_a_thread_a_block_waits_in_spite_of_a_cancellation(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def block() -> None:
        async with Scheduler() as scheduler:
            schedulers.append(scheduler)
            scheduler.add(Job(name="slow", task=gate.run)).start()

    async def main() -> None:
        task = asyncio.create_task(block())
        await gate.asked()
        task.cancel()
        await pause(0.001)
        assert not task.done()
        gate.let_go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert schedulers[0].wait_stopped(0)

    schedulers: list[Scheduler] = []
    monkeypatch.setattr(async_host._Call, "start", lambda self: None)
    run(main())


def test_a_block_that_is_cancelled_inside_stops_everything(gate: Gate) -> None:
    async def block() -> None:
        async with Scheduler() as scheduler:
            scheduler.add(Job(name="slow", task=gate.run)).start()
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(block())
        await pause(0.001)
        task.cancel()
        await gate.asked()
        gate.let_go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert gate.has_ended.is_set()

    run(main())


def test_it_waits_for_the_end_of_the_work() -> None:
    let_go = threading.Event()

    async def main() -> None:
        async with Scheduler() as scheduler:
            scheduler.add(Job(name="ends", task=lambda ctx: let_go.wait(SOON) and None)).start()
            assert not await scheduler.await_finished(0)
            assert not await scheduler.await_finished(0.01)
            assert not await scheduler.await_stopped(0)
            let_go.set()
            assert await scheduler.await_finished()

    run(main())


def test_a_cancelled_wait_ends_and_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_host, "CHECK_SECONDS", 0.001)

    async def main() -> None:
        async with Scheduler() as scheduler:
            waiting = asyncio.create_task(scheduler.await_stopped())
            await pause(0.001)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    run(main())


def test_a_run_may_stop_its_own_scheduler_and_is_cancelled() -> None:
    async def stops(ctx: AsyncContext) -> None:
        await schedulers[0].astop(SOON)

    async def main() -> None:
        schedulers.append(Scheduler())
        job = schedulers[0].add(Job(name="stops", task=stops))
        job.start()
        assert await schedulers[0].await_stopped()
        assert job.status().report.outcome is Outcome.CANCELLED

    schedulers: list[Scheduler] = []
    run(main())


def test_without_a_thread_it_waits_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[[threading.Thread], None] = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "taskloom-await":
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        real(thread)

    async def main() -> None:
        scheduler = Scheduler()
        scheduler.add(Job(name="waits", task=lambda ctx: ctx.wait())).start()
        assert not await scheduler.await_finished(0.01)
        report = await scheduler.astop(SOON)
        assert [job.outcome for job in report.jobs] == [Outcome.CANCELLED]
        assert await scheduler.await_stopped()

    refused: list[str] = []
    monkeypatch.setattr(threading.Thread, "start", start)
    run(main())

    assert len(refused) == 3


def test_a_wrong_limit_is_refused() -> None:
    async def main() -> None:
        scheduler = Scheduler()
        with pytest.raises(ValueError, match="nan"):
            await scheduler.astop(float("nan"))
        await scheduler.astop(0)

    run(main())
