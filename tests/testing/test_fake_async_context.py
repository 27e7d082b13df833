"""FakeAsyncContext: an async task in a unit test, in virtual time or in the event loop of the test."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from tests.support.async_tasks import turn

from taskloom import AsyncContext, Cancelled, Context, Duration, Task
from taskloom.testing import FakeAsyncContext, VirtualClock

HOUR = 3600.0
SOON = 20.0


class Heartbeat(Task):
    """Say that we are here, again and again."""

    every: Duration = 5.0

    async def run(self, ctx: AsyncContext) -> None:
        while not await ctx.wait(self.every):
            ctx.log.info("still here")


def test_in_virtual_time_a_wait_takes_no_time() -> None:
    with FakeAsyncContext(clock=VirtualClock(), cancel_after=HOUR) as ctx:
        ctx.run(Heartbeat(every=5.0))

    assert ctx.messages == ["still here"] * 719
    assert ctx.reason is not None


def test_a_sleep_in_virtual_time_is_cancelled() -> None:
    async def sleeps(ctx: AsyncContext) -> None:
        while True:
            await ctx.sleep(10)
            ctx.count("sleeps")

    with FakeAsyncContext(clock=VirtualClock(), cancel_after=35) as ctx, pytest.raises(Cancelled):
        ctx.run(sleeps)

    assert ctx.counts["sleeps"] == 3


def test_it_is_cancelled_at_a_poll() -> None:
    with FakeAsyncContext(clock=VirtualClock(), cancel_after_polls=3) as ctx:
        ctx.run(Heartbeat(every=5.0))

    assert ctx.messages == ["still here"] * 2


def test_it_is_an_async_context() -> None:
    seen: list[bool] = []

    async def run(ctx: AsyncContext) -> None:
        seen.extend([isinstance(ctx, AsyncContext), isinstance(ctx.blocking, Context)])

    FakeAsyncContext().run(run)

    assert seen == [True, True]


def test_a_cancel_from_another_thread_ends_a_wait() -> None:
    with FakeAsyncContext() as ctx:
        thread = threading.Thread(target=ctx.cancel, args=("enough",))

        async def run(ctx: AsyncContext) -> None:
            thread.start()
            assert await ctx.wait(HOUR)

        ctx.run(run)
        thread.join(SOON)

    assert ctx.reason is not None
    assert ctx.reason.text == "enough"


def test_a_cancel_from_another_thread_cancels_a_task_that_is_elsewhere() -> None:
    with FakeAsyncContext() as ctx:
        thread = threading.Thread(target=ctx.cancel)

        async def run(ctx: AsyncContext) -> None:
            thread.start()
            await asyncio.Event().wait()

        with pytest.raises(Cancelled):
            ctx.run(run)
        thread.join(SOON)


def test_a_run_that_is_cancelled_before_it_begins_is_cancelled_at_its_first_await() -> None:
    async def run(ctx: AsyncContext) -> None:
        await asyncio.Event().wait()

    with FakeAsyncContext() as ctx:
        ctx.cancel()
        with pytest.raises(Cancelled):
            ctx.run(run)


def test_it_works_in_the_loop_of_a_test() -> None:
    async def test() -> None:
        ctx = FakeAsyncContext()
        task = asyncio.create_task(Heartbeat(every=HOUR).run(ctx))
        await turn()
        ctx.cancel()
        await task

    asyncio.run(test())


def test_other_tasks_of_the_loop_go_on_during_a_wait_in_virtual_time() -> None:
    seen: list[int] = []

    async def other() -> None:
        for number in range(3):
            seen.append(number)
            await turn()

    async def run(ctx: AsyncContext) -> None:
        task = asyncio.create_task(other())
        while not task.done():
            await ctx.wait(1)

    FakeAsyncContext(clock=VirtualClock()).run(run)

    assert seen == [0, 1, 2]


def test_functions_on_other_threads_get_the_blocking_context() -> None:
    def helper(ctx: Context) -> bool:
        return ctx.wait(0.001)

    async def run(ctx: AsyncContext) -> None:
        ctx.count("no", 1 - await ctx.to_thread(helper, ctx.blocking))
        with pytest.raises(RuntimeError, match="cannot block the thread of the event loop"):
            ctx.blocking.sleep(1)

    ctx = FakeAsyncContext()
    ctx.run(run)

    assert ctx.counts["no"] == 1


def test_a_wait_without_await_is_refused() -> None:
    async def run(ctx: AsyncContext) -> None:
        while not ctx.wait(1):  # type: ignore[truthy-bool]
            pass

    with pytest.raises(RuntimeError, match="without await here"):
        FakeAsyncContext().run(run)


def test_an_error_of_the_task_is_raised() -> None:
    async def run(ctx: Any) -> None:
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        FakeAsyncContext().run(run)


def test_a_cancellation_of_its_own_is_not_taken_for_that_of_the_context() -> None:
    async def run(ctx: Any) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        FakeAsyncContext().run(run)
