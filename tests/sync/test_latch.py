from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import taskloom.sync.latch as latch_module
from taskloom.sync.latch import Latch


class LyingLock:
    """A lock that does something just before it blocks."""

    def __init__(self, before_blocking: Callable[[], object]) -> None:
        self._lock = threading.Lock()
        self._before_blocking = before_blocking

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._lock.locked() and blocking:
            self._before_blocking()
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        self._lock.release()


def test_an_open_latch_releases_all_waiters_and_later_ones() -> None:
    latch = Latch()

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(latch.wait, seconds) for seconds in (None, 60, float("inf"), 1e20) * 2]
        latch.open()
        latch.open()

        assert [each.result(10) for each in waiting] == [True] * 8
    assert latch.wait()


@pytest.mark.parametrize("seconds", [0, -1, 0.001])
def test_a_wait_for_a_closed_latch_times_out(seconds: float) -> None:
    latch = Latch()

    assert latch.wait(seconds) is False
    assert latch._waiters == []


def test_nan_seconds_are_refused_and_leave_no_waiter() -> None:
    latch = Latch()

    with pytest.raises(ValueError, match=r"^cannot wait for nan seconds$"):
        latch.wait(float("nan"))

    assert latch._waiters == []


def test_an_opening_between_the_check_and_the_wait_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    # 1. the waiter appends its lock to the list and reads the flag: closed
    # 2. the other thread opens the latch: it finds the lock and releases it
    # 3. the waiter acquires its lock, which is free
    latch = Latch()
    monkeypatch.setattr(latch_module, "allocate_lock", lambda: LyingLock(latch.open))

    assert latch.wait() is True


def test_an_opening_between_the_listing_and_the_check_is_seen() -> None:
    # 1. the waiter appends its lock to the list
    # 2. the other thread opens the latch
    # 3. the waiter reads the flag: open
    class Lying(list[Any]):
        def append(self, item: Any) -> None:
            super().append(item)
            latch.open()

    latch = Latch()
    latch._waiters = Lying()

    assert latch.wait() is True
    assert latch._waiters == []


def test_a_waiter_that_times_out_while_it_is_released_does_no_harm() -> None:
    # 1. `open` sees that there is a waiter
    # 2. the waiter times out and removes its lock from the list
    # 3. `open` pops a waiter and finds none
    class Emptied(list[Any]):
        def __bool__(self) -> bool:
            return True

    latch = Latch()
    latch._waiters = Emptied()

    latch.open()

    assert latch.is_open


def test_no_opening_is_missed_by_waits_that_begin_at_the_same_time(fast_switching: None) -> None:
    for _ in range(40):
        latch = Latch()
        barrier = threading.Barrier(3)

        def wait(latch: Latch = latch, barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            return latch.wait(60)

        with ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(wait) for _ in range(2)]
            barrier.wait()
            latch.open()

            assert [each.result(10) for each in waiting] == [True, True]
