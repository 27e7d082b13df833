"""The callbacks, the `terminate` and the descriptor of a token, during the run and after its end."""

from __future__ import annotations

import os
import select
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.stopped_token import FIRST, SECOND, stop

from taskloom.sync.cancel_callback import CancelCallback
from taskloom.sync.cancel_token import CancelToken
from taskloom.sync.wakeup_fd import WakeupFd


@pytest.fixture
def token() -> CancelToken:
    return CancelToken()


def is_readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


# -- callbacks


def test_a_callback_is_dispatched_once(token: CancelToken) -> None:
    calls: list[str] = []
    token.on_cancel(lambda: calls.append("a"))
    token.on_cancel(lambda: calls.append("b"))

    stop(token)
    stop(token, SECOND)

    assert calls == ["a", "b"]
    assert token.wakeup_may_raise


def test_a_late_callback_is_called_by_its_registrant(token: CancelToken) -> None:
    callers: list[int] = []
    stop(token)

    handle = token.on_cancel(lambda: callers.append(threading.get_ident()))

    assert callers == [threading.get_ident()]
    assert (handle.is_begun, handle.is_done) == (True, True)


def test_a_callback_registered_between_the_request_and_the_wake_is_dispatched(token: CancelToken) -> None:
    calls: list[str] = []
    token.request(FIRST)
    token.on_cancel(lambda: calls.append("called"))
    before = list(calls)

    stop(token)

    assert (before, calls) == ([], ["called"])


def test_a_callback_registered_between_the_wake_and_the_dispatch_is_called_once(token: CancelToken) -> None:
    calls: list[str] = []
    token.request(FIRST)
    token.wake()
    token.on_cancel(lambda: calls.append("called"))

    stop(token)

    assert calls == ["called"]


def test_a_closed_handle_is_not_called(token: CancelToken) -> None:
    calls: list[str] = []
    handle = token.on_cancel(lambda: calls.append("called"))

    handle.close()
    handle.close()
    stop(token)

    assert calls == []
    assert not token.wakeup_may_raise


def test_closing_a_handle_after_the_call_changes_nothing(token: CancelToken) -> None:
    handle = token.on_cancel(lambda: None)
    stop(token)

    handle.close()

    assert (handle.is_begun, handle.is_done) == (True, True)


def test_only_one_of_two_threads_begins_a_callback(token: CancelToken) -> None:
    handle = token.on_cancel(lambda: None)

    assert [handle.begin(), handle.begin()] == [True, False]


def test_a_callback_that_raises_counts_as_done(token: CancelToken) -> None:
    stop(token)

    with pytest.raises(ZeroDivisionError):
        token.on_cancel(lambda: 1 / 0)

    [handle] = token.dispatched
    assert (handle.is_begun, handle.is_done) == (True, True)


def test_callbacks_that_have_not_begun_are_dropped_when_the_run_ends(token: CancelToken) -> None:
    token.on_cancel(lambda: None)
    token.request(FIRST)
    token.wake()
    [handle] = token.take_callbacks()

    token.close()

    assert handle.begin() is False


@pytest.mark.parametrize("is_woken", [False, True])
def test_nothing_is_called_after_the_end_of_the_run(token: CancelToken, is_woken: bool) -> None:
    calls: list[str] = []
    if is_woken:
        stop(token)
    token.on_cancel(lambda: calls.append("before the end"))
    calls.clear()

    token.close()
    stop(token)
    token.on_cancel(lambda: calls.append("after the end"))

    assert calls == []


def test_a_callback_is_released_once_it_can_no_longer_be_called(token: CancelToken) -> None:
    """A bound `terminate` references the whole task, and a run is kept long after its end."""

    class Owner:
        def terminate(self) -> None:
            """Do nothing."""

    called, dropped = Owner(), Owner()
    token.on_cancel(called.terminate)
    token.request(FIRST)
    token.wake()
    [handle] = token.take_callbacks()
    token.dispatched.append(CancelCallback(dropped.terminate, "terminate"))
    assert handle.begin()
    handle()
    token.close()
    references = [weakref.ref(called), weakref.ref(dropped)]
    del called, dropped

    assert [reference() for reference in references] == [None, None]
    assert len(token.dispatched) == 2


# -- entering the body


def test_a_body_is_not_entered_after_the_request(token: CancelToken) -> None:
    token.request(FIRST)

    assert token.enter(None) is False


def test_terminate_is_registered_only_when_the_body_is_entered(token: CancelToken) -> None:
    other = CancelToken()
    other.request(FIRST)

    assert token.enter(lambda: None) is True
    assert other.enter(lambda: None) is False
    assert [callback.name for callback in token.take_callbacks()] == ["terminate"]
    assert other.take_callbacks() == []


def test_either_the_body_is_entered_or_the_request_came_first(fast_switching: None) -> None:
    """In both orders: the `terminate` of an entered body is dispatched, and a body that is not entered has none."""
    for _ in range(200):
        token = CancelToken()
        barrier = threading.Barrier(2)

        def request(token: CancelToken = token, barrier: threading.Barrier = barrier) -> list[str]:
            barrier.wait()
            token.request(FIRST)
            token.wake()
            return [callback.name for callback in token.take_callbacks()]

        with ThreadPoolExecutor(1) as pool:
            requesting = pool.submit(request)
            barrier.wait()
            is_entered = token.enter(lambda: None)

            assert requesting.result(10) == (["terminate"] if is_entered else [])


# -- the descriptor


def test_the_descriptor_is_readable_once_woken(token: CancelToken) -> None:
    wakeup = token.wakeup()
    before = is_readable(wakeup.fileno())
    stop(token)

    assert (before, is_readable(wakeup.fileno())) == (False, True)
    assert token.wakeup() is wakeup


def test_a_descriptor_created_after_the_wake_is_readable(token: CancelToken) -> None:
    stop(token)

    assert is_readable(token.wakeup().fileno())


def test_the_descriptor_is_readable_once_the_run_has_ended_and_open_while_it_is_referred_to(token: CancelToken) -> None:
    wakeup = token.wakeup()
    number = wakeup.fileno()
    token.close()
    seen = is_readable(number)

    del wakeup

    assert seen
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_a_descriptor_created_after_the_end_of_the_run_is_readable(token: CancelToken) -> None:
    token.close()

    assert is_readable(token.wakeup().fileno())


def test_a_forked_child_does_not_close_a_number_that_it_uses_for_another_file() -> None:
    wakeup = WakeupFd()
    wakeup._pid += 1  # as if this process were the child of the one that made it
    number = wakeup.fileno()
    del wakeup

    os.close(number)  # raises if it was closed


def test_a_run_that_uses_the_descriptor_or_terminate_may_raise_when_it_is_woken(token: CancelToken) -> None:
    seen = [token.wakeup_may_raise]
    token.wakeup()
    other = CancelToken()
    other.enter(lambda: None)

    assert [*seen, token.wakeup_may_raise, other.wakeup_may_raise] == [False, True, True]


def test_a_run_is_wakeable_while_it_has_a_callback_a_descriptor_or_terminate(token: CancelToken) -> None:
    other = CancelToken()
    seen = [token.is_wakeable]
    token.on_cancel(lambda: None)
    other.wakeup()
    third = CancelToken()
    third.enter(lambda: None)
    seen += [token.is_wakeable, other.is_wakeable, third.is_wakeable]
    other.close()
    seen.append(other.is_wakeable)

    third.close()
    seen.append(third.is_wakeable)

    assert seen == [False, True, True, True, False, False]


def test_an_unregistered_callback_leaks_nothing(token: CancelToken) -> None:
    """Each wait in `taskloom.waiting.get` registers and unregisters one: a long run does so millions of times."""
    for _ in range(3):
        token.on_cancel(lambda: None).close()

    assert not token.is_wakeable
    assert token.take_callbacks() == []


def test_a_callback_that_is_unregistered_during_the_dispatch_hides_no_other(token: CancelToken) -> None:
    handles = [token.on_cancel(lambda: None) for _ in range(3)]
    token.request(FIRST)
    token.wake()
    taken = token.take_callbacks()

    handles[0].close()

    assert taken == handles
    assert [handle.begin() for handle in taken] == [False, True, True]
