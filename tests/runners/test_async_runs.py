"""A coroutine function as a run: an event loop of its own, and what Taskloom knows of it."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.async_tasks import SOON, AsyncRun, ends_as, pause, turn

from taskloom import waiting
from taskloom.core.inputs import RunEnded
from taskloom.core.model import How
from taskloom.runners.context import current_run
from taskloom.runners.loop_stacks import loop_runs
from taskloom.task import AnyContext, AsyncContext, Context

HOUR = 3600.0


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


def test_child_processes_work_in_its_loop(bench: Any) -> None:
    seen: list[object] = []

    async def run(ctx: AsyncContext) -> None:
        child = await asyncio.create_subprocess_exec("echo", "hello", stdout=asyncio.subprocess.PIPE)
        seen.append((await child.communicate())[0])
        seen.append(child.returncode)

    ends_as(bench, run)

    assert seen == [b"hello\n", 0]


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


# All that wait: passed_sockets only looks something up.
@pytest.mark.parametrize("name", [name for name in waiting.__all__ if name != "passed_sockets"])
def test_every_function_of_waiting_is_refused_on_the_thread_of_the_loop(bench: Any, name: str) -> None:
    arguments = [None] * (2 if name in ("recv", "connect", "put") else 1)

    async def run(ctx: AsyncContext) -> None:
        getattr(waiting, name)(ctx, *arguments)

    assert ends_as(bench, run).error.message.startswith("cannot block the thread of the event loop: write `await ")


# -- what Taskloom knows of it


def test_in_an_await_it_counts_as_waiting_and_each_turn_is_a_poll(bench: Any, arrived: threading.Event) -> None:
    polls: list[int] = []

    async def run(ctx: AsyncContext) -> None:
        polls.append(bench.tokens[0].polls)
        await pause(0.001)
        polls.append(bench.tokens[0].polls)
        arrived.set()
        await asyncio.Event().wait()

    async_run = AsyncRun(bench, run)
    assert arrived.wait(SOON)
    async_run.wait_until_idle()
    async_run.cancel()
    async_run.report()

    assert polls[1] > polls[0]


def test_a_coroutine_that_blocks_the_loop_neither_waits_nor_polls(bench: Any, arrived: threading.Event) -> None:
    let_go = threading.Event()

    async def run(ctx: AsyncContext) -> None:
        await turn()
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
