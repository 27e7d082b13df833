"""Calls from unexpected places: finalizers, hooks, runners, listeners, callbacks, a deep recursion."""

from __future__ import annotations

import gc
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom import Job, Scheduler
from taskloom.core.events import EventName
from taskloom.core.model import Outcome
from taskloom.errors import OnSchedulerThread, UsageError
from taskloom.runners.thread import ThreadRunner
from taskloom.scheduler import JobHandle
from taskloom.testing import VirtualClock

SOON = 20.0
# Limits only how long a failing test takes: each waits a tenth of a second for an answer.
MOST_COLLECTIONS = 300


def wait(ctx: Any) -> None:
    ctx.wait()


def wait_a_moment(ctx: Any) -> None:
    ctx.wait(0.001)


@pytest.fixture
def busy_collector() -> Iterator[None]:
    """Collect garbage at almost every allocation, so that finalizers run at every possible place."""
    before = gc.get_threshold()
    gc.set_threshold(1)
    yield
    gc.set_threshold(*before)


class Owner:
    """An object in a cycle with a finalizer that calls the scheduler, as an object that owns a job may do."""

    # A SimpleQueue, because a finalizer may run inside `put` on the same thread.
    answers: SimpleQueue[str] = SimpleQueue()

    def __init__(self, handle: JobHandle, call: Callable[[JobHandle], object]) -> None:
        self.me, self.handle, self.call = self, handle, call

    def __del__(self) -> None:
        try:
            self.call(self.handle)
            Owner.answers.put("answered")
        except OnSchedulerThread:
            Owner.answers.put("refused in words")
        except UsageError:
            Owner.answers.put("refused")


def answers_of(owners: int) -> Counter[str]:
    """Collect garbage until the finalizers of so many owners have returned; return their answers.

    `gc.collect` does nothing while another thread collects, and that thread may be inside thousands of finalizers.
    """
    answers: Counter[str] = Counter()
    for _ in range(MOST_COLLECTIONS):
        gc.collect()
        with suppress(Empty):
            while answers.total() < owners:
                answers[Owner.answers.get(timeout=0.1)] += 1
            break
    return answers


def cancel_latest(handle: JobHandle) -> None:
    run = handle.run
    if run is not None:
        run.cancel("by a finalizer")


@pytest.mark.parametrize("rounds", [25, pytest.param(3000, marks=pytest.mark.long)])
@pytest.mark.parametrize("call", [JobHandle.status, JobHandle.start, JobHandle.restart, cancel_latest])
def test_finalizers_that_call_a_handle_never_block_anything(
    scheduler: WatchedScheduler, busy_collector: None, call: Callable[[JobHandle], object], rounds: int
) -> None:
    Owner.answers = SimpleQueue()
    handle = scheduler.add_function("a", wait_a_moment, daemon=True)

    for _ in range(rounds):
        for _ in range(3):
            Owner(handle, call)
        try:
            run = handle.start()
        except UsageError:
            continue  # a finalizer has started it
        run.cancel()
        assert run.join(SOON)
    answers = answers_of(3 * rounds)

    assert answers.total() == 3 * rounds
    assert answers["answered"] > 0


def test_a_call_that_needs_an_answer_is_refused_on_the_scheduler_thread() -> None:
    """A clock is called there; what it calls must not wait for its own thread."""
    answers: list[object] = []

    class CallingClock(VirtualClock):
        def now(self) -> Any:
            if threading.current_thread().name == "taskloom-scheduler" and len(answers) < 3:
                for call in (scheduler.status, scheduler.stop, lambda: scheduler.job("a").stop()):
                    try:
                        answers.append(call())
                    except UsageError as error:
                        answers.append(str(error))
            return super().now()

    scheduler = Scheduler(clock=CallingClock())
    scheduler.add(Job(name="a", task=wait))
    scheduler.stop()

    assert answers[:2] == [
        "cannot wait for an answer on the scheduler's own thread, which would wait for itself",
        "cannot wait for a stop on the scheduler's own thread, which would wait for itself",
    ]


def test_a_hook_that_asks_for_the_status_does_not_delay_the_stop() -> None:
    answers: list[Any] = []
    scheduler = Scheduler(on_stopping=lambda: answers.append(scheduler.status()))
    run = scheduler.add(Job(name="a", task=wait)).start()

    report = scheduler.stop(within=10)

    assert report.is_clean
    assert run.outcome is Outcome.CANCELLED
    assert scheduler.bug is None


def test_a_hook_that_never_returns_does_not_keep_the_runs_from_being_cancelled() -> None:
    let_go = threading.Event()
    scheduler = Scheduler(on_stopping=lambda: let_go.wait(SOON))
    run = scheduler.add(Job(name="a", task=wait)).start()

    report = scheduler.stop(within=10)
    let_go.set()

    assert report.is_clean
    assert run.outcome is Outcome.CANCELLED


def test_a_runner_may_ask_for_the_status_in_its_start() -> None:
    answers: list[Any] = []

    class AskingRunner(ThreadRunner):
        def start(self, *order: Any) -> Any:
            answers.append(scheduler.status())
            return super().start(*order)

    scheduler = Scheduler(runners={"thread": AskingRunner()})
    run = scheduler.add(Job(name="a", task=wait)).start()
    report = scheduler.stop(within=10)

    assert [status.report.job for status in answers[0]] == ["a"]
    assert report.is_clean
    assert run.outcome is Outcome.CANCELLED


def test_a_runner_whose_start_blocks_delays_neither_another_job_nor_the_stop() -> None:
    let_go, is_blocking, has_returned = threading.Event(), threading.Event(), threading.Event()
    handles: list[Any] = []

    class SlowRunner(ThreadRunner):
        def start(self, order: Any, *rest: Any) -> Any:
            if order.job != "slow":
                return super().start(order, *rest)
            is_blocking.set()
            assert let_go.wait(SOON)
            handles.append(super().start(order, *rest))
            has_returned.set()
            return handles[0]

    entered: list[str] = []
    scheduler = Scheduler(runners={"thread": SlowRunner()})
    scheduler.add(Job(name="slow", task=lambda ctx: entered.append("slow")))
    scheduler.add(Job(name="quick", task=wait))

    scheduler.start()
    assert is_blocking.wait(SOON)
    quick = scheduler.job("quick").run
    report = scheduler.stop(within=10)
    slow = scheduler.job("slow").run
    let_go.set()

    assert report.is_clean
    assert quick is not None
    assert slow is not None
    assert has_returned.wait(SOON)
    assert all(handle.join(SOON) for handle in handles)
    assert (quick.outcome, slow.outcome) == (Outcome.CANCELLED, Outcome.CANCELLED)
    assert scheduler.bug is None
    assert entered == []


def test_a_caller_that_waits_for_a_start_that_blocks_returns_when_everything_is_stopped() -> None:
    let_go, is_blocking, has_returned = threading.Event(), threading.Event(), threading.Event()
    runs: list[Any] = []

    class SlowRunner(ThreadRunner):
        def start(self, *order: Any) -> Any:
            is_blocking.set()
            assert let_go.wait(SOON)
            handle = super().start(*order)
            assert handle.join(SOON)
            has_returned.set()
            return handle

    scheduler = Scheduler(runners={"thread": SlowRunner()})
    job = scheduler.add(Job(name="slow", task=wait))
    caller = threading.Thread(target=lambda: runs.append(job.start()))
    caller.start()
    assert is_blocking.wait(SOON)
    report = scheduler.stop(within=10)
    caller.join(SOON)
    let_go.set()

    assert report.is_clean
    assert [run.outcome for run in runs] == [Outcome.CANCELLED]
    assert has_returned.wait(SOON)


def test_a_listener_may_stop_everything() -> None:
    scheduler = Scheduler()
    scheduler.listen(lambda event: scheduler.stop(within=10) if event.event is EventName.STARTED else None)
    scheduler.add_all(Job(name=f"j{number}", task=wait) for number in range(20))

    scheduler.start()

    assert scheduler.wait_stopped(SOON)
    assert scheduler.stop().is_clean


def test_thirty_runs_and_the_host_stop_everything_at_the_same_time() -> None:
    scheduler = Scheduler()

    def stop(ctx: Any) -> None:
        scheduler.stop(within=10)

    scheduler.add_all(Job(name=f"j{number}", task=stop) for number in range(30))
    scheduler.start()

    report = scheduler.stop(within=10)

    assert report.is_clean
    assert scheduler.bug is None


def test_a_run_near_its_recursion_limit_loses_no_message_of_another_run(scheduler: WatchedScheduler) -> None:
    """Its calls fail or succeed; the scheduler works on a stack of its own."""
    handles = [scheduler.add_function(f"q{number}", lambda ctx: ctx.wait(0.2), within=0.5) for number in range(60)]
    left = iter(handles)
    refused: list[None] = []

    def start_next() -> None:
        handle = next(left, None)
        if handle is None:
            return
        try:
            handle.start()
        except RecursionError:
            refused.append(None)
            raise
        start_next()

    def descend(levels: int) -> None:
        descend(levels - 1) if levels else start_next()

    def deep(ctx: Any) -> None:
        for room in range(10, 110, 5):
            try:
                descend(sys.getrecursionlimit() - room)
            except RecursionError:
                pass

    run = scheduler.add_function("deep", deep).start()
    assert run.join(SOON)
    report = scheduler.finish()

    assert refused, "the limit was reached inside a call"
    assert report.is_clean
    assert run.outcome is Outcome.SUCCEEDED
    started = [handle.run for handle in handles if handle.run is not None]
    assert started
    assert all(run.outcome in (Outcome.CANCELLED, Outcome.SUCCEEDED) for run in started)


def test_a_finalizer_inside_the_lock_of_threading_gets_no_answer_and_blocks_nothing() -> None:
    """The collector may call one where a thread starts or ends. The scheduler's thread needs that lock as well."""
    scheduler = Scheduler()
    job = scheduler.add(Job(name="a", task=lambda ctx: ctx.wait()))
    run = job.start()

    with threading._active_limbo_lock:  # type: ignore[attr-defined]
        for call in (job.start, job.status, job.restart, scheduler.status):
            with pytest.raises(OnSchedulerThread, match="while this thread starts or ends a thread"):
                call()
        run.cancel()
        scheduler.request_stop()

    assert scheduler.stop(within=SOON).is_clean
    with threading._active_limbo_lock:  # type: ignore[attr-defined]
        assert job.status().state == "finished"  # nothing is waited for any more
