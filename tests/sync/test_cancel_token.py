from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import taskloom.sync.cancel_token as token_module
from taskloom.core.model import Reason, ReasonKind
from taskloom.errors import Cancelled
from taskloom.sync.cancel_token import CancelToken, lock_timeout

FIRST = Reason(ReasonKind.USER, "first")
SECOND = Reason(ReasonKind.SHUTDOWN, "second")


@pytest.fixture
def token() -> CancelToken:
    return CancelToken()


def stop(token: CancelToken) -> None:
    """Do what the engine does to stop a run."""
    token.request(FIRST)
    token.wake()


class LyingLock:
    """A lock that does something just before it blocks: it forces an order that otherwise occurs only by chance."""

    def __init__(self, before_blocking: Callable[[], object]) -> None:
        self._lock = threading.Lock()
        self._before_blocking = before_blocking

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._lock.locked() and blocking:
            self._before_blocking()
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        self._lock.release()


class LyingList(list[Any]):
    """A list of waiters that does something right after a waiter was appended."""

    def __init__(self, after_append: Callable[[], object]) -> None:
        super().__init__()
        self._after_append = after_append

    def append(self, item: Any) -> None:
        super().append(item)
        self._after_append()


# -- the flag


def test_the_first_reason_is_kept(token: CancelToken) -> None:
    answers = [token.request(FIRST), token.request(SECOND)]

    assert answers == [True, False]
    assert token.reason == FIRST


def test_the_poll_stays_true_after_the_request(token: CancelToken) -> None:
    before = token.cancelled
    token.request(FIRST)

    assert [before, *(token.cancelled for _ in range(3))] == [False, True, True, True]


def test_the_poll_stays_true_after_the_run_has_ended(token: CancelToken) -> None:
    stop(token)
    token.close()

    assert token.cancelled
    assert token.wait()


def test_only_one_of_many_simultaneous_requests_is_the_first(token: CancelToken) -> None:
    reasons = [Reason(ReasonKind.USER, str(number)) for number in range(8)]
    barrier = threading.Barrier(len(reasons))

    def request(reason: Reason) -> bool:
        barrier.wait()
        return token.request(reason)

    with ThreadPoolExecutor(len(reasons)) as pool:
        answers = list(pool.map(request, reasons))

    assert answers.count(True) == 1
    assert token.reason == reasons[answers.index(True)]


def test_every_poll_and_wait_is_counted(token: CancelToken) -> None:
    seen = [token.polls]
    for poll in (lambda: token.cancelled, token.raise_if_cancelled, lambda: token.wait(0), lambda: token.sleep(0)):
        poll()
        seen.append(token.polls)

    assert seen == sorted(set(seen))


def test_raise_if_cancelled_and_sleep_raise_after_the_request(token: CancelToken) -> None:
    token.raise_if_cancelled()
    token.sleep(0)
    token.request(FIRST)

    for raising in (token.raise_if_cancelled, lambda: token.sleep(3600)):
        with pytest.raises(Cancelled):
            raising()


# -- waiting


@pytest.mark.parametrize("seconds", [None, float("inf"), 1e20, 3600.0])
def test_a_wait_ends_when_woken(token: CancelToken, seconds: float | None) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(token.wait, seconds)
        stop(token)

        assert waiting.result(10) is True


@pytest.mark.parametrize("seconds", [0, 0.0, -1, -1e20, float("-inf"), 0.001])
def test_a_wait_ends_by_itself_after_its_seconds(token: CancelToken, seconds: float) -> None:
    assert token.wait(seconds) is False
    assert not token.is_waiting


def test_nan_seconds_are_refused(token: CancelToken) -> None:
    """A lock does not wait at all for nan seconds: a loop around such a wait would be a busy loop."""
    with pytest.raises(ValueError, match=r"^cannot wait for nan seconds$"):
        token.wait(float("nan"))


def test_a_refused_wait_does_not_count_as_waiting_for_ever(token: CancelToken) -> None:
    """Otherwise the poll age of the run would be zero until its end, even if it never polls again."""
    for seconds in (float("nan"), "soon"):
        with pytest.raises((ValueError, TypeError)):
            token.wait(seconds)  # type: ignore[arg-type]

    assert not token.is_waiting


@pytest.mark.parametrize(
    ("seconds", "timeout"),
    [(None, -1), (float("inf"), -1), (1e20, -1), (-3, 0.0), (0, 0.0), (2.5, 2.5), (threading.TIMEOUT_MAX + 1, -1)],
)
def test_seconds_are_converted_to_a_timeout_that_a_lock_accepts(seconds: float | None, timeout: float) -> None:
    assert lock_timeout(seconds) == timeout
    lock = threading.Lock()
    assert lock.acquire(timeout=lock_timeout(seconds))


def test_a_run_counts_as_waiting_while_it_waits(token: CancelToken, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(token_module, "allocate_lock", lambda: LyingLock(lambda: seen.append(token.is_waiting)))

    token.wait(0)

    assert seen == [True]
    assert not token.is_waiting


def test_many_waiters_are_all_woken(token: CancelToken) -> None:
    with ThreadPoolExecutor(16) as pool:
        waiting = [pool.submit(token.wait) for _ in range(16)]
        stop(token)

        assert [each.result(10) for each in waiting] == [True] * 16


def test_a_request_between_the_check_and_the_wait_is_not_missed(
    token: CancelToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 1. the waiter appends its lock to the list and reads the flag: not requested
    # 2. the other thread requests the stop and wakes: it finds the lock and releases it
    # 3. the waiter acquires its lock, which is free
    monkeypatch.setattr(token_module, "allocate_lock", lambda: LyingLock(lambda: stop(token)))

    assert token.wait() is True


def test_a_request_between_the_check_and_the_wait_that_wakes_later_is_not_missed(
    token: CancelToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 1. the waiter appends its lock to the list and reads the flag: not requested
    # 2. the other thread requests the stop, and has thousands of other flags to set
    # 3. the waiter blocks
    # 4. the other thread wakes
    is_requested = threading.Event()

    def request() -> None:
        token.request(FIRST)
        is_requested.set()

    monkeypatch.setattr(token_module, "allocate_lock", lambda: LyingLock(request))

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(token.wait)
        assert is_requested.wait(10)
        token.wake()

        assert waiting.result(10) is True


@pytest.mark.parametrize("is_woken", [False, True])
def test_a_request_between_the_listing_and_the_check_is_seen(token: CancelToken, is_woken: bool) -> None:
    # 1. the waiter appends its lock to the list
    # 2. the other thread requests the stop, and has woken or not yet
    # 3. the waiter reads the flag: requested
    token._waiters = LyingList(lambda: stop(token) if is_woken else token.request(FIRST))

    assert token.wait() is True
    assert not token.is_waiting


def test_a_waiter_that_times_out_while_it_is_woken_does_no_harm(token: CancelToken) -> None:
    # 1. `wake` sees that there is a waiter
    # 2. the waiter times out and removes its lock from the list
    # 3. `wake` pops a waiter and finds none
    class Emptied(list[Any]):
        def __bool__(self) -> bool:
            return True

    token._waiters = Emptied()

    stop(token)

    assert token.wait() is True


def test_no_wake_is_lost_for_waits_that_begin_during_the_stop(fast_switching: None) -> None:
    for _ in range(40):
        token = CancelToken()
        barrier = threading.Barrier(3)

        def wait(token: CancelToken = token, barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            return token.wait(60)

        with ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(wait) for _ in range(2)]
            barrier.wait()
            stop(token)

            assert [each.result(10) for each in waiting] == [True, True]


# -- the sampler


class CountingSampler:
    """Counts how often it was resumed."""

    def __init__(self) -> None:
        self.is_idle = True
        self.resumed = 0

    def resume(self) -> None:
        self.is_idle = False
        self.resumed += 1


def test_a_run_that_stops_waiting_resumes_the_sampler_only_if_it_is_idle() -> None:
    sampler = CountingSampler()
    token = CancelToken(sampler)

    token.wait(0)
    token.wait(0)

    assert sampler.resumed == 1
