"""Races of the thread cache; each order is forced."""

from __future__ import annotations

import threading
from collections import deque
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from taskloom.runners import thread_cache as thread_cache_module

SOON = 20.0


class SleepLock:
    """The lock on which a thread sleeps, without a clock: a sleep ends by a wake-up or by the test."""

    def __init__(self) -> None:
        self.is_late = False
        """Whether the next wake-up comes after the timeout of the sleep, but before the thread runs again."""
        self.is_lost = False
        """Whether the next wake-up is lost."""
        self.calls = 0
        self.wakes = 0
        self._signals: SimpleQueue[bool] = SimpleQueue()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if blocking and timeout < 0:
            return True  # the initial acquire
        try:
            is_woken = self._signals.get(timeout=SOON) if timeout > 0 else self._signals.get_nowait()
        except Empty:
            return False
        if is_woken and self.is_late:
            self.is_late = False
            self._signals.put(True)
            return False
        self.wakes += is_woken and blocking
        return is_woken

    def release(self) -> None:
        self.calls += 1
        if not self.is_lost:
            self._signals.put(True)
        self.is_lost = False

    def time_out(self) -> None:
        """Let the sleep time out."""
        self._signals.put(False)


@pytest.fixture
def sleep_locks(lender: Any, monkeypatch: pytest.MonkeyPatch) -> list[SleepLock]:
    """The sleep locks of all threads, in the order in which the threads began."""
    found: list[SleepLock] = []

    def make() -> SleepLock:
        found.append(SleepLock())
        return found[-1]

    monkeypatch.setattr(thread_cache_module, "allocate_lock", make)
    return found


def two_idle_threads(lender: Any) -> list[threading.Thread | None]:
    """Return two idle threads; the second fell asleep last and is woken first."""
    goes_on = [threading.Event(), threading.Event()]
    pieces = [lender.begin(event.wait) for event in goes_on]
    for count, (piece, event) in enumerate(zip(pieces, goes_on, strict=True), 1):
        event.set()
        assert piece.is_done.wait(SOON)
        lender.await_asleep(count)
    return [piece.thread for piece in pieces]


def test_a_thread_whose_sleep_times_out_ends_and_gets_no_more_work(lender: Any, sleep_locks: list[SleepLock]) -> None:
    first, second = two_idle_threads(lender)
    assert second is not None

    sleep_locks[1].time_out()
    second.join(SOON)

    assert not second.is_alive()
    assert lender.do() is first


def test_work_that_is_started_when_the_thread_is_about_to_end_is_done(
    lender: Any, sleep_locks: list[SleepLock]
) -> None:
    # 1. the sleep of the thread times out, but the thread does not run yet
    # 2. another thread wakes it for work
    # 3. the thread continues after the timeout and finds that it was woken: it must not end
    first = lender.do()
    lender.await_asleep(1)
    [sleep_lock] = sleep_locks
    sleep_lock.is_late = True

    second = lender.do()
    lender.await_asleep(1)
    third = lender.do()

    assert not sleep_lock.is_late
    assert second is first
    assert third is first
    assert sleep_lock.wakes == 1, "the late wake-up counts once"


def test_a_thread_does_not_end_while_work_is_queued_for_another_woken_thread(
    lender: Any, sleep_locks: list[SleepLock]
) -> None:
    # 1. the second thread is woken for work, and does not run yet
    # 2. the sleep of the first times out: it finds the work and does it
    # 3. the second runs, finds no work, and sleeps again
    threads = two_idle_threads(lender)
    sleep_locks[1].is_lost = True
    piece = lender.begin()

    sleep_locks[0].time_out()

    assert piece.is_done.wait(SOON)
    assert piece.thread is threads[0]
    sleep_locks[1].release()
    assert lender.do() in threads


def test_a_thread_that_becomes_free_takes_work_that_is_queued_for_a_woken_thread(
    lender: Any, sleep_locks: list[SleepLock]
) -> None:
    # 1. a thread works, another sleeps
    # 2. the sleeping thread is woken for new work, and does not run yet
    # 3. the first becomes free and takes the work
    # 4. the woken thread runs, finds no work, and sleeps again
    goes_on = threading.Event()
    threads = two_idle_threads(lender)
    busy = lender.begin(lambda: goes_on.wait(SOON))
    sleep_locks[0].is_lost = True
    piece = lender.begin()

    goes_on.set()

    assert piece.is_done.wait(SOON)
    assert busy.thread is piece.thread is threads[1]
    sleep_locks[0].release()
    assert {lender.do(), lender.do()} <= set(threads)


def test_only_one_thread_is_woken_at_a_time(lender: Any, sleep_locks: list[SleepLock]) -> None:
    """Many threads that are woken at once would queue for the GIL, and most of them would find no work."""
    two_idle_threads(lender)
    sleep_locks[1].is_lost = True
    meeting = threading.Barrier(2)
    pieces = [lender.begin(lambda: meeting.wait(SOON)) for _ in range(2)]
    before = [sleep_lock.calls for sleep_lock in sleep_locks]
    sleep_locks[1].release()

    for piece in pieces:
        assert piece.is_done.wait(SOON)
    assert before == [0, 1], "the second thread has to run first"
    assert sleep_locks[0].calls == 1


def test_a_thread_whose_waker_was_interrupted_takes_the_work_when_its_sleep_times_out(
    lender: Any, sleep_locks: list[SleepLock]
) -> None:
    """A Ctrl-C may come between assigning work to a thread and waking it."""
    thread = lender.do()
    lender.await_asleep(1)
    [sleep_lock] = sleep_locks
    sleep_lock.is_lost = True
    piece = lender.begin()

    sleep_lock.time_out()

    assert piece.is_done.wait(SOON)
    assert piece.thread is thread
    assert lender.do() is thread, "and the next wake-up works"


def test_work_that_is_queued_when_the_cache_is_closed_is_done(lender: Any, sleep_locks: list[SleepLock]) -> None:
    thread = lender.do()
    lender.await_asleep(1)
    sleep_locks[0].is_lost = True
    piece = lender.begin()

    lender.cache.close()
    sleep_locks[0].release()

    assert piece.is_done.wait(SOON)
    thread.join(SOON)
    assert piece.thread is thread
    assert not thread.is_alive()


def test_a_thread_that_becomes_free_does_the_work_if_no_new_one_can_be_started(
    lender: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 1. a thread works; there is no other, so the next piece needs a new one
    # 2. the thread becomes free and takes the piece
    # 3. the new thread is refused
    def refuse_late(self: threading.Thread) -> None:
        goes_on.set()
        assert lender.pieces[1].is_done.wait(SOON)
        raise RuntimeError("can't start new thread")

    goes_on = threading.Event()
    busy = lender.begin(lambda: goes_on.wait(SOON))
    monkeypatch.setattr(threading.Thread, "start", refuse_late)

    piece = lender.begin()

    monkeypatch.undo()
    assert piece.thread is busy.thread
    assert lender.do() is busy.thread, "it is not counted twice"


def test_work_may_be_started_from_a_finalizer_within_the_cache(lender: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector runs at any allocation, and finalizers execute foreign code."""

    class Collecting(deque[Any]):
        def append(self, work: Any) -> None:
            super().append(work)
            if not late:
                late.append(lender.Work())
                lender.cache.start(late[0])

    late: list[Any] = []
    monkeypatch.setattr(lender.cache, "_queue", Collecting())

    piece = lender.begin()

    assert piece.is_done.wait(SOON)
    assert late[0].is_done.wait(SOON)
