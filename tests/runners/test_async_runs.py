"""A coroutine function as a run: an event loop of its own, told once that it is cancelled, ended as a whole."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.async_tasks import SOON, WHY, AsyncRun

from taskloom import Cancelled, PermanentFailure, waiting
from taskloom.core.inputs import RunEnded
from taskloom.core.model import How
from taskloom.runners.context import current_run
from taskloom.runners.loop_stacks import loop_runs
from taskloom.task import AnyContext, AsyncContext, Context

HOUR = 3600.0


@pytest.fixture
def arrived() -> threading.Event:
    """Set by a run at the place where the test cancels it."""
    return threading.Event()


def ends_as(bench: Any, function: Any) -> Any:
    AsyncRun(bench, function)
    [report] = bench.end()
    return report


# -- the run


def test_it_runs_in_a_loop_on_the_thread_of_the_run(bench: Any) -> None:
    places: list[tuple[int, bool]] = []

    async def run(ctx: AsyncContext) -> None:
        places.append((threading.get_ident(), asyncio.get_event_loop() is asyncio.get_running_loop()))

    handle = AsyncRun(bench, run).handle
    [report] = bench.end()

    assert report == RunEnded("job#1", How.RETURNED, None, False, False)
    assert len(places) == 1
    assert places[0][0] != threading.get_ident()
    assert places[0][1]
    assert not handle.is_alive()


def test_its_context_has_the_members_of_both_protocols(bench: Any) -> None:
    seen: list[object] = []

    async def run(ctx: AsyncContext) -> None:
        seen.extend([isinstance(ctx, AsyncContext), isinstance(ctx, AnyContext), isinstance(ctx.blocking, Context)])
        seen.extend([ctx.job, ctx.run_id, ctx.attempt, ctx.replica, ctx.poll_interval, ctx.reason, ctx.urgent])
        ctx.count("frames", 2)
        ctx.progress(1, 2, "files")
        ctx.ready()
        ctx.raise_if_cancelled()
        ctx.on_cancel(print).close()
        seen.extend([ctx.cancelled, ctx.fileno() >= 0, list(ctx.track([1, 2]))])

    handle = AsyncRun(bench, run).handle
    [report] = bench.end()

    assert report.error is None
    assert seen == [True, True, True, "job", "job#1", 1, 1, 0.5, None, False, False, True, [1, 2]]
    assert handle.gauges.counts == {"frames": 2}


def test_its_log_lines_and_those_of_its_tasks_and_threads_belong_to_the_run(bench: Any) -> None:
    seen: list[str] = []

    def note() -> None:
        context = current_run.get()
        seen.append(context.run_id if context else "nobody")

    async def child() -> None:
        note()

    async def run(ctx: AsyncContext) -> None:
        note()
        await asyncio.create_task(child())
        await ctx.to_thread(note)
        await asyncio.to_thread(note)
        await asyncio.get_running_loop().run_in_executor(None, note)

    ends_as(bench, run)

    assert seen == ["job#1"] * 5


def test_two_runs_one_after_the_other_on_one_thread_do_not_share_a_loop(bench: Any) -> None:
    loops: list[object] = []

    async def run(ctx: AsyncContext) -> None:
        loops.append(asyncio.get_running_loop())

    AsyncRun(bench, run)
    bench.end(1)
    AsyncRun(bench, run)
    bench.end(2)
    seen: list[bool] = []
    bench.start(lambda ctx: seen.append(asyncio._get_running_loop() is None))
    bench.end(3)

    assert len(set(map(id, loops))) == 2
    assert all(loop.is_closed() for loop in loops)  # type: ignore[attr-defined]
    assert seen == [True]
    assert not loop_runs


def test_no_signal_handler_is_changed(bench: Any) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    seen: list[object] = []

    async def run(ctx: AsyncContext) -> None:
        seen.extend(signal.getsignal(number) for number in before)

    ends_as(bench, run)

    assert seen == list(before.values())
    assert signal.set_wakeup_fd(-1) == -1


def test_nothing_of_the_run_is_kept_after_its_end(bench: Any) -> None:
    class Thing:
        """Held by the run's local variables."""

    alive: list[weakref.ref[Any]] = []

    async def run(ctx: AsyncContext) -> None:
        thing = Thing()
        alive.append(weakref.ref(thing))
        await ctx.to_thread(lambda: thing)
        await asyncio.create_task(ctx.wait(0.001))
        raise ValueError(str(thing))

    ends_as(bench, run)
    bench.finish()
    gc.collect()

    assert [ref() for ref in alive] == [None]


# -- how a cancel reaches it


def test_a_main_task_that_waits_on_the_context_gets_true(bench: Any, arrived: threading.Event) -> None:
    seen: list[object] = []

    async def run(ctx: AsyncContext) -> None:
        arrived.set()
        seen.append(await ctx.wait(HOUR))
        await asyncio.sleep(0)  # it is not cancelled after that
        await asyncio.sleep(0.001)
        seen.append(asyncio.current_task().cancelling())  # type: ignore[union-attr]

    report = AsyncRun(bench, run).cancel_at(arrived)

    assert seen == [True, 0]
    assert (report.how, report.error, report.was_requested) == (How.RETURNED, None, True)


async def sleeps(ctx: AsyncContext) -> None:
    await asyncio.sleep(HOUR)


async def sleeps_on_the_context(ctx: AsyncContext) -> None:
    await ctx.sleep(HOUR)


async def waits_for_a_future(ctx: AsyncContext) -> None:
    await asyncio.get_running_loop().create_future()


async def waits_in_a_child(ctx: AsyncContext) -> None:
    await asyncio.gather(asyncio.sleep(HOUR), ctx.wait())


async def waits_in_a_group(ctx: AsyncContext) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(HOUR))
        group.create_task(ctx.wait())


async def waits_with_a_timeout(ctx: AsyncContext) -> None:
    async with asyncio.timeout(HOUR):
        await asyncio.Event().wait()


async def turns_without_pause(ctx: AsyncContext) -> None:
    while True:
        await asyncio.sleep(0)


async def raises_in_a_group(ctx: AsyncContext) -> None:
    async def child() -> None:
        while True:
            await asyncio.sleep(0)
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
            await asyncio.sleep(HOUR)
        except asyncio.CancelledError:
            caught.append(1)
        for _ in range(5):  # as a clean-up that awaits would
            try:
                await asyncio.sleep(0.001)
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
            await asyncio.sleep(HOUR)
        finally:
            before = token.polls
            await asyncio.sleep(0.05)
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
        await asyncio.sleep(HOUR)
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
        await asyncio.sleep(HOUR)

    report = ends_as(bench, run)

    assert seen == ["timeout"]
    assert report.how is How.CANCELLED


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


# -- how it ends


async def raises(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "how"),
    [
        (ValueError("bad"), How.RAISED),
        (SystemExit(0), How.RAISED),
        (KeyboardInterrupt(), How.RAISED),
        (asyncio.CancelledError(), How.RAISED),
        (PermanentFailure("no"), How.PERMANENT),
        (Cancelled(), How.CANCELLED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_escapes_before_the_request_is_recorded(bench: Any, error: BaseException, how: How) -> None:
    report = ends_as(bench, lambda ctx: raises(error))

    assert (report.how, report.error.type, report.was_requested) == (how, type(error).__name__, False)


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
            await asyncio.sleep(HOUR)
        finally:
            raise OSError("closed")

    report = AsyncRun(bench, run).cancel_at(arrived)

    assert (report.how, report.error.type, report.was_requested) == (How.RAISED, "OSError", True)


def test_tasks_and_generators_that_are_left_are_ended(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def left() -> None:
        try:
            await asyncio.sleep(HOUR)
        except asyncio.CancelledError:
            ended.append("task")
            raise

    async def bad() -> None:
        try:
            await asyncio.sleep(HOUR)
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
        await asyncio.sleep(0)

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
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("job-thread")]


def test_a_task_that_exits_while_it_ends_does_not_leave_threads_behind(bench: Any) -> None:
    has_ended = threading.Event()

    async def left() -> None:
        try:
            await asyncio.sleep(HOUR)
        finally:
            raise SystemExit(1)

    async def run(ctx: AsyncContext) -> None:
        keep.append(asyncio.create_task(left()))
        keep.append(asyncio.create_task(asyncio.to_thread(block)))
        while not has_begun.is_set():
            await asyncio.sleep(0)

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

    async def run(ctx: AsyncContext) -> None:
        loop = asyncio.get_running_loop()
        has_begun = threading.Event()

        def ask() -> None:
            has_begun.set()
            assert not let_go.wait(0.01)
            seen.append(asyncio.run_coroutine_threadsafe(answer(), loop).result(SOON))

        keep.append(loop.run_in_executor(None, ask))
        while not has_begun.is_set():
            await asyncio.sleep(0)

    keep: list[object] = []
    let_go = threading.Event()
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


# -- what is refused on the thread of the loop


async def blocking_wait(ctx: AsyncContext) -> None:
    ctx.blocking.wait(HOUR)


async def blocking_sleep(ctx: AsyncContext) -> None:
    ctx.blocking.sleep(HOUR)


async def wait_without_await(ctx: AsyncContext) -> None:
    while not ctx.wait(HOUR):  # type: ignore[truthy-bool]
        pass


async def receive(ctx: AsyncContext) -> None:
    waiting.recv(ctx, None, 1)  # type: ignore[arg-type]


async def receive_with_the_blocking_context(ctx: AsyncContext) -> None:
    waiting.get(ctx.blocking, None)  # type: ignore[arg-type]


async def wait_on_another_thread(ctx: AsyncContext) -> None:
    await ctx.to_thread(lambda: ctx.wait(1))  # type: ignore[unused-coroutine]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (blocking_wait, "cannot block the thread of the event loop: write `await ctx.wait(...)`"),
        (blocking_sleep, "cannot block the thread of the event loop: write `await ctx.sleep(...)`"),
        (wait_without_await, "cannot use ctx.wait(...) without await here: write `await ctx.wait(...)`"),
        (receive, "cannot block the thread of the event loop: write `await ctx.to_thread(waiting.recv, ctx.blocking, "),
        (receive_with_the_blocking_context, "cannot block the thread of the event loop: write `await ctx.to_thread("),
        (wait_on_another_thread, "cannot await ctx.wait on this thread: the run's event loop is on another; "),
    ],
)
def test_blocking_the_loop_is_refused_in_words(bench: Any, body: Any, message: str) -> None:
    report = ends_as(bench, body)

    assert report.error.type == "RuntimeError"
    assert report.error.message.startswith(message)


# -- what Taskloom knows of it


def test_in_an_await_it_counts_as_waiting_and_each_turn_is_a_poll(bench: Any, arrived: threading.Event) -> None:
    polls: list[int] = []

    async def run(ctx: AsyncContext) -> None:
        polls.append(bench.tokens[0].polls)
        await asyncio.sleep(0.001)
        polls.append(bench.tokens[0].polls)
        arrived.set()
        await asyncio.sleep(HOUR)

    async_run = AsyncRun(bench, run)
    assert arrived.wait(SOON)
    async_run.wait_until_idle()
    async_run.cancel()
    async_run.report()

    assert polls[1] > polls[0]


def test_a_coroutine_that_blocks_the_loop_neither_waits_nor_polls(bench: Any, arrived: threading.Event) -> None:
    let_go = threading.Event()

    async def run(ctx: AsyncContext) -> None:
        await asyncio.sleep(0)
        arrived.set()
        assert let_go.wait(SOON)

    async_run = AsyncRun(bench, run)
    assert arrived.wait(SOON)
    token = async_run.token
    before = token.polls
    seen = [token.is_waiting, token.is_wakeable, let_go.wait(0.01), token.polls - before]
    let_go.set()
    async_run.report()

    assert seen == [False, False, False, 0]


def test_a_program_without_coroutine_runs_never_imports_asyncio() -> None:
    code = (
        "import sys, threading; from taskloom import Job, Scheduler\n"
        "async def poll(ctx): pass\n"
        "def plain(ctx): pass\n"
        "with Scheduler() as scheduler:\n"
        "    job = scheduler.add(Job(name='poll', task=poll))\n"
        "    assert scheduler.add(Job(name='plain', task=plain)).start().join(20)\n"
        "    assert 'asyncio' not in sys.modules\n"
        "    assert job.start().join(20)\n"
        "    assert 'asyncio' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.fixture(autouse=True)
def no_loop_is_left() -> Iterator[None]:
    yield

    assert not loop_runs
