from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from taskloom.core.inputs import CallbackFailed
from taskloom.runners import callback_pool as callback_pool_module
from taskloom.runners.callback_pool import MAX_HELPERS, MAX_HELPERS_NOT_STUCK, CallbackPool
from taskloom.sync.cancel_token import CancelCallback

SOON = 20.0


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Pool:
    """A callback pool with its reports, and callbacks that block until they are released."""

    def __init__(self) -> None:
        self.reports: list[CallbackFailed] = []
        self.reported = threading.Event()
        self.let_go = threading.Event()
        self.callback_pool = CallbackPool(self._take)
        self.began = threading.Semaphore(0)
        self.threads: set[threading.Thread] = set()

    def _take(self, report: CallbackFailed) -> None:
        self.reports.append(report)
        self.reported.set()

    def blocking(self) -> CancelCallback:
        def block() -> None:
            self.threads.add(threading.current_thread())
            self.began.release()
            self.let_go.wait(SOON)

        return CancelCallback(block, "block")

    def quick(self) -> tuple[CancelCallback, threading.Event]:
        done = threading.Event()

        def call() -> None:
            self.threads.add(threading.current_thread())
            done.set()

        return CancelCallback(call, "quick"), done

    def submit(self, *callbacks: CancelCallback) -> None:
        self.callback_pool.submit("job#1", list(callbacks))

    def await_begun(self, count: int) -> None:
        for _ in range(count):
            assert self.began.acquire(timeout=SOON)

    def end(self) -> None:
        self.let_go.set()
        self.callback_pool.close()
        for thread in self.threads:
            thread.join(SOON)
            assert not thread.is_alive()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(callback_pool_module, "mono", clock)
    return clock


@pytest.fixture
def pool(clock: Clock) -> Iterator[Pool]:
    pool = Pool()
    yield pool
    pool.end()


def test_a_callback_is_called_on_a_daemon_helper_thread_once(pool: Pool) -> None:
    callback, done = pool.quick()

    pool.submit(callback, callback)

    assert done.wait(SOON)
    [thread] = pool.threads
    assert thread.daemon
    assert thread is not threading.current_thread()


def test_the_first_helper_is_started_before_there_are_callbacks(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """During the stop the system may refuse new threads."""
    pool.callback_pool.prepare()
    pool.callback_pool.prepare()
    callback, done = pool.quick()
    monkeypatch.setattr(threading.Thread, "start", None)

    pool.submit(callback)

    assert done.wait(SOON)
    assert len(pool.callback_pool._helpers) == 1


def test_a_blocking_callback_delays_no_other(pool: Pool) -> None:
    pool.callback_pool.prepare()
    callback, done = pool.quick()

    pool.submit(*(pool.blocking() for _ in range(5)), callback)

    pool.await_begun(5)
    assert done.wait(SOON)
    assert len(pool.callback_pool._helpers) <= 6


def test_there_are_at_most_sixteen_helpers_while_none_is_stuck(pool: Pool) -> None:
    pool.submit(*(pool.blocking() for _ in range(MAX_HELPERS_NOT_STUCK + 4)))

    pool.await_begun(MAX_HELPERS_NOT_STUCK)
    pool.callback_pool.grow_if_stuck()

    assert len(pool.callback_pool._helpers) == MAX_HELPERS_NOT_STUCK
    assert not pool.began.acquire(blocking=False)


def test_a_helper_that_is_stuck_for_a_second_is_replaced(pool: Pool, clock: Clock) -> None:
    callback, done = pool.quick()
    pool.submit(*(pool.blocking() for _ in range(MAX_HELPERS_NOT_STUCK)), callback)
    pool.await_begun(MAX_HELPERS_NOT_STUCK)
    before = [pool.callback_pool.grow_if_stuck(), done.is_set()]

    clock.now = 1.0
    pool.callback_pool.grow_if_stuck()

    assert done.wait(SOON)
    assert before == [1.0, False], "call it again in a second"


def test_there_are_never_more_than_64_helpers(pool: Pool, clock: Clock) -> None:
    wanted = MAX_HELPERS + 3
    pool.submit(*(pool.blocking() for _ in range(wanted)))
    begun = 0
    while begun < MAX_HELPERS:
        clock.now += 1.0
        pool.callback_pool.grow_if_stuck()
        begun += pool.began.acquire(timeout=0.01)
    clock.now += 1.0

    assert pool.callback_pool.grow_if_stuck() == 1.0
    assert len(pool.callback_pool._helpers) == MAX_HELPERS
    assert not pool.began.acquire(blocking=False)


def test_no_further_check_is_needed_when_nothing_is_queued(pool: Pool) -> None:
    callback, done = pool.quick()
    before = pool.callback_pool.grow_if_stuck()
    pool.submit(callback)
    assert done.wait(SOON)

    assert (before, pool.callback_pool.grow_if_stuck()) == (None, None)


def test_an_unregistered_callback_is_not_called(pool: Pool) -> None:
    unregistered, not_called = pool.quick()
    last, done = pool.quick()
    unregistered.close()

    pool.submit(unregistered, last)

    assert done.wait(SOON)
    assert not not_called.is_set()


@pytest.mark.parametrize("error", [ValueError("oops"), SystemExit(3), KeyboardInterrupt()])
def test_a_callback_that_raises_is_reported_and_its_helper_continues(pool: Pool, error: BaseException) -> None:
    def fail() -> None:
        raise error

    callback, done = pool.quick()
    pool.callback_pool.prepare()

    pool.submit(CancelCallback(fail, "Reader.terminate"), callback)

    assert pool.reported.wait(SOON)
    assert done.wait(SOON)
    [report] = pool.reports
    assert (report.run, report.callback, report.error.type) == ("job#1", "Reader.terminate", type(error).__name__)
    assert "in fail" in report.error.traceback


def test_existing_helpers_do_the_work_if_no_thread_can_be_started(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    real = threading.Thread.start
    refusals: list[int] = []

    def refuse(self: threading.Thread) -> None:
        refusals.append(1)
        raise RuntimeError("can't start new thread")

    pool.callback_pool.prepare()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    callbacks = [pool.quick() for _ in range(3)]
    pool.submit(pool.blocking(), *(callback for callback, _ in callbacks))
    pool.await_begun(1)
    helpers_then = len(pool.callback_pool._helpers)
    monkeypatch.setattr(threading.Thread, "start", real)
    pool.callback_pool.grow_if_stuck()

    for _, done in callbacks:
        assert done.wait(SOON)
    assert refusals
    assert helpers_then == 1


def test_closing_lets_the_free_helpers_end_and_the_stuck_ones_later(pool: Pool) -> None:
    pool.submit(pool.blocking())
    pool.await_begun(1)
    [stuck] = pool.threads
    callback, done = pool.quick()
    pool.submit(callback)
    assert done.wait(SOON)
    [free] = pool.threads - {stuck}

    pool.callback_pool.close()
    free.join(SOON)
    alive = [free.is_alive(), stuck.is_alive()]
    pool.let_go.set()
    stuck.join(SOON)

    assert [*alive, stuck.is_alive()] == [False, True, False]
