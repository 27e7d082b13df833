"""How the run of a coroutine function ends: with all its tasks, generators and threads."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.support.async_tasks import SOON, AsyncRun, ends_as, turn

from taskloom import Cancelled, PermanentFailure
from taskloom.core.model import How, Outcome
from taskloom.core.outcome import decide_outcome
from taskloom.runners.loop_stacks import loop_runs
from taskloom.task import AsyncContext, Context

HOUR = 3600.0


async def raises(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "how"),
    [
        (ValueError("bad"), How.RAISED),
        (SystemExit(0), How.RAISED),
        (KeyboardInterrupt(), How.RAISED),
        (PermanentFailure("no"), How.PERMANENT),
        (Cancelled(), How.CANCELLED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_escapes_before_the_request_is_recorded(bench: Any, error: BaseException, how: How) -> None:
    report = ends_as(bench, lambda ctx: raises(error))

    assert (report.how, report.error.type, report.was_requested) == (how, type(error).__name__, False)


def test_a_cancellation_before_the_request_is_not_that_of_the_run(bench: Any) -> None:
    report = ends_as(bench, lambda ctx: raises(asyncio.CancelledError()))

    assert decide_outcome(report, None)[0] is Outcome.FAILED
    assert report.error.type == "CancelledError"


def test_the_traceback_begins_at_the_code_of_the_task(bench: Any) -> None:
    async def inner() -> None:
        raise ValueError("bad")

    async def run(ctx: AsyncContext) -> None:
        await inner()

    text = ends_as(bench, run).error.traceback

    assert text.count('File "') == 2
    assert text.startswith(f'Traceback (most recent call last):\n  File "{__file__}"')
    assert "event_loop.py" not in text


def test_an_error_after_the_request_is_kept(bench: Any, arrived: threading.Event) -> None:
    async def run(ctx: AsyncContext) -> None:
        arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("closed")

    report = AsyncRun(bench, run).cancel_at(arrived)

    assert (report.how, report.error.type, report.was_requested) == (How.RAISED, "OSError", True)


def test_tasks_and_generators_that_are_left_are_ended(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def left() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("task")
            raise

    async def bad() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while it ended")

    async def numbers() -> Any:
        try:
            while True:
                yield 1
        finally:
            ended.append("generator")

    async def run(ctx: AsyncContext) -> None:
        keep.extend([asyncio.create_task(left()), asyncio.create_task(bad())])
        generator = numbers()
        keep.append(generator)
        await anext(generator)
        await turn()

    keep: list[object] = []
    with caplog.at_level(logging.ERROR, "asyncio"):
        report = ends_as(bench, run)

    assert report.how is How.RETURNED
    assert ended == ["task", "generator"]
    assert "while it ended" in caplog.text


def test_a_thread_of_the_executor_holds_the_end_of_the_run(bench: Any, arrived: threading.Event) -> None:
    let_go = threading.Event()
    context: contextvars.ContextVar[str] = contextvars.ContextVar("context")
    seen: list[str] = []
    before = {*threading.enumerate()}

    def block() -> None:
        seen.append(context.get())
        arrived.set()
        assert let_go.wait(SOON)

    async def run(ctx: AsyncContext) -> None:
        context.set("the caller's")
        await ctx.to_thread(block)

    async_run = AsyncRun(bench, run)
    assert arrived.wait(SOON)
    async_run.cancel()
    was_alive = [async_run.handle.join(0.05), async_run.handle.is_alive()]
    let_go.set()
    report = async_run.report()

    assert was_alive == [False, True]
    assert report.how is How.CANCELLED
    assert seen == ["the caller's"]
    assert not [each for each in {*threading.enumerate()} - before if each.name.startswith("job-thread")]


def test_a_task_that_exits_while_it_ends_does_not_leave_threads_behind(bench: Any) -> None:
    has_ended = threading.Event()

    async def left() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise SystemExit(1)

    async def run(ctx: AsyncContext) -> None:
        keep.append(asyncio.create_task(left()))
        keep.append(asyncio.create_task(asyncio.to_thread(block)))
        while not has_begun.is_set():
            await turn()

    def block() -> None:
        has_begun.set()
        assert not let_go.wait(0.01)
        has_ended.set()

    keep: list[object] = []
    has_begun, let_go = threading.Event(), threading.Event()
    report = ends_as(bench, run)

    assert report.error.type == "SystemExit"
    assert has_ended.is_set()


def test_a_thread_may_call_the_loop_until_it_ends(bench: Any) -> None:
    seen: list[int] = []

    async def answer() -> int:
        return 42

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            tasks_have_ended.set()  # the generators that are left end after the tasks that are left

    async def run(ctx: AsyncContext) -> None:
        loop = asyncio.get_running_loop()

        def ask() -> None:
            assert tasks_have_ended.wait(SOON)
            seen.append(asyncio.run_coroutine_threadsafe(answer(), loop).result(SOON))

        keep.extend([numbers(), loop.run_in_executor(None, ask)])
        await anext(keep[0])

    keep: list[Any] = []
    tasks_have_ended = threading.Event()
    report = ends_as(bench, run)

    assert report.error is None
    assert seen == [42]


def test_to_thread_returns_and_raises_what_the_function_does(bench: Any) -> None:
    seen: list[object] = []

    async def run(ctx: AsyncContext) -> None:
        seen.append(await ctx.to_thread(divmod, 7, 2))
        seen.append(await ctx.to_thread(int, "ff", base=16))
        seen.append(await asyncio.gather(*(ctx.to_thread(abs, -number) for number in range(100))))
        await ctx.to_thread(int, "no number")

    report = ends_as(bench, run)

    assert seen == [(3, 1), 255, list(range(100))]
    assert report.error.type == "ValueError"


def test_a_function_on_another_thread_waits_with_the_blocking_context(bench: Any, arrived: threading.Event) -> None:
    seen: list[object] = []

    def helper(ctx: Context) -> None:
        seen.append(ctx.wait(0.001))
        arrived.set()
        seen.append(ctx.wait())
        ctx.sleep(HOUR)

    async def run(ctx: AsyncContext) -> None:
        await ctx.to_thread(helper, ctx.blocking)

    async_run = AsyncRun(bench, run)
    assert arrived.wait(SOON)
    async_run.cancel()
    report = async_run.report()

    assert seen == [False, True]
    assert report.how is How.CANCELLED


def test_executor_threads_have_the_daemon_flag_of_the_run(thread_bench: Any) -> None:
    seen: list[bool] = []

    async def run(ctx: AsyncContext) -> None:
        seen.append(await ctx.to_thread(lambda: threading.current_thread().daemon))

    from taskloom.runners.binding import CoroutineRun

    thread_bench.start(CoroutineRun(run), daemon=True)
    thread_bench.start(CoroutineRun(run), daemon=False)
    thread_bench.end(2)

    assert sorted(seen) == [False, True]


@pytest.fixture(autouse=True)
def no_loop_is_left() -> Iterator[None]:
    yield

    assert not loop_runs
