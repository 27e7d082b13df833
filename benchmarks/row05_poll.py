"""Row 5: the poll, which the loop of a task makes in each iteration."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from harness import Case, Claim, Figures, Role, Row

from taskloom import Context, Job, Scheduler

# The shortest of this number of measurements counts, since it was disturbed least.
GOES = 7


def _best(loop: Callable[[int], float], times: int) -> Figures:
    """Return nanoseconds per iteration, without the cost of the loop itself."""
    _empty_loop(times), loop(times)
    empty = min(_empty_loop(times) for _ in range(GOES))
    polled = min(loop(times) for _ in range(GOES))
    return {"ns": max(polled - empty, 0.0) / times * 1e9}


def _empty_loop(times: int) -> float:
    turns = range(times)
    began = time.perf_counter()
    for _ in turns:
        pass
    return time.perf_counter() - began


def cancelled(times: int) -> Figures:
    def loop(ctx: Context, turns: int) -> float:
        began = time.perf_counter()
        for _ in range(turns):
            if ctx.cancelled:
                break
        return time.perf_counter() - began

    return _in_a_run(times, loop)


def raise_if_cancelled(times: int) -> Figures:
    def loop(ctx: Context, turns: int) -> float:
        began = time.perf_counter()
        for _ in range(turns):
            ctx.raise_if_cancelled()
        return time.perf_counter() - began

    return _in_a_run(times, loop)


def _in_a_run(times: int, loop: Callable[[Context, int], float]) -> Figures:
    found: Figures = {}

    def poll(ctx: Context) -> None:
        found.update(_best(lambda turns: loop(ctx, turns), times))

    with Scheduler() as scheduler:
        run = scheduler.add(Job(name="poll", task=poll)).start()
        run.join()
        if run.error is not None:
            raise RuntimeError(str(run.error))
    return found


def event_is_set(times: int) -> Figures:
    event = threading.Event()

    def loop(turns: int) -> float:
        began = time.perf_counter()
        for _ in range(turns):
            if event.is_set():
                break
        return time.perf_counter() - began

    return _best(loop, times)


class _Flag:
    __slots__ = ("is_running",)

    def __init__(self) -> None:
        self.is_running = True


def plain_attribute(times: int) -> Figures:
    flag = _Flag()

    def loop(turns: int) -> float:
        began = time.perf_counter()
        for _ in range(turns):
            if not flag.is_running:
                break
        return time.perf_counter() - began

    return _best(loop, times)


ROW = Row(
    number=5,
    title="the poll, counted",
    cases=[
        Case("taskloom, ctx.cancelled", Role.PRODUCT, cancelled),
        Case("taskloom, raise_if_cancelled()", Role.PRODUCT, raise_if_cancelled),
        Case("Event.is_set()", Role.PEER, event_is_set),
        Case("self._running", Role.LIMIT, plain_attribute),
    ],
    figures={"ns": "ns each"},
    claims=[Claim("taskloom, ctx.cancelled", "ns", "Event.is_set()", hold=3.0, aim=2.0)],
    full=1_000_000,
    quick=200_000,
    tiny=1_000,
    is_pinned=True,
)
