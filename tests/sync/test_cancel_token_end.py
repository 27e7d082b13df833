"""The end of a run at its token: whether `terminate` is called, and what the threads see that are left."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.stopped_token import FIRST, SECOND, stop

from taskloom.errors import Cancelled
from taskloom.sync.cancel_token import RUN_ENDED, CancelToken
from taskloom.sync.waker import Waker


@pytest.fixture
def token() -> CancelToken:
    return CancelToken()


# -- terminate and the end of the run


def entered(token: CancelToken) -> list[str]:
    """Enter a body whose `terminate` is recorded in the returned list."""
    calls: list[str] = []
    assert token.enter(lambda: calls.append("terminate"))
    return calls


def test_terminate_is_dispatched_although_the_run_has_ended_since_its_request(token: CancelToken) -> None:
    calls = entered(token)
    dropped: list[str] = []
    token.on_cancel(lambda: dropped.append("callback"))
    token.request(FIRST)
    assert token.end()
    token.close()

    stop(token)
    stop(token)

    assert (calls, dropped) == (["terminate"], [])


def test_terminate_that_was_dispatched_before_the_end_of_the_run_still_begins(token: CancelToken) -> None:
    entered(token)
    token.on_cancel(lambda: None)
    token.request(FIRST)
    terminate, callback = token.take_callbacks()

    token.end()
    token.close()

    assert (terminate.name, terminate.has_run_ended) == ("terminate", True)
    assert [terminate.begin(), callback.begin()] == [True, False]


@pytest.mark.parametrize("is_closed", [False, True])
def test_terminate_is_not_called_for_a_request_after_the_end(token: CancelToken, is_closed: bool) -> None:
    calls = entered(token)
    was_requested = token.end()
    if is_closed:
        token.close()

    stop(token)
    token.close()

    assert (was_requested, calls, token.terminate_returned()) == (False, [], None)


def test_the_end_of_the_run_is_decided_once(token: CancelToken) -> None:
    first = token.end()
    token.request(FIRST)

    assert (first, token.end()) == (False, False)


def test_terminate_is_over_once_it_has_raised(token: CancelToken) -> None:
    token.enter(lambda: 1 / 0)
    token.request(FIRST)
    [terminate] = token.take_callbacks()
    returned = token.terminate_returned()
    assert returned is not None
    before = returned.is_open

    terminate.begin()
    with pytest.raises(ZeroDivisionError):
        terminate()

    assert (before, returned.is_open, token.terminate_returned()) == (False, True, None)


def test_either_terminate_is_called_or_the_run_ended_first(fast_switching: None) -> None:
    for _ in range(200):
        token = CancelToken()
        calls = entered(token)
        barrier = threading.Barrier(2)

        def request(token: CancelToken = token, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            stop(token)

        with ThreadPoolExecutor(1) as pool:
            requesting = pool.submit(request)
            barrier.wait()
            was_requested = token.end()
            token.close()
            requesting.result(10)

        assert calls == (["terminate"] if was_requested else [])


def test_a_finalizer_may_cancel_the_run_inside_every_method(token: CancelToken) -> None:
    """The garbage collector may run one at any call: here the lock is held by the thread that runs it."""
    calls = entered(token)
    with token._lock:
        stop(token)

    assert calls == ["terminate"]


# -- the threads that an ended run has left


def test_an_ended_run_is_cancelled_for_its_threads_and_calls_nothing(token: CancelToken) -> None:
    calls = entered(token)
    token.on_cancel(lambda: calls.append("before"))
    before = token.cancelled

    token.close()
    token.on_cancel(lambda: calls.append("after"))

    assert (before, token.cancelled, token.wait(), token.wait(0), calls) == (False, True, True, True, [])
    assert token.reason == RUN_ENDED
    with pytest.raises(Cancelled):
        token.sleep(60)


def test_an_ended_run_keeps_the_reason_of_its_stop(token: CancelToken) -> None:
    stop(token)
    token.close()

    assert token.reason == FIRST
    assert token.request(SECOND) is False


def test_a_wait_of_another_thread_ends_with_the_run(token: CancelToken) -> None:
    waker = Waker()
    token.add_waker(waker)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(token.wait)
        while len(token._waiters) < 2:
            pass
        token.close()

        assert waiting.result(10)
    assert waker.wait(0)


# -- wakers


def test_a_waker_is_released_by_the_wake_itself(token: CancelToken) -> None:
    waker = Waker()
    handle = token.add_waker(waker)
    seen = [token.is_waiting, waker.wait(0)]

    stop(token)

    assert [*seen, waker.wait(0), token.dispatched, token.wakeup_may_raise] == [True, False, True, [], False]
    handle.close()


def test_a_late_waker_is_released_at_once(token: CancelToken) -> None:
    stop(token)
    waker = Waker()

    token.add_waker(waker).close()

    assert waker.wait(0)


def test_a_closed_waker_is_not_released(token: CancelToken) -> None:
    waker = Waker()
    handle = token.add_waker(waker)
    handle.close()
    handle.close()
    stop(token)

    assert (waker.wait(0), token.is_waiting) == (False, False)
