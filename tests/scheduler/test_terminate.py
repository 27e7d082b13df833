"""`terminate()` and callbacks are called once, on helper threads, even if they block or raise."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.model import Outcome

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
