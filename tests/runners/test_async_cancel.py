"""How a cancellation reaches the run of a coroutine function: once, and wherever it is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.async_tasks import SOON, WHY, AsyncRun, ends_as, pause, turn

from taskloom import Cancelled
from taskloom.core.model import How
from taskloom.runners.loop_stacks import loop_runs
from taskloom.task import AsyncContext

HOUR = 3600.0


def test_a_main_task_that_waits_on_the_context_gets_true(bench: Any, arrived: threading.Event) -> None:
    seen: list[object] = []

    async def run(ctx: AsyncContext) -> None:
        arrived.set()
        seen.append(await ctx.wait(HOUR))
        await turn()  # it is not cancelled after that
        await pause(0.001)
        seen.append(asyncio.current_task().cancelling())  # type: ignore[union-attr]

    report = AsyncRun(bench, run).cancel_at(arrived)

    assert seen == [True, 0]
    assert (report.how, report.error, report.was_requested) == (How.RETURNED, None, True)


async def sleeps(ctx: AsyncContext) -> None:
    await asyncio.Event().wait()


async def sleeps_on_the_context(ctx: AsyncContext) -> None:
    await ctx.sleep(HOUR)


async def waits_for_a_future(ctx: AsyncContext) -> None:
    await asyncio.get_running_loop().create_future()


async def waits_in_a_child(ctx: AsyncContext) -> None:
    await asyncio.gather(asyncio.Event().wait(), ctx.wait())


async def waits_in_a_group(ctx: AsyncContext) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.Event().wait())
        group.create_task(ctx.wait())


async def waits_with_a_timeout(ctx: AsyncContext) -> None:
    async with asyncio.timeout(HOUR):
        await asyncio.Event().wait()


async def turns_without_pause(ctx: AsyncContext) -> None:
    while True:
        await turn()


async def raises_in_a_group(ctx: AsyncContext) -> None:
    async def child() -> None:
        while True:
            await turn()
            ctx.raise_if_cancelled()

    async with asyncio.TaskGroup() as group:
        group.create_task(child())
        await ctx.wait()


@pytest.mark.parametrize(
    "body",
    [
        sleeps, sleeps_on_the_context, waits_for_a_future, waits_in_a_child, waits_in_a_group, waits_with_a_timeout,
        turns_without_pause, raises_in_a_group,
    ],
)  # fmt: skip
def test_a_main_task_that_is_anywhere_else_is_cancelled(bench: Any, arrived: threading.Event, body: Any) -> None:
    async def run(ctx: AsyncContext) -> None:
        asyncio.get_running_loop().call_soon(arrived.set)
        await body(ctx)

    async_run = AsyncRun(bench, run)
    assert arrived.wait(SOON)
    async_run.cancel()
    report = async_run.report()

    assert (report.how, report.was_requested) == (How.CANCELLED, True)


def test_it_is_cancelled_only_once(bench: Any, arrived: threading.Event) -> None:
    caught: list[int] = []

    async def run(ctx: AsyncContext) -> None:
        try:
            arrived.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            caught.append(1)
        for _ in range(5):  # as a clean-up that awaits would
            try:
                await pause(0.001)
            except asyncio.CancelledError:
                caught.append(2)

    report = AsyncRun(bench, run).cancel_at(arrived)

    assert caught == [1]
    assert report.how is How.RETURNED


def test_while_it_cleans_up_its_loop_waits_and_does_not_spin(bench: Any, arrived: threading.Event) -> None:
    polls: list[int] = []

    async def run(ctx: AsyncContext) -> None:
        token = bench.tokens[0]
        arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            before = token.polls
            await pause(0.05)
            polls.append(token.polls - before)

    AsyncRun(bench, run).cancel_at(arrived)

    assert polls[0] < 20


def test_after_the_cancel_each_wait_returns_and_each_sleep_raises_at_once(bench: Any, arrived: threading.Event) -> None:
    seen: list[object] = []

    async def run(ctx: AsyncContext) -> None:
        arrived.set()
        seen.extend([await ctx.wait(), await ctx.wait(HOUR), ctx.cancelled, ctx.reason.text])  # type: ignore[union-attr]
        with pytest.raises(asyncio.CancelledError):
            await ctx.sleep(HOUR)
        with pytest.raises(Cancelled):
            ctx.raise_if_cancelled()

    report = AsyncRun(bench, run).cancel_at(arrived)

    assert seen == [True, True, True, "enough"]
    assert report.error is None


def test_a_cancel_that_comes_while_it_computes_is_noticed_at_its_next_await(bench: Any) -> None:
    seen: list[str] = []

    async def run(ctx: AsyncContext) -> None:
        async_run.cancel()
        seen.append("computes")
        await asyncio.Event().wait()
        seen.append("never")

    has_begun = threading.Event()

    async def begin(ctx: AsyncContext) -> None:
        assert has_begun.wait(SOON)
        await run(ctx)

    async_run = AsyncRun(bench, begin)
    has_begun.set()
    report = async_run.report()

    assert seen == ["computes"]
    assert report.how is How.CANCELLED


def test_a_wait_that_ends_by_a_timeout_at_the_moment_of_the_cancel_is_told_later(bench: Any) -> None:
    # The timeout has cancelled the wait, and the request comes before the wait returns: it must not be lost.
    seen: list[str] = []

    async def run(ctx: AsyncContext) -> None:
        task = asyncio.current_task()
        assert task is not None

        def strike() -> None:
            task.cancel()
            bench.tokens[0].request(WHY)

        asyncio.get_running_loop().call_soon(strike)
        try:
            await ctx.wait(HOUR)
        except asyncio.CancelledError:
            task.uncancel()
            seen.append("timeout")
        await asyncio.Event().wait()

    report = ends_as(bench, run)

    assert seen == ["timeout"]
    assert report.how is How.CANCELLED


def test_no_cancel_is_lost_whenever_it_comes(bench: Any, fast_switching: None) -> None:
    async def run(ctx: AsyncContext) -> None:
        for _ in range(3):
            await pause(0.0001)
            await turn()
        await asyncio.Event().wait()

    for count in range(1, 101):
        async_run = AsyncRun(bench, run)
        for _ in range(count * 10):
            async_run.token.is_waiting  # noqa: B018 - some time, different for each run
        async_run.cancel()
        bench.end(count)

    assert {report.how for report in bench.ends()} <= {How.CANCELLED, How.NOT_ENTERED}
    assert How.CANCELLED in {report.how for report in bench.ends()}


def test_waits_end_after_their_time(bench: Any) -> None:
    seen: list[object] = []

    async def run(ctx: AsyncContext) -> None:
        seen.extend([await ctx.wait(0), await ctx.wait(-1), await ctx.wait(0.001)])
        await ctx.sleep(0)
        await ctx.sleep(0.001)
        seen.append(await asyncio.wait_for(ctx.wait(), 0.001))

    report = ends_as(bench, run)

    assert seen == [False, False, False]
    assert report.error.type == "TimeoutError"


def test_a_wait_for_nan_seconds_is_refused(bench: Any) -> None:
    async def run(ctx: AsyncContext) -> None:
        await ctx.wait(float("nan"))

    assert ends_as(bench, run).error.message == "cannot wait for nan seconds"


def test_other_tasks_that_wait_on_the_context_are_told_as_well(bench: Any, arrived: threading.Event) -> None:
    seen: list[object] = []

    async def sleeper(ctx: AsyncContext) -> None:
        try:
            await ctx.sleep(HOUR)
        except asyncio.CancelledError:
            seen.append("sleeper")
            raise

    async def waiter(ctx: AsyncContext) -> None:
        if await ctx.wait():
            seen.append("waiter")

    async def run(ctx: AsyncContext) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(sleeper(ctx))
            group.create_task(waiter(ctx))
            asyncio.get_running_loop().call_soon(arrived.set)
            await ctx.wait()

    report = AsyncRun(bench, run).cancel_at(arrived)

    assert sorted(map(str, seen)) == ["sleeper", "waiter"]
    assert report.how is How.RETURNED


@pytest.fixture(autouse=True)
def no_loop_is_left() -> Iterator[None]:
    yield

    assert not loop_runs
