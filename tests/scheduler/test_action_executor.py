"""The executing side alone: it needs a core and a receiver of reports, but no queue, no lock and no thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import pytest

from taskloom.clock import MonotonicClock
from taskloom.core.actions import CaptureStack, StartRun
from taskloom.core.inputs import (
    AddJob,
    Input,
    RunEnded,
    RunStarted,
    RunStartFailed,
    StackCaptured,
    StartAll,
    StopJob,
)
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import How, Reason, ReasonKind, RunnerSpec
from taskloom.runners import RunHandle, Stack
from taskloom.runners.binding import Binding, Body
from taskloom.runners.callback_pool import CallbackPool
from taskloom.runners.thread import ThreadRunner
from taskloom.scheduler.action_executor import ActionExecutor
from taskloom.scheduler.timer import Timer
from taskloom.testing import make_job

SOON = 20.0
ENOUGH = Reason(ReasonKind.USER, "enough")


class BlindRunner(ThreadRunner):
    """A runner that cannot read the stacks of its runs."""

    def stacks(self, handles: Sequence[RunHandle], texts: int) -> list[Stack]:
        raise ZeroDivisionError("no stacks")


class Bench:
    """An executor with a core; its reports are kept. Implements `Messages`."""

    def __init__(self) -> None:
        self.posted: SimpleQueue[Input] = SimpleQueue()
        self.processed: list[Input] = []
        self.bugs: list[Exception] = []
        self.core = Lifecycle(lambda: 0.5, 30.0)
        self.clock = MonotonicClock()
        self.callback_pool = CallbackPool(self.post)
        self.timer = Timer(self.clock, lambda is_due: None, self.callback_pool.grow_if_stuck, self.post)
        self.executor = ActionExecutor(
            self,
            self.core,
            clock=self.clock,
            runners={"thread": ThreadRunner(), "blind": BlindRunner()},
            pool=self.callback_pool,
            timer=self.timer,
            on_stopping=None,
        )

    def post(self, message: Input) -> None:
        self.posted.put(message)

    def process(self, message: Input) -> None:
        self.processed.append(message)

    def process_queued(self) -> None:
        while not self.posted.empty():
            self.process(self.posted.get())

    def record_bug(self, error: Exception) -> None:
        self.bugs.append(error)

    def add(self, name: str, run: Callable[[Any], object], runner: str = "thread") -> None:
        spec = make_job(name, runner=RunnerSpec(runner))
        self.handle(AddJob(replace(spec, binding=Binding(lambda: Body(run, None)))))

    def handle(self, message: Input) -> list[Any]:
        """Have the core handle a message, and carry out its actions."""
        actions = list(self.core.handle(message, self.clock.now()))
        self.carry_out(actions)
        return actions

    def carry_out(self, actions: Iterable[Any]) -> None:
        for action in actions:
            self.executor.handlers[type(action)](action)

    def next_posted(self) -> Input:
        return self.posted.get(timeout=SOON)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    for run in bench.executor.live.values():
        run.token.request(ENOUGH)
        run.token.wake()
        assert run.join(SOON)
    bench.callback_pool.close()
    bench.timer.close()
    bench.timer.join(SOON)


def test_each_action_may_be_carried_out_on_another_thread(bench: Bench) -> None:
    bench.add("a", lambda ctx: ctx.wait())
    with ThreadPoolExecutor(1) as other, ThreadPoolExecutor(1) as third:
        other.submit(bench.handle, StartAll()).result(SOON)
        started = bench.next_posted()
        third.submit(bench.handle, started).result(SOON)
        bench.handle(StopJob("a", ENOUGH))
        pending = [run.id for run in bench.executor.cancel_waves.pending]
        other.submit(bench.executor.carry_out_deferred).result(SOON)
    ended = bench.processed[0] if bench.processed else bench.next_posted()
    run = bench.executor.live["a#1"]
    bench.handle(ended)

    assert started == RunStarted("a#1", is_ready=True)
    assert pending == ["a#1"], "the run is woken only by `carry_out_deferred`"
    assert ended == RunEnded("a#1", How.RETURNED, None, True, False)
    assert (run.is_alive(), bench.executor.live, bench.executor.last) == (False, {}, {"a": run})


def test_a_start_that_fails_is_processed_at_once(bench: Bench) -> None:
    bench.add("a", lambda ctx: None, runner="nowhere")

    bench.handle(StartAll())

    [failed] = bench.processed
    assert isinstance(failed, RunStartFailed)
    assert failed.error.type == "TaskNotFound"
    assert bench.posted.empty()


def test_every_requested_stack_is_answered_even_if_the_runner_fails(bench: Bench) -> None:
    is_inside = threading.Event()

    def run(ctx: Any) -> None:
        is_inside.set()
        ctx.wait()

    bench.add("a", run, runner="blind")
    [start] = [action for action in bench.handle(StartAll()) if isinstance(action, StartRun)]
    assert is_inside.wait(SOON)

    bench.carry_out([CaptureStack(start.run), CaptureStack("unknown#1")])
    before = list(bench.processed)
    bench.executor.carry_out_deferred()

    assert before == [], "stacks are captured only by `carry_out_deferred`"
    assert [(report.run, report.where) for report in bench.processed if isinstance(report, StackCaptured)] == [
        ("a#1", ""),
        ("unknown#1", ""),
    ]
    assert [type(error) for error in bench.bugs] == [ZeroDivisionError]
    assert bench.executor.pending_captures == []
