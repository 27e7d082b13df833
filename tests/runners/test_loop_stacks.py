"""Where the run of a coroutine is: on its thread, where it awaits, or in a thread of its executor."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support.async_tasks import SOON, AsyncRun, turn

from taskloom.runners import Stack
from taskloom.runners.loop_stacks import coroutine_lines
from taskloom.task import AsyncContext

HOUR = 3600.0


@pytest.fixture
def arrived() -> threading.Event:
    """Set by a run at the place that its test reads."""
    return threading.Event()


def place_of(mark: str, function: str) -> str:
    """Return `file:line in function` of the line of this file that has the mark as its comment."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    [number] = [number for number, line in enumerate(lines, start=1) if line.endswith(f"  # {mark}")]
    return f"{__file__}:{number} in {function}"


def stack_of(async_run: AsyncRun) -> Stack:
    [stack] = async_run.bench.runner.stacks([async_run.handle], 1)
    assert isinstance(stack, Stack)
    return stack


async def inner() -> None:
    await asyncio.Event().wait()  # inner awaits


async def outer() -> None:
    await inner()


async def awaits_functions(ctx: AsyncContext) -> None:
    await outer()


async def awaits_the_context(ctx: AsyncContext) -> None:
    await ctx.wait()  # the context is awaited


async def awaits_a_task(ctx: AsyncContext) -> None:
    await asyncio.create_task(inner())


async def awaits_a_wait_in_a_task(ctx: AsyncContext) -> None:
    await asyncio.create_task(ctx.wait())  # a wait in a task


async def awaits_a_generator(ctx: AsyncContext) -> None:
    async def items() -> Any:
        await asyncio.Event().wait()
        yield 1

    async for _ in items():  # a generator is awaited
        pass


class Awaitable:
    def __await__(self) -> Any:
        yield from asyncio.Event().wait().__await__()  # an object is awaited


async def awaits_an_object(ctx: AsyncContext) -> None:
    await Awaitable()


@pytest.mark.parametrize(
    ("body", "mark", "function"),
    [
        (awaits_functions, "inner awaits", "inner"),
        (awaits_the_context, "the context is awaited", "awaits_the_context"),
        (awaits_a_task, "inner awaits", "inner"),
        (awaits_a_wait_in_a_task, "a wait in a task", "awaits_a_wait_in_a_task"),
        (awaits_a_generator, "a generator is awaited", "awaits_a_generator"),
        (awaits_an_object, "an object is awaited", "__await__"),
    ],
)
def test_a_run_that_awaits_is_at_the_innermost_line_of_its_own(
    bench: Any, arrived: threading.Event, body: Any, mark: str, function: str
) -> None:
    async def run(ctx: AsyncContext) -> None:
        asyncio.get_running_loop().call_later(0.001, arrived.set)
        await body(ctx)

    async_run = AsyncRun(bench, run)
    assert arrived.wait(SOON)
    async_run.wait_until_idle()
    stack = stack_of(async_run)
    async_run.cancel()
    async_run.report()

    assert stack.where == place_of(mark, function)
    assert body.__name__ in stack.text
    assert stack.text.startswith(f'  File "{__file__}"')


def test_a_coroutine_that_swallows_its_cancellation_is_named_by_its_line(bench: Any, arrived: threading.Event) -> None:
    let_go = threading.Event()

    async def deaf(ctx: AsyncContext) -> None:
        arrived.set()
        while not let_go.is_set():
            try:
                await asyncio.sleep(0.01)  # the task under test: deaf
            except asyncio.CancelledError:
                swallowed.set()

    swallowed = threading.Event()
    async_run = AsyncRun(bench, deaf)
    assert arrived.wait(SOON)
    async_run.wait_until_idle()
    async_run.cancel()
    assert swallowed.wait(SOON)
    expected = place_of("the task under test: deaf", "deaf")
    is_seen = any(stack_of(async_run).where == expected for _ in range(100_000))
    let_go.set()
    async_run.report()

    assert is_seen


def test_a_coroutine_that_blocks_the_loop_is_named_by_the_line_of_its_thread(
    bench: Any, arrived: threading.Event
) -> None:
    let_go = threading.Event()

    async def run(ctx: AsyncContext) -> None:
        await turn()
        arrived.set()
        let_go.wait(SOON)  # the loop is blocked

    async_run = AsyncRun(bench, run)
    assert arrived.wait(SOON)
    stack = stack_of(async_run)
    let_go.set()
    async_run.report()

    assert stack.where == place_of("the loop is blocked", "run")
    assert "let_go.wait(SOON)" in stack.text


def test_a_group_shows_the_stacks_of_its_tasks(bench: Any, arrived: threading.Event) -> None:
    async def child() -> None:
        asyncio.get_running_loop().call_soon(arrived.set)
        await inner()

    async def run(ctx: AsyncContext) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(child(), name="child")

    async_run = AsyncRun(bench, run)
    assert arrived.wait(SOON)
    async_run.wait_until_idle()
    stack = stack_of(async_run)
    async_run.cancel()
    async_run.report()

    assert stack.where.endswith(" in run")
    assert "Task child:\n" in stack.text
    assert "await asyncio.Event().wait()  # inner awaits" in stack.text


def test_a_task_that_holds_the_end_of_the_run_is_named(bench: Any, arrived: threading.Event) -> None:
    let_go = threading.Event()

    async def left() -> None:
        while not let_go.is_set():
            try:
                await asyncio.sleep(0.01)  # the task under test: left behind
            except asyncio.CancelledError:
                arrived.set()

    async def run(ctx: AsyncContext) -> None:
        keep.append(asyncio.create_task(left()))
        await turn()

    keep: list[object] = []
    async_run = AsyncRun(bench, run)
    assert arrived.wait(SOON)
    async_run.wait_until_idle()
    stack = stack_of(async_run)
    let_go.set()
    async_run.report()

    assert stack.where == place_of("the task under test: left behind", "left")


@pytest.mark.parametrize("is_own_code", [True, False])
def test_a_thread_that_holds_the_end_of_the_run_is_named(
    bench: Any, arrived: threading.Event, *, is_own_code: bool
) -> None:
    let_go = threading.Event()

    def block() -> None:
        let_go.wait(SOON)  # a thread blocks

    async def run(ctx: AsyncContext) -> None:
        asyncio.get_running_loop().call_later(0.01, arrived.set)
        await ctx.to_thread(block if is_own_code else let_go.wait, *(() if is_own_code else (SOON,)))  # handed over

    async_run = AsyncRun(bench, run)
    assert arrived.wait(SOON)
    async_run.cancel()
    while not (stack := stack_of(async_run)).text.startswith("Thread of the executor:"):
        assert async_run.handle.is_alive()
    let_go.set()
    async_run.report()

    expected = place_of("a thread blocks", "block") if is_own_code else place_of("handed over", "run")
    assert stack.where == expected


def test_a_coroutine_that_has_ended_has_no_lines() -> None:
    async def nothing() -> None:
        """Do nothing."""

    coroutine = nothing()
    coroutine.close()

    assert coroutine_lines(coroutine) == []
    assert coroutine_lines(object()) == []


def test_stacks_can_be_read_while_loops_start_turn_and_end(bench: Any) -> None:
    async def run(ctx: AsyncContext) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(turn())
        await ctx.to_thread(abs, 1)

    for count in range(1, 31):
        async_run = AsyncRun(bench, run)
        while async_run.handle.is_alive():
            stack_of(async_run)
        bench.end(count)

    assert all(report.error is None for report in bench.ends())
