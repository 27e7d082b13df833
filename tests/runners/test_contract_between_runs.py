"""The contract in the docstring of `taskloom.runners`, for the runner of threads: consecutive runs, and `close`."""

from __future__ import annotations

import sys
import threading
from contextvars import ContextVar
from typing import Any

from taskloom.core.model import Reason, ReasonKind
from taskloom.runners.context import current_run

SOON = 20.0
WHY = Reason(ReasonKind.USER, "enough")


def test_no_state_carries_over_from_one_run_to_the_next(bench: Any) -> None:
    def spoil(ctx: Any) -> None:
        left_behind.set("old")
        threading.current_thread().name = "mine"
        sys.settrace(trace)
        sys.setprofile(trace)
        ctx.wait()

    def read_state(ctx: Any) -> None:
        found.extend([ctx.cancelled, ctx.reason, left_behind.get(), threading.current_thread().name])
        found.extend([sys.gettrace() is trace, sys.getprofile() is trace, current_run.get() is ctx])

    def trace(*arguments: object) -> None:
        """Trace nothing."""

    left_behind: ContextVar[str] = ContextVar("left_behind", default="new")
    found: list[Any] = []
    bench.start(spoil)
    bench.tokens[0].request(WHY)
    bench.tokens[0].wake()
    bench.end()
    bench.tokens[0].request(WHY)
    bench.start(read_state)
    bench.end(2)

    assert found == [False, None, "new", "job", False, False, True]


def test_an_old_cancel_never_affects_the_next_run(bench: Any, fast_switching: None) -> None:
    """A request before, during, at the end of or after a run affects only this run."""
    seen: list[bool] = []
    for number in range(50):
        bench.start(lambda ctx: None)
        first = bench.tokens[-1]
        requesting = threading.Thread(target=lambda token=first: (token.request(WHY), token.wake()))
        requesting.start()
        assert bench.handles[-1].join(SOON)
        bench.start(lambda ctx: seen.append(ctx.cancelled or ctx.wait(0)))
        requesting.join(SOON)
        bench.end(2 * number + 2)

    assert seen == [False] * 50


def test_a_closed_runner_leaves_no_thread(bench: Any) -> None:
    before = set(threading.enumerate())
    bench.start(lambda ctx: None)
    bench.start(lambda ctx: None)
    bench.end(2)

    bench.runner.close()
    bench.runner.close()

    assert bench.runner.join(float("inf"))
    assert set(threading.enumerate()) <= before


def test_a_run_that_outlives_close_ends_normally(bench: Any) -> None:
    before = set(threading.enumerate())
    is_inside = threading.Event()

    def run(ctx: Any) -> None:
        is_inside.set()
        ctx.wait()

    bench.start(run)
    assert is_inside.wait(SOON)
    bench.runner.close()
    is_over = bench.runner.join(SOON)
    alive = bench.handles[0].is_alive()
    bench.tokens[0].request(WHY)
    bench.tokens[0].wake()
    bench.end()

    assert (is_over, alive) == (True, True), "close does not wait for runs"
    assert bench.runner.join(SOON)
    assert set(threading.enumerate()) <= before
