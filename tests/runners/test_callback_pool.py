from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskloom.core.inputs import CallbackFailed
from taskloom.runners import callback_pool as callback_pool_module
from taskloom.runners.callback_pool import MAX_HELPERS, MAX_HELPERS_NOT_STUCK, CallbackPool
from taskloom.sync.cancel_callback import CancelCallback, TerminateCallback

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


# -- terminate, which is called even after the end of its run


class Terminate(TerminateCallback):
    """A `terminate` that blocks until it is released, or does not."""

    def __init__(self, block: Callable[[], object] = lambda: None, *, has_run_ended: bool = True) -> None:
        super().__init__(block)
        if has_run_ended:
            self.run_ended()


def fill(pool: Pool, clock: Clock) -> None:
    """Make all helpers there may be stuck."""
    pool.submit(*(pool.blocking() for _ in range(MAX_HELPERS)))
    begun = 0
    while begun < MAX_HELPERS:
        clock.now += 1.0
        pool.callback_pool.grow_if_stuck()
        begun += pool.began.acquire(timeout=0.01)


@pytest.mark.parametrize("has_run_ended", [True, False])
def test_a_terminate_that_does_not_begin_in_time_is_reported_once_if_its_run_has_ended(
    pool: Pool, clock: Clock, has_run_ended: bool
) -> None:
    """The stop report says it of a run that is alive."""
    fill(pool, clock)
    terminate = Terminate(has_run_ended=has_run_ended)
    pool.callback_pool.submit("job#1", [terminate], until=clock.now + 5.0)
    early = list(pool.reports)

    for _ in range(7):
        clock.now += 1.0
        pool.callback_pool.grow_if_stuck()

    found = [(report.run, report.callback, report.error.message) for report in pool.reports]
    text = "not begun when the stop was overdue: 64 helper threads busy with callbacks"
    assert (early, found) == ([], [("job#1", "terminate", text)] if has_run_ended else [])
    pool.let_go.set()
    assert terminate.returned.wait(SOON), "it is called all the same"


def test_join_waits_for_each_terminate_that_is_queued_or_being_called(pool: Pool) -> None:
    let_go = threading.Event()
    terminates = [Terminate(lambda: let_go.wait(SOON)) for _ in range(3)]
    pool.submit(*terminates)
    releasing = threading.Timer(0.05, let_go.set)
    releasing.start()

    not_begun = pool.callback_pool.join(SOON)
    releasing.join()

    assert not_begun == []
    assert all(terminate.is_done for terminate in terminates)


def test_join_names_the_runs_whose_terminate_has_not_begun(pool: Pool, clock: Clock) -> None:
    fill(pool, clock)
    pool.callback_pool.submit("job#7", [Terminate(), CancelCallback(lambda: None, "dropped")])
    pool.callback_pool.submit("job#8", [Terminate(has_run_ended=False)])

    assert pool.callback_pool.join(0) == ["job#7"]


def test_join_does_not_wait_for_other_callbacks(pool: Pool) -> None:
    pool.submit(pool.blocking())
    pool.await_begun(1)

    assert pool.callback_pool.join(SOON) == []


def test_join_begun_waits_for_other_callbacks_as_well(pool: Pool) -> None:
    pool.submit(pool.blocking())
    pool.await_begun(1)
    joining = threading.Thread(target=pool.callback_pool.join_begun, args=(SOON,), daemon=True)
    joining.start()
    joining.join(0.05)
    is_waiting = joining.is_alive()

    pool.let_go.set()
    joining.join(SOON)

    assert is_waiting
    assert not joining.is_alive()


def test_what_is_submitted_after_close_is_called_and_its_helpers_end(pool: Pool) -> None:
    for _ in range(3):
        callback, done = pool.quick()
        pool.callback_pool.close()
        pool.submit(callback)

        assert done.wait(SOON)

    for thread in pool.threads:
        thread.join(SOON)
    assert not any(thread.is_alive() for thread in pool.threads)


def test_all_helpers_end_after_close(pool: Pool) -> None:
    pool.submit(*(pool.blocking() for _ in range(9)))
    pool.await_begun(9)
    pool.let_go.set()

    pool.callback_pool.close()

    for thread in pool.threads:
        thread.join(SOON)
    assert pool.callback_pool._helpers == {}


def test_a_finalizer_may_submit_at_every_line_of_submit(pool: Pool) -> None:
    """The garbage collector may run one at any call. With a lock it would wait for its own thread for ever."""
    struck: list[int] = []
    ended: list[threading.Event] = []

    def submit_at(frame: Any, event: str, _: object) -> Any:
        if frame.f_code.co_filename != callback_pool_module.__file__:
            return None
        if event == "line" and len(struck) < 500:
            struck.append(frame.f_lineno)
            sys.settrace(None)
            callback, done = pool.quick()
            ended.append(done)
            pool.submit(callback)
            sys.settrace(submit_at)
        return submit_at

    callback, done = pool.quick()
    before = sys.gettrace()
    sys.settrace(submit_at)
    try:
        pool.submit(callback)
    finally:
        sys.settrace(before)

    assert len(set(struck)) > 10
    assert all(event.wait(SOON) for event in [done, *ended])
    assert len(pool.callback_pool._helpers) <= MAX_HELPERS_NOT_STUCK + 1


def test_a_memory_error_at_any_line_of_a_helper_loses_no_callback(pool: Pool) -> None:
    """Each line is struck once; the callback that the helper had taken is called all the same, once."""
    struck: set[int] = set()
    calls: list[int] = []
    codes = {CallbackPool._call_next.__code__, CallbackPool._call.__code__}

    def strike(frame: Any, event: str, _: object) -> Any:
        if frame.f_code not in codes:
            return None
        if event == "line" and frame.f_lineno not in struck and frame.f_locals.get("taken", [None]):
            struck.add(frame.f_lineno)
            raise MemoryError
        return strike

    raised: list[Any] = []
    hook, threading.excepthook = threading.excepthook, lambda arguments: raised.append(arguments.exc_type)
    threading.settrace(strike)
    try:
        for number in range(30):
            done = threading.Event()

            def call(number: int = number, done: threading.Event = done) -> None:
                calls.append(number)
                done.set()

            pool.submit(CancelCallback(call, "call"))
            while not done.wait(0.01):
                pool.callback_pool.grow_if_stuck()
            pool.threads.update(thread for thread in threading.enumerate() if "taskloom-callback" in thread.name)
    finally:
        threading.settrace(None)
        pool.callback_pool.close()
        for thread in pool.threads:
            thread.join(SOON)
        threading.excepthook = hook

    assert len(struck) > 8
    assert raised == []
    assert calls == list(range(30))


def test_a_callback_that_was_lost_keeps_no_helper_busy_after_close(pool: Pool) -> None:
    """An exception struck between the two steps of `submit`; the helpers end all the same."""
    callback, done = pool.quick()
    pool.submit(callback)
    assert done.wait(SOON)
    pool.callback_pool._waiting[callback_pool_module._Item("job#1", callback, 0.0)] = None

    pool.callback_pool.close()

    for thread in pool.threads:
        thread.join(SOON)
        assert not thread.is_alive()
    assert pool.callback_pool._helpers == {}


class ForgetfulQueue:
    """A queue whose next puts of None raise MemoryError, as often as the test says."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue
        self.failures = 0

    def put(self, item: Any) -> None:
        if item is None and self.failures:
            self.failures -= 1
            raise MemoryError
        self.queue.put(item)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.queue, name)


def test_a_memory_error_while_the_pool_closes_leaves_no_helper_behind(pool: Pool) -> None:
    queue = ForgetfulQueue(pool.callback_pool._queue)
    pool.callback_pool._queue = queue  # type: ignore[assignment]
    pool.submit(*(pool.blocking() for _ in range(4)))
    pool.await_begun(4)

    queue.failures = 1
    with pytest.raises(MemoryError):
        pool.callback_pool.close()
    pool.callback_pool.close()
    queue.failures = 1  # of the helper that takes the None first
    pool.let_go.set()

    for thread in pool.threads:
        thread.join(SOON)
        assert not thread.is_alive()
    assert pool.callback_pool._helpers == {}
