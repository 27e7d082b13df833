"""The executing side alone: it needs a core and a receiver of reports, but no queue and no thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import pytest

from taskloom.clock import MonotonicClock
from taskloom.core.actions import ApplySpec, CaptureStack, KillRun, MarkUrgent, StartRun, TerminateRun
from taskloom.core.inputs import (
    AddJob,
    CallbackFailed,
    Input,
    RunEnded,
    RunStarted,
    RunStartFailed,
    Shutdown,
    StackCaptured,
    StartAll,
    StartJob,
    StopJob,
)
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import How, Reason, ReasonKind, RunnerSpec
from taskloom.runners import Emit, RunHandle, RunOrder, Stack
from taskloom.runners.binding import Binding, Body
from taskloom.runners.thread import ThreadRunner
from taskloom.scheduler.action_executor import ActionExecutor
from taskloom.scheduler.heartbeats import HeartbeatMonitor
from taskloom.scheduler.run_starts import StartReturned
from taskloom.scheduler.stack_captures import Capture
from taskloom.sync.cancel_token import CancelToken
from taskloom.sync.gate import Gate
from taskloom.testing import make_job

SOON = 20.0
ENOUGH = Reason(ReasonKind.USER, "enough")


class BlindRunner(ThreadRunner):
    """A runner that cannot read the stacks of its runs."""

    def stacks(self, handles: Sequence[RunHandle], texts: int) -> list[Stack]:
        raise ZeroDivisionError("no stacks")


class KillingRunner(ThreadRunner):
    """A third party's runner whose handles know how to kill. It may block, so it is called on helper threads."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[tuple[str, tuple[Any, ...], int]] = SimpleQueue()
        self.failing = ""

    def start(self, order: RunOrder, token: CancelToken, emit: Emit) -> Any:
        return _KillableHandle(self, super().start(order, token, emit))


class _KillableHandle:
    def __init__(self, runner: KillingRunner, handle: RunHandle) -> None:
        self._runner, self._handle = runner, handle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)

    def _note(self, name: str, *arguments: Any) -> None:
        self._runner.calls.put((name, arguments, threading.get_ident()))
        if name == self._runner.failing:
            raise ZeroDivisionError(name)

    def terminate(self) -> None:
        self._note("terminate")

    def kill(self) -> None:
        self._note("kill")

    def set_urgent(self) -> None:
        self._note("set_urgent")

    def set_poll_interval(self, seconds: float) -> None:
        self._note("set_poll_interval", seconds)


class Bench:
    """An executor with a core; its reports are kept. Implements `Messages`."""

    def __init__(self) -> None:
        self.posted: SimpleQueue[Any] = SimpleQueue()
        self.processed: list[Input] = []
        self.bugs: list[BaseException] = []
        self.core = Lifecycle(lambda: 0.5, 30.0)
        self.clock = MonotonicClock()
        self.gate = Gate()
        self.slow = SlowRunner()
        self.killing = KillingRunner()
        self.executor = ActionExecutor(
            self,
            self.core,
            clock=self.clock,
            runners={"thread": ThreadRunner(), "blind": BlindRunner(), "slow": self.slow, "killing": self.killing},
            gate=self.gate,
            heartbeats=HeartbeatMonitor(lambda: None, self.post),
            on_stopping=None,
            wake_scheduler=lambda: None,
        )

    def post(self, message: Any) -> None:
        self.posted.put(message)

    def process(self, message: Input) -> None:
        self.processed.append(message)

    def record_bug(self, error: BaseException) -> None:
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

    def next_posted(self) -> Any:
        return self.posted.get(timeout=SOON)

    def next_capture(self) -> Capture:
        while not isinstance(message := self.next_posted(), Capture):
            self.processed.append(message)
        return message


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    for run in bench.executor.live.values():
        run.token.request(ENOUGH)
        run.token.wake()
        assert run.join(SOON)
    bench.executor.callbacks.close()
    bench.executor.helpers.close()


def test_each_action_may_be_carried_out_on_another_thread(bench: Bench) -> None:
    bench.add("a", lambda ctx: ctx.wait())
    with ThreadPoolExecutor(1) as other, ThreadPoolExecutor(1) as third:
        other.submit(bench.handle, StartAll()).result(SOON)
        started = bench.next_posted()
        third.submit(bench.handle, started).result(SOON)
        bench.handle(StopJob("a", ENOUGH))
        pending = [run.id for run in bench.executor.cancel_waves.pending]
        other.submit(bench.executor.cancel_waves.wake_next).result(SOON)
    ended = bench.next_posted()
    run = bench.executor.live["a#1"]
    bench.handle(ended)

    assert started == RunStarted("a#1", is_ready=True)
    assert pending == ["a#1"], "the run is woken only by `wake_next`"
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
    returned = next(message for message in iter(bench.next_posted, None) if isinstance(message, StartReturned))
    bench.executor.reports[StartReturned](returned)

    bench.carry_out([CaptureStack(start.run), CaptureStack("unknown#1")])
    before = list(bench.processed)
    bench.executor.captures.begin()
    bench.executor.captures.finish(bench.next_capture())

    assert before == [], "stacks are captured only by `begin_captures`"
    assert [(report.run, report.where) for report in bench.processed if isinstance(report, StackCaptured)] == [
        ("a#1", ""),
        ("unknown#1", ""),
    ]
    assert [type(error) for error in bench.bugs] == [ZeroDivisionError]
    assert (bench.executor.captures.requested, bench.executor.captures.running) == ([], [])


def test_stacks_are_reported_without_their_text_if_the_helper_does_not_come_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_inside = threading.Event()

    def run(ctx: Any) -> None:
        is_inside.set()
        ctx.wait()

    bench.add("a", run)
    [start] = [action for action in bench.handle(StartAll()) if isinstance(action, StartRun)]
    assert is_inside.wait(SOON)
    bench.carry_out([CaptureStack(start.run)])
    monkeypatch.setattr(bench.executor.helpers, "submit", lambda *_: None)

    bench.executor.captures.begin()
    [capture] = bench.executor.captures.running
    bench.executor.captures.finish_due(capture.until - 0.001)
    early = list(bench.processed)
    capture.stacks = {}  # as if nothing were known, not even the place
    bench.executor.captures.finish_due(capture.until)
    bench.executor.captures.finish(capture)

    assert early == []
    assert [(report.run, report.stack) for report in bench.processed if isinstance(report, StackCaptured)] == [
        ("a#1", "")
    ], "and only once"


def test_a_run_that_is_queued_when_the_gate_closes_is_ended_without_a_thread(bench: Bench) -> None:
    entered: list[None] = []
    bench.add("a", lambda ctx: entered.append(None))
    bench.gate.stop = Shutdown(ENOUGH, 1.0)

    bench.handle(StartAll())

    assert bench.processed == [RunEnded("a#1", How.NOT_ENTERED, None, True, False)]
    assert (entered, bench.posted.empty()) == ([], True)


class SlowRunner(ThreadRunner):
    """A runner whose start blocks until it is released, and then fails or not."""

    def __init__(self) -> None:
        self.is_released = threading.Event()
        self.error: Exception | None = None

    def start(self, *order: Any) -> Any:
        assert self.is_released.wait(SOON)
        if self.error is not None:
            raise self.error
        return super().start(*order)


def test_a_start_that_blocks_is_made_by_a_helper_and_its_end_is_reported(bench: Bench) -> None:
    bench.slow.error = ZeroDivisionError("no start")
    bench.add("a", lambda ctx: None, runner="slow")

    bench.handle(StartAll())
    before = list(bench.processed)
    bench.slow.is_released.set()
    returned = bench.next_posted()
    bench.executor.reports[type(returned)](returned)

    assert before == []
    [failed] = bench.processed
    assert isinstance(failed, RunStartFailed)
    assert str(failed.error) == "ZeroDivisionError: no start"
    assert "in start" in failed.error.traceback


def test_a_stop_does_not_wait_for_a_start_that_blocks(bench: Bench) -> None:
    entered: list[None] = []
    bench.add("a", lambda ctx: entered.append(None), runner="slow")
    bench.handle(StartAll())
    run = bench.executor.live["a#1"]

    bench.handle(StopJob("a", ENOUGH))
    [ended] = bench.processed
    bench.handle(ended)
    bench.slow.is_released.set()
    late = [bench.next_posted(), bench.next_posted()]

    assert ended == RunEnded("a#1", How.NOT_ENTERED, None, True, False)
    assert not run.is_alive()
    assert RunEnded("a#1", How.NOT_ENTERED, None, True, False) in late, "the engine drops it"
    assert "a#1" in bench.executor.starts.refused
    assert run.join(SOON)
    assert entered == []


def test_a_run_that_has_ended_meanwhile_is_not_reported_as_overdue_before_its_own_report(bench: Bench) -> None:
    bench.add("a", lambda ctx: None)
    [start] = [action for action in bench.handle(StartAll()) if isinstance(action, StartRun)]
    while not isinstance(ended := bench.next_posted(), RunEnded):
        bench.handle(ended)
    bench.carry_out([CaptureStack(start.run)])

    bench.executor.captures.begin()
    bench.executor.captures.finish(bench.next_capture())
    first = list(bench.processed)
    [rest] = bench.executor.captures.running
    bench.executor.captures.finish(rest)

    assert [report for report in first if isinstance(report, StackCaptured)] == []
    assert [report.run for report in bench.processed if isinstance(report, StackCaptured)] == ["a#1"], "if it is lost"
    bench.handle(ended)


def begin(bench: Bench, runner: str) -> StartRun:
    """Start a run that waits, with this runner; return its action."""
    is_inside = threading.Event()

    def run(ctx: Any) -> None:
        is_inside.set()
        ctx.wait()

    bench.add("a", run, runner=runner)
    [start] = [action for action in bench.handle(StartAll()) if isinstance(action, StartRun)]
    assert is_inside.wait(SOON)
    while runner != "thread" and bench.executor.live[start.run].handle is None:
        message = bench.next_posted()
        if isinstance(message, StartReturned):
            bench.executor.reports[StartReturned](message)
    return start


def test_a_run_is_terminated_killed_hurried_and_changed_through_its_handle_on_a_helper(bench: Bench) -> None:
    start = begin(bench, "killing")
    spec = replace(start.spec, poll_interval=7.5)

    for action in (TerminateRun(start.run), KillRun(start.run), MarkUrgent(start.run), ApplySpec(start.run, spec)):
        bench.carry_out([action])
    calls = [bench.killing.calls.get(timeout=SOON) for _ in range(4)]

    assert sorted(call[:2] for call in calls) == [
        ("kill", ()),
        ("set_poll_interval", (7.5,)),
        ("set_urgent", ()),
        ("terminate", ()),
    ]
    assert threading.get_ident() not in [call[2] for call in calls]
    assert bench.executor.live[start.run].token.urgent


def test_a_runner_that_fails_to_kill_is_reported_with_the_run(bench: Bench) -> None:
    start = begin(bench, "killing")
    bench.killing.failing = "kill"

    bench.carry_out([KillRun(start.run)])
    failed = next(message for message in iter(bench.next_posted, None) if isinstance(message, CallbackFailed))

    assert (failed.run, failed.callback, failed.error.type) == ("a#1", "kill", "ZeroDivisionError")
    assert bench.bugs == []


def test_a_run_in_a_thread_has_nothing_to_kill(bench: Bench) -> None:
    start = begin(bench, "thread")
    before = {*threading.enumerate()}

    bench.carry_out([TerminateRun(start.run), KillRun(start.run), KillRun("unknown#1"), MarkUrgent(start.run)])

    assert {*threading.enumerate()} <= before
    assert bench.executor.live[start.run].is_alive()


def test_a_runner_that_does_not_answer_costs_the_others_no_stack(bench: Bench) -> None:
    is_asked, may_answer = threading.Event(), threading.Event()
    start = begin(bench, "thread")
    other = begin_another(bench)

    def stacks(handles: Sequence[RunHandle], texts: int) -> list[Stack]:
        is_asked.set()
        assert may_answer.wait(SOON)
        return [Stack("late.py:1", "")] * len(handles)

    bench.killing.stacks = stacks  # type: ignore[method-assign]
    bench.carry_out([CaptureStack(other), CaptureStack(start.run)])
    bench.executor.captures.begin()
    [capture] = bench.executor.captures.running
    assert is_asked.wait(SOON)
    while not capture.stacks[start.run].text:
        is_asked.wait(0)  # gives up the GIL: a helper reads it
    bench.executor.captures.finish_due(capture.until)
    may_answer.set()
    bench.executor.captures.finish(bench.next_capture())
    found = {report.run: report for report in bench.processed if isinstance(report, StackCaptured)}

    assert set(found) == {start.run, other}
    assert "ctx.wait()" in found[start.run].stack
    assert found[other].where == ""


def begin_another(bench: Bench) -> str:
    """Start a run of the job `b` with the killing runner; return its id."""
    bench.add("b", lambda ctx: ctx.wait(), runner="killing")
    bench.handle(StartJob("b"))
    while "b#1" not in bench.executor.live or bench.executor.live["b#1"].handle is None:
        message = bench.next_posted()
        if isinstance(message, StartReturned):
            bench.executor.reports[StartReturned](message)
    return "b#1"


def test_a_runner_is_added_once_and_then_helpers_are_there_before_its_first_run(bench: Bench) -> None:
    first, second = KillingRunner(), KillingRunner()

    bench.executor.add_runner("late", first)
    bench.executor.add_runner("late", second)
    before = bench.executor.has_runner("late"), bench.executor.has_runner("later")
    bench.add("a", lambda ctx: None, runner="late")
    bench.handle(StartAll())

    assert before == (True, False)
    assert bench.executor.live["a#1"].id == "a#1"
    assert (
        next(message for message in iter(bench.next_posted, None) if isinstance(message, StartReturned)).error is None
    )
    assert bench.executor.live["a#1"].runner is first
