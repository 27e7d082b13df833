"""`terminate()` and callbacks are called once, on helper threads, even if they block or raise."""

from __future__ import annotations

import gc
import socket
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.model import Outcome
from taskloom.core.policies import RestartPolicy, RestartWhen
from taskloom.runners import thread as thread_module
from taskloom.runners.binding import Binding, Body
from taskloom.testing import make_job

SOON = 20.0


class Loop:
    """The usual loop with a flag that `terminate` clears."""

    def __init__(self) -> None:
        self._running = True
        self.is_looping = threading.Event()
        self.terminated_by: list[threading.Thread] = []

    def terminate(self) -> None:
        self.terminated_by.append(threading.current_thread())
        self._running = False

    def run(self, ctx: Any) -> None:
        while self._running:
            self.is_looping.set()
            time.sleep(0.001)  # the task under test


def test_a_loop_with_a_running_flag_works_unchanged(scheduler: WatchedScheduler) -> None:
    loop = Loop()
    run = scheduler.add_function("loop", loop.run, loop.terminate).start()
    assert loop.is_looping.wait(SOON)

    report = scheduler.stop()

    assert report.is_clean
    assert run.outcome is Outcome.CANCELLED
    [thread] = loop.terminated_by
    assert thread.name.startswith("taskloom-callback")


def test_terminate_is_called_once_for_repeated_stops(scheduler: WatchedScheduler) -> None:
    loop = Loop()
    job = scheduler.add_function("loop", loop.run, loop.terminate)
    run = job.start()
    assert loop.is_looping.wait(SOON)

    for _ in range(3):
        run.cancel()
    job.stop()
    scheduler.stop()

    assert len(loop.terminated_by) == 1


def test_terminate_is_not_called_for_a_run_that_ends_by_itself(scheduler: WatchedScheduler) -> None:
    calls: list[str] = []
    run = scheduler.add_function("a", lambda ctx: None, lambda: calls.append("terminate")).start()

    assert run.join(SOON)
    scheduler.stop()
    assert calls == []


def test_an_error_of_a_woken_run_is_kept_and_the_run_counts_as_cancelled(scheduler: WatchedScheduler) -> None:
    """A socket that is shut down during recv causes such errors."""
    ours, theirs = socket.socketpair()
    has_begun = threading.Event()

    def run(ctx: Any) -> None:
        has_begun.set()
        if not ours.recv(1):
            raise ConnectionError("end of file")

    job = scheduler.add_function("reader", run, lambda: ours.shutdown(socket.SHUT_RDWR))
    reader = job.start()
    assert has_begun.wait(SOON)

    assert job.stop()
    ours.close()
    theirs.close()

    assert (reader.outcome, str(reader.error)) == (Outcome.CANCELLED, "ConnectionError: end of file")


def test_an_error_after_the_cancel_without_a_callback_is_a_failure(scheduler: WatchedScheduler) -> None:
    has_begun = threading.Event()

    def run(ctx: Any) -> None:
        has_begun.set()
        ctx.wait()
        raise ValueError("while tidying up")

    job = scheduler.add_function("a", run)
    failing = job.start()
    assert has_begun.wait(SOON)

    assert job.stop()
    assert (failing.outcome, str(failing.error)) == (Outcome.FAILED, "ValueError: while tidying up")


@pytest.mark.parametrize("error", [ValueError("oops"), SystemExit(3), KeyboardInterrupt()])
def test_a_failing_callback_is_an_event_and_is_listed_in_the_report(
    scheduler: WatchedScheduler, error: BaseException
) -> None:
    let_go, has_begun = threading.Event(), threading.Event()

    def terminate() -> None:
        raise error

    def run(ctx: Any) -> None:
        has_begun.set()
        let_go.wait(SOON)

    scheduler.add_function("a", run, terminate, within=0.1).start()
    assert has_begun.wait(SOON)

    report = scheduler.stop()
    let_go.set()

    failed = scheduler.wait_for(EventName.CALLBACK_FAILED, "a")
    assert failed.data["callback"] == "terminate"
    assert failed.error is not None
    assert failed.error.type == type(error).__name__
    [survivor] = report.survivors
    assert survivor.callbacks == (f"terminate: {failed.error}",)


def test_a_terminate_that_blocks_for_ever_delays_no_other_run(scheduler: WatchedScheduler) -> None:
    let_go = threading.Event()
    entered = threading.Semaphore(0)
    good = [Loop() for _ in range(5)]

    def stuck(ctx: Any) -> None:
        entered.release()
        ctx.wait()

    for number in range(3):
        scheduler.add_function(f"stuck{number}", stuck, lambda: let_go.wait(SOON)).start()
    for number, loop in enumerate(good):
        scheduler.add_function(f"good{number}", loop.run, loop.terminate).start()
        assert loop.is_looping.wait(SOON)
    for _ in range(3):
        assert entered.acquire(timeout=SOON)

    report = scheduler.stop()
    let_go.set()

    assert report.is_clean, "a blocking callback does not keep its run from ending"
    assert [len(loop.terminated_by) for loop in good] == [1] * 5


def test_unfinished_callbacks_are_named_in_the_report(scheduler: WatchedScheduler) -> None:
    let_go, has_begun = threading.Event(), threading.Event()
    blocks = 20

    def run(ctx: Any) -> None:
        for _ in range(blocks):
            ctx.on_cancel(block)
        has_begun.set()
        let_go.wait(SOON)

    def block() -> None:
        let_go.wait(SOON)

    scheduler.add_function("a", run, within=0.3).start()
    assert has_begun.wait(SOON)

    report = scheduler.stop()
    let_go.set()

    [survivor] = report.survivors
    states = [text.rpartition(": ")[2] for text in survivor.callbacks]
    assert (states.count("still running"), states.count("not begun")) == (16, 4), "sixteen helpers, none stuck yet"
    assert all("block: " in text for text in survivor.callbacks)


def test_callbacks_that_have_not_begun_when_the_run_ends_are_dropped(scheduler: WatchedScheduler) -> None:
    let_go, has_begun = threading.Event(), threading.Event()
    begun: list[int] = []

    def block() -> None:
        begun.append(1)
        let_go.wait(SOON)

    def run(ctx: Any) -> None:
        for _ in range(40):
            ctx.on_cancel(block)
        has_begun.set()
        ctx.wait()

    job = scheduler.add_function("a", run)
    ended = job.start()
    assert has_begun.wait(SOON)

    assert job.stop()
    count = len(begun)
    let_go.set()
    scheduler.stop()

    assert ended.outcome is Outcome.CANCELLED
    assert count <= 16
    assert len(begun) <= 16


# -- terminate after the end of its run


class Entered:
    """A task that waits on its context and so ends as soon as it is woken; counts the calls of its `terminate`."""

    def __init__(self, terminate: Callable[[], object] = lambda: None) -> None:
        self.calls: list[threading.Thread] = []
        self.called = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        self._terminate = terminate

    def run(self, ctx: Any) -> None:
        self.entered.release()
        ctx.wait()

    def terminate(self) -> None:
        self.calls.append(threading.current_thread())
        self.called.release()
        self._terminate()


def test_terminate_is_called_once_on_every_run_that_was_entered_and_asked(scheduler: WatchedScheduler) -> None:
    """The runs end as soon as they are woken, mostly before the call."""
    task = Entered()
    job = scheduler.add_function("a", task.run, task.terminate)

    for _ in range(100):
        run = job.start()
        assert task.entered.acquire(timeout=SOON)
        run.cancel()
        assert run.join(SOON)
        assert task.called.acquire(timeout=SOON)

    assert len(task.calls) == 100
    assert all(thread.name.startswith("taskloom-callback") for thread in task.calls)


def test_terminate_is_called_once_on_every_run_of_a_stop(scheduler: WatchedScheduler) -> None:
    """They are called before `stop` returns: after it the program may end."""
    tasks = [Entered() for _ in range(100)]
    for number, task in enumerate(tasks):
        scheduler.add_function(f"job{number}", task.run, task.terminate).start()
        assert task.entered.acquire(timeout=SOON)

    report = scheduler.stop()

    assert report.is_clean
    assert [len(task.calls) for task in tasks] == [1] * 100


def test_terminate_is_not_called_on_a_run_that_was_not_entered(scheduler: WatchedScheduler) -> None:
    is_making, let_go = threading.Event(), threading.Event()
    calls: list[str] = []

    def make() -> Body:
        is_making.set()
        let_go.wait(SOON)
        return Body(lambda ctx: calls.append("run"), lambda: calls.append("terminate"))

    run = scheduler.add(replace(make_job("a"), binding=Binding(make, has_terminate=True))).start()
    assert is_making.wait(SOON)
    run.cancel()
    let_go.set()

    assert run.join(SOON)
    scheduler.stop()
    assert (run.outcome, calls) == (Outcome.CANCELLED, [])


def test_a_terminate_that_raises_after_the_end_of_its_run_is_an_event(scheduler: WatchedScheduler) -> None:
    let_go = threading.Event()

    def fail() -> None:
        let_go.wait(SOON)
        raise OSError("no such socket")

    task = Entered(fail)
    run = scheduler.add_function("a", task.run, task.terminate).start()
    assert task.entered.acquire(timeout=SOON)
    run.cancel()
    assert run.join(SOON)

    let_go.set()

    failed = scheduler.wait_for(EventName.CALLBACK_FAILED, "a")
    assert (failed.run, str(failed.error)) == ("a#1", "OSError: no such socket")
    assert (run.outcome, run.error) == (Outcome.CANCELLED, None)


def test_the_task_is_released_once_terminate_was_called(scheduler: WatchedScheduler) -> None:
    references: list[weakref.ref[Any]] = []
    is_entered = threading.Event()

    class Work:
        def run(self, ctx: Any) -> None:
            is_entered.set()
            ctx.wait()

        def terminate(self) -> None:
            """Return at once."""

    def make() -> Body:
        work = Work()
        references.append(weakref.ref(work))
        return Body(work.run, work.terminate)

    run = scheduler.add(replace(make_job("a"), binding=Binding(make, has_terminate=True))).start()
    assert is_entered.wait(SOON)
    scheduler.stop()
    gc.collect()

    assert run.outcome is Outcome.CANCELLED
    assert references[0]() is None


@pytest.mark.parametrize("how", ["restart", "start", "policy"])
def test_the_next_run_begins_after_terminate_of_the_last_one_has_returned(
    scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(thread_module, "TERMINATE_SECONDS", 60.0)
    order: list[str] = []
    let_go = threading.Event()

    def terminate() -> None:
        let_go.wait(SOON)
        order.append("terminate returned")

    task = Entered(terminate)

    def run(ctx: Any) -> None:
        order.append("entered")
        task.run(ctx)

    policy = RestartPolicy(RestartWhen.ALWAYS, delay=0.0) if how == "policy" else RestartPolicy()
    job = scheduler.add_function("a", run, task.terminate, restart=policy, timeout=0.05 if how == "policy" else None)
    first = job.start()
    assert task.entered.acquire(timeout=SOON)

    if how == "restart":
        job.restart()
    elif how == "start":
        first.cancel()
        assert first.join(SOON)
        job.start()
    scheduler.wait_for(EventName.QUEUED, "a", count=2)
    before = list(order)
    let_go.set()
    assert task.entered.acquire(timeout=SOON)

    assert before == ["entered"]
    assert order[:3] == ["entered", "terminate returned", "entered"]


def test_the_next_run_does_not_wait_for_ever(scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_module, "TERMINATE_SECONDS", 0.05)
    let_go = threading.Event()
    task = Entered(lambda: let_go.wait(SOON))
    job = scheduler.add_function("a", task.run, task.terminate)
    job.start()
    assert task.entered.acquire(timeout=SOON)

    job.restart()
    assert task.entered.acquire(timeout=SOON), "the second run has begun"

    let_go.set()


def test_a_run_that_waits_for_terminate_of_the_last_one_is_stopped_at_once(
    scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_module, "TERMINATE_SECONDS", 60.0)
    let_go = threading.Event()
    task = Entered(lambda: let_go.wait(SOON))
    job = scheduler.add_function("a", task.run, task.terminate)
    first = job.start()
    assert task.entered.acquire(timeout=SOON)
    first.cancel()
    assert first.join(SOON)
    second = job.start()

    report = scheduler.stop()
    let_go.set()

    assert report.is_clean
    assert second.outcome is Outcome.CANCELLED
    assert not task.entered.acquire(blocking=False)
