"""The cache of threads where everything comes at the worst moment: the order is forced, not hoped for."""

from __future__ import annotations

import threading
from collections import deque
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from taskloom.runners import thread_cache as thread_cache_module

SOON = 20.0


class Alarm:
    """What a thread sleeps on, with the time kept by the test: it sleeps until it is woken or told that it is over."""

    def __init__(self) -> None:
        self.is_late = False
        """Whether the next call finds the sleeper's time over, but not yet gone."""
        self.is_lost = False
        """Whether the next call is never heard."""
        self.calls = 0
        self.wakes = 0
        self._said: SimpleQueue[bool] = SimpleQueue()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if blocking and timeout < 0:
            return True  # as new
        try:
            is_called = self._said.get(timeout=SOON) if timeout > 0 else self._said.get_nowait()
        except Empty:
            return False
        if is_called and self.is_late:
            self.is_late = False
            self._said.put(True)
            return False
        self.wakes += is_called and blocking
        return is_called

    def release(self) -> None:
        self.calls += 1
        if not self.is_lost:
            self._said.put(True)
        self.is_lost = False

    def let_time_pass(self) -> None:
        """Have the sleeper find that it has slept long enough."""
        self._said.put(False)


@pytest.fixture
def alarms(lender: Any, monkeypatch: pytest.MonkeyPatch) -> list[Alarm]:
    """The alarms of all threads, in the order in which they began."""
    found: list[Alarm] = []

    def make() -> Alarm:
        found.append(Alarm())
        return found[-1]

    monkeypatch.setattr(thread_cache_module, "allocate_lock", make)
    return found


def two_idle_threads(lender: Any) -> list[threading.Thread | None]:
    """Return two threads; the second fell asleep last, and so is woken first."""
    goes_on = [threading.Event(), threading.Event()]
    pieces = [lender.begin(event.wait) for event in goes_on]
    for count, (piece, event) in enumerate(zip(pieces, goes_on, strict=True), 1):
        event.set()
        assert piece.has_left.wait(SOON)
        lender.await_asleep(count)
    return [piece.thread for piece in pieces]


def test_a_thread_whose_sleep_times_out_ends_and_gets_no_more_work(lender: Any, alarms: list[Alarm]) -> None:
    first, second = two_idle_threads(lender)
    assert second is not None

    alarms[1].let_time_pass()
    second.join(SOON)

    assert not second.is_alive()
    assert lender.do() is first


def test_work_that_is_started_when_the_thread_is_about_to_end_is_done(lender: Any, alarms: list[Alarm]) -> None:
    # 1. the thread has slept long enough: its waiting ends with a time-out, but it does not run yet
    # 2. somebody counts on it, and wakes it for work
    # 3. the thread goes on from the time-out, and finds itself awake: it must not end
    first = lender.do()
    lender.await_asleep(1)
    [alarm] = alarms
    alarm.is_late = True

    second = lender.do()
    lender.await_asleep(1)
    third = lender.do()

    assert not alarm.is_late
    assert second is first
    assert third is first
    assert alarm.wakes == 1, "the call that came late is heard once"


def test_a_thread_does_not_end_while_work_is_queued_for_another_woken_thread(lender: Any, alarms: list[Alarm]) -> None:
    # 1. the second thread is woken for work, and does not run yet
    # 2. the time of the first is over: it finds the work, and does it
    # 3. the second comes, finds nothing, and sleeps again
    threads = two_idle_threads(lender)
    alarms[1].is_lost = True
    piece = lender.begin()

    alarms[0].let_time_pass()

    assert piece.has_left.wait(SOON)
    assert piece.thread is threads[0]
    alarms[1].release()
    assert lender.do() in threads


def test_a_thread_that_becomes_free_takes_work_that_is_queued_for_a_woken_thread(
    lender: Any, alarms: list[Alarm]
) -> None:
    # 1. a thread works, another sleeps
    # 2. the sleeper is woken for new work, and does not run yet
    # 3. the first comes free, and takes the work
    # 4. the sleeper comes, finds nothing, and sleeps again
    goes_on = threading.Event()
    threads = two_idle_threads(lender)
    busy = lender.begin(lambda: goes_on.wait(SOON))
    alarms[0].is_lost = True
    piece = lender.begin()

    goes_on.set()

    assert piece.has_left.wait(SOON)
    assert busy.thread is piece.thread is threads[1]
    alarms[0].release()
    assert {lender.do(), lender.do()} <= set(threads)


def test_only_one_thread_is_woken_at_a_time(lender: Any, alarms: list[Alarm]) -> None:
    """A crowd that is woken at once would queue for the GIL, and most of it for nothing."""
    two_idle_threads(lender)
    alarms[1].is_lost = True
    meeting = threading.Barrier(2)
    pieces = [lender.begin(lambda: meeting.wait(SOON)) for _ in range(2)]
    before = [alarm.calls for alarm in alarms]
    alarms[1].release()

    for piece in pieces:
        assert piece.has_left.wait(SOON)
    assert before == [0, 1], "the second has to come first"
    assert alarms[0].calls == 1


def test_a_thread_whose_waker_was_interrupted_takes_the_work_when_its_sleep_times_out(
    lender: Any, alarms: list[Alarm]
) -> None:
    """A Ctrl-C may hit between counting on a thread and waking it."""
    thread = lender.do()
    lender.await_asleep(1)
    [alarm] = alarms
    alarm.is_lost = True
    piece = lender.begin()

    alarm.let_time_pass()

    assert piece.has_left.wait(SOON)
    assert piece.thread is thread
    assert lender.do() is thread, "and the next wake-up is made again"


def test_work_that_is_queued_when_the_cache_is_closed_is_done(lender: Any, alarms: list[Alarm]) -> None:
    thread = lender.do()
    lender.await_asleep(1)
    alarms[0].is_lost = True
    piece = lender.begin()

    lender.cache.close()
    alarms[0].release()

    assert piece.has_left.wait(SOON)
    thread.join(SOON)
    assert piece.thread is thread
    assert not thread.is_alive()


def test_a_thread_that_becomes_free_does_the_work_if_no_new_one_can_be_started(
    lender: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 1. a thread works; there is no other, so a new one is wanted for the next piece
    # 2. the thread comes free, and takes the piece
    # 3. the new thread is refused
    def refuse_late(self: threading.Thread) -> None:
        goes_on.set()
        assert lender.pieces[1].has_left.wait(SOON)
        raise RuntimeError("can't start new thread")

    goes_on = threading.Event()
    busy = lender.begin(lambda: goes_on.wait(SOON))
    monkeypatch.setattr(threading.Thread, "start", refuse_late)

    piece = lender.begin()

    monkeypatch.undo()
    assert piece.thread is busy.thread
    assert lender.do() is busy.thread, "it is not counted twice"


def test_work_may_be_started_from_a_finalizer_within_the_cache(lender: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector runs wherever something is allocated, and finalizers are anybody's code."""

    class Collecting(deque[Any]):
        def append(self, work: Any) -> None:
            super().append(work)
            if not late:
                late.append(lender.Work())
                lender.cache.start(late[0])

    late: list[Any] = []
    monkeypatch.setattr(lender.cache, "_queue", Collecting())

    piece = lender.begin()

    assert piece.has_left.wait(SOON)
    assert late[0].has_left.wait(SOON)
