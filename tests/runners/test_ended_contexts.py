"""The context of a run that has ended, as the threads see it that the task has left running."""

from __future__ import annotations

import contextvars
import gc
import os
import queue
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from taskloom import waiting
from taskloom.core.model import ReasonKind
from taskloom.errors import Cancelled
from taskloom.runners.context import current_run

SOON = 20.0


def context_of_an_ended_run(bench: Any) -> Any:
    kept: list[Any] = []
    bench.start(kept.append)
    bench.end()
    return kept.pop()


def is_readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def test_the_context_of_an_ended_run_is_cancelled(bench: Any) -> None:
    ctx = context_of_an_ended_run(bench)

    assert ctx.cancelled
    assert ctx.wait()
    assert (ctx.reason.kind, ctx.reason.text) == (ReasonKind.FINISHED, "the run has ended")
    with pytest.raises(Cancelled):
        ctx.sleep(60)
    with pytest.raises(Cancelled):
        ctx.raise_if_cancelled()
    with pytest.raises(Cancelled):
        list(ctx.track([1]))


@pytest.mark.parametrize(
    "call",
    [
        lambda ctx, sock: waiting.recv(ctx, sock, 100),
        waiting.accept,
        lambda ctx, sock: waiting.connect(ctx, sock, ("127.0.0.1", 9)),
        lambda ctx, sock: waiting.get(ctx, queue.Queue()),
    ],
    ids=["recv", "accept", "connect", "get"],
)
def test_the_waits_of_an_ended_run_raise_cancelled(bench: Any, call: Callable[..., Any]) -> None:
    ctx = context_of_an_ended_run(bench)

    with socket.socket() as sock, pytest.raises(Cancelled):
        call(ctx, sock)


@pytest.mark.parametrize(
    "wait",
    [
        lambda ctx, sock: ctx.wait(),
        lambda ctx, sock: waiting.get(ctx, queue.Queue()),
        lambda ctx, sock: select.select([ctx.fileno()], [], []),
        lambda ctx, sock: waiting.recv(ctx, sock, 100),
    ],
    ids=["wait", "get", "fileno", "recv"],
)
def test_the_end_of_the_run_ends_the_waits_of_its_threads(bench: Any, wait: Callable[..., object]) -> None:
    """They began before the end of the run, and it was not cancelled."""
    calls: list[str] = []

    def work(ctx: Any) -> None:
        ctx.on_cancel(lambda: calls.append("called"))
        waits.append(pool.submit(wait, ctx, ours))
        while not (bench.tokens[0].is_waiting or ctx._wakeup or waits[0].done()):
            pass

    waits: list[Any] = []
    ours, theirs = socket.socketpair()
    with ours, theirs, ThreadPoolExecutor(1) as pool:
        bench.start(work)
        bench.end()
        error = waits[0].exception(SOON)

    assert error is None or isinstance(error, Cancelled)
    assert calls == []


def test_the_descriptor_stays_open_until_the_context_is_collected(bench: Any) -> None:
    kept: list[Any] = []

    def work(ctx: Any) -> None:
        kept.extend([ctx, ctx.fileno()])

    bench.start(work)
    bench.end()
    ctx, number = kept
    kept.clear()
    seen = [is_readable(number), ctx.fileno() == number]

    del ctx
    gc.collect()

    assert seen == [True, True]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_a_descriptor_asked_for_after_the_end_is_readable_and_stays_the_same(bench: Any) -> None:
    ctx = context_of_an_ended_run(bench)

    numbers = {ctx.fileno() for _ in range(3)}

    assert len(numbers) == 1
    assert is_readable(*numbers)


def test_a_thread_with_the_contextvars_of_the_run_sees_its_ended_context(bench: Any) -> None:
    copies: list[contextvars.Context] = []
    bench.start(lambda ctx: copies.append(contextvars.copy_context()))
    bench.end()
    found: list[Any] = []

    thread = threading.Thread(target=copies[0].run, args=(lambda: found.append(current_run.get()),))
    thread.start()
    thread.join(SOON)

    assert found[0].cancelled
    assert is_readable(found[0].fileno())


PROGRAM = """
from taskloom import Job, Scheduler
kept = []
def task(ctx):
    ctx.fileno()
    kept.append(ctx)
scheduler = Scheduler()
assert scheduler.add(Job(name="a", task=task)).start().join(10)
scheduler.stop()
kept.append(kept)  # a cycle, which is collected late
"""


def test_a_kept_context_does_no_harm_when_the_interpreter_exits() -> None:
    answer = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)

    assert (answer.returncode, answer.stderr) == (0, "")
