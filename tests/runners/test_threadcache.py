from __future__ import annotations

import contextvars
import functools
import gc
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from taskloom.runners import threadcache as threadcache_module
from taskloom.runners.threadcache import IDLE_NAME, ThreadCache

SOON = 20.0


class Piece:
    """A piece of work that notes its thread; `has_left` is set when the thread says that it is free."""

    def __init__(self, do: Callable[[], object] = lambda: None, name: str = "piece") -> None:
        self.name = name
        self.has_left = threading.Event()
        self.thread: threading.Thread | None = None
        self._do = do

    def execute(self) -> None:
        self.thread = threading.current_thread()
        self._do()

    def leave(self) -> None:
        self.has_left.set()


class Lender:
    """A cache whose threads are joined."""

    def __init__(self) -> None:
        self.cache = ThreadCache()
        self.pieces: list[Piece] = []

    def begin(self, do: Callable[[], object] = lambda: None, name: str = "piece") -> Piece:
        piece = Piece(do, name)
        self.pieces.append(piece)
        self.cache.start(piece)
        return piece

    def do(self, do: Callable[[], object] = lambda: None) -> threading.Thread:
        """See a piece of work done, and return its thread."""
        piece = self.begin(do)
        assert piece.has_left.wait(SOON)
        assert piece.thread is not None
        return piece.thread

    def await_asleep(self, count: int) -> None:
        """Wait until so many threads sleep; one does so a moment after it has said that it is free."""
        while len(self.cache._asleep) < count:
            pass

    def end(self) -> None:
        for piece in self.pieces:
            assert piece.has_left.wait(SOON)
        self.cache.close()
        assert self.cache.join(SOON)


@pytest.fixture
def lender() -> Iterator[Lender]:
    lender = Lender()

    yield lender

    lender.end()


def test_who_waits_for_one_and_starts_the_next_finds_the_thread_again(lender: Lender) -> None:
    threads = {lender.do() for _ in range(100)}

    assert len(threads) == 1


def test_the_thread_is_back_in_the_cache_when_it_says_that_it_is_free(lender: Lender) -> None:
    class Starting(Piece):
        def leave(self) -> None:
            lender.begin(lambda: threads.append(threading.current_thread()))
            super().leave()

    threads: list[threading.Thread] = []
    first = Starting()
    lender.cache.start(first)

    assert first.has_left.wait(SOON)
    assert lender.pieces[0].has_left.wait(SOON)

    assert threads == [first.thread]


def test_the_thread_that_came_back_last_goes_first(lender: Lender) -> None:
    """Those that are too many are so left alone, and end."""
    goes_on = [threading.Event() for _ in range(3)]
    pieces = [lender.begin(lambda event=event: event.wait(SOON)) for event in goes_on]  # type: ignore[misc]
    for count, number in enumerate((2, 0, 1), 1):
        goes_on[number].set()
        assert pieces[number].has_left.wait(SOON)
        lender.await_asleep(count)

    taken = [lender.do() for _ in range(3)]

    assert taken == [pieces[1].thread] * 3


def test_it_is_a_daemon_and_has_the_name_of_its_work_and_another_while_idle(lender: Lender) -> None:
    found: list[tuple[str, bool]] = []

    def look() -> None:
        found.append((threading.current_thread().name, threading.current_thread().daemon))
        threading.current_thread().name = "mine"

    thread = lender.do(look)
    idle = (thread.name, thread.is_alive())
    lender.do(look)

    assert found == [("piece", True), ("piece", True)]
    assert idle == (IDLE_NAME, True)


def test_thread_locals_carry_over_and_context_variables_do_not(lender: Lender) -> None:
    local = threading.local()
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="new")
    variable.set("the caller's")
    found: list[object] = []

    def spoil() -> None:
        local.value = variable.get()
        variable.set("old")

    lender.do(spoil)
    lender.do(lambda: found.extend([local.value, variable.get()]))

    assert found == ["new", "new"], "as in a new thread, which does not see the caller's either"


def test_what_a_new_thread_is_traced_by_traces_a_reused_one(lender: Lender) -> None:
    before = threading.gettrace()

    def trace(*arguments: object) -> None:
        """Trace nothing."""

    found: list[bool] = []
    lender.do()
    threading.settrace(trace)
    try:
        lender.do(lambda: found.append(sys.gettrace() is trace))
    finally:
        threading.settrace(before)
    lender.do(lambda: found.append(sys.gettrace() is trace))

    assert found == [True, False]


def test_an_idle_thread_holds_nothing_of_what_it_did(lender: Lender) -> None:
    class Big:
        """What a task may hold."""

    big = Big()
    reference = weakref.ref(big)
    piece = Piece(functools.partial(id, big))
    gc.disable()
    try:
        lender.cache.start(piece)
        assert piece.has_left.wait(SOON)
        lender.do()
        del piece, big
        assert reference() is None
    finally:
        gc.enable()


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
def alarms(lender: Lender, monkeypatch: pytest.MonkeyPatch) -> list[Alarm]:
    """The alarms of all threads, in the order in which they began."""
    found: list[Alarm] = []

    def make() -> Alarm:
        found.append(Alarm())
        return found[-1]

    monkeypatch.setattr(threadcache_module, "allocate_lock", make)
    return found


def two_idle_threads(lender: Lender) -> list[threading.Thread | None]:
    """Return two threads; the second fell asleep last, and so is woken first."""
    goes_on = [threading.Event(), threading.Event()]
    pieces = [lender.begin(event.wait) for event in goes_on]
    for count, (piece, event) in enumerate(zip(pieces, goes_on, strict=True), 1):
        event.set()
        assert piece.has_left.wait(SOON)
        lender.await_asleep(count)
    return [piece.thread for piece in pieces]


def test_a_thread_ends_when_its_time_is_over_and_is_counted_on_no_more(lender: Lender, alarms: list[Alarm]) -> None:
    first, second = two_idle_threads(lender)
    assert second is not None

    alarms[1].let_time_pass()
    second.join(SOON)

    assert not second.is_alive()
    assert lender.do() is first


def test_work_that_comes_when_the_thread_is_about_to_end_is_done(lender: Lender, alarms: list[Alarm]) -> None:
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


def test_a_thread_does_not_end_while_work_waits_for_another_that_was_woken(lender: Lender, alarms: list[Alarm]) -> None:
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


def test_a_thread_that_comes_free_takes_what_waits_for_one_that_was_woken(lender: Lender, alarms: list[Alarm]) -> None:
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


def test_threads_are_woken_one_after_the_other(lender: Lender, alarms: list[Alarm]) -> None:
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


def test_a_thread_whose_waker_was_struck_down_comes_when_its_time_is_over(lender: Lender, alarms: list[Alarm]) -> None:
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


@pytest.mark.parametrize("count", [2, 12])
def test_no_work_waits_for_the_end_of_another_whether_threads_are_new_or_idle(lender: Lender, count: int) -> None:
    for _ in range(3):
        meeting = threading.Barrier(count)
        pieces = [lender.begin(lambda: meeting.wait(SOON)) for _ in range(count)]  # noqa: B023 - they end in here

        for piece in pieces:
            assert piece.has_left.wait(SOON)
        assert not meeting.broken

    assert len({piece.thread for piece in lender.pieces}) == count


def test_closing_ends_the_idle_threads_at_once_and_the_others_after_their_work(lender: Lender) -> None:
    goes_on = threading.Event()
    busy = lender.begin(lambda: goes_on.wait(SOON))
    idle = lender.do()

    lender.cache.close()
    lender.cache.close()
    is_over = lender.cache.join(SOON)
    alive = [idle.is_alive(), busy.thread is not None and busy.thread.is_alive()]
    goes_on.set()
    assert busy.has_left.wait(SOON)

    assert (is_over, alive) == (True, [False, True])
    assert lender.cache.join(SOON)
    assert busy.thread is not None
    assert not busy.thread.is_alive()


def test_a_thread_that_comes_back_to_a_closed_cache_ends(lender: Lender) -> None:
    thread = lender.do(lender.cache.close)
    thread.join(SOON)

    assert not thread.is_alive()


def test_work_that_waits_when_the_cache_is_closed_is_done(lender: Lender, alarms: list[Alarm]) -> None:
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


def test_after_the_close_work_is_done_in_new_threads(lender: Lender) -> None:
    lender.do()
    lender.cache.close()

    threads = [lender.do(), lender.do()]

    assert threads[0] is not threads[1]


def test_a_thread_that_is_not_to_be_had_is_an_error_and_leaves_nothing_behind(
    lender: Lender, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    piece = Piece()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread") as caught:
            lender.cache.start(piece)
    thread = lender.do()
    monkeypatch.setattr(threading.Thread, "start", None)

    assert caught.value.__context__ is None, "a run shows this error to people"
    assert (piece.thread, piece.has_left.is_set()) == (None, False)
    assert lender.do() is thread, "nothing is short that is not"


def test_where_no_thread_is_to_be_had_one_that_has_come_free_does_the_work(
    lender: Lender, monkeypatch: pytest.MonkeyPatch
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


def test_an_idle_thread_serves_where_a_new_one_is_not_to_be_had(
    lender: Lender, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = lender.do()
    monkeypatch.setattr(threading.Thread, "start", None)

    assert lender.do() is thread


def test_work_that_raises_ends_its_thread_and_nothing_else(lender: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: raised.append(arguments.exc_value))

    def fail() -> None:
        raise ZeroDivisionError

    first = lender.do(fail)
    first.join(SOON)
    second = lender.do()

    assert not first.is_alive()
    assert [type(error) for error in raised] == [ZeroDivisionError]
    assert second is not first


def test_whoever_starts_at_once_gets_each_piece_done_once(lender: Lender, fast_switching: None) -> None:
    """With threads that give up being idle at once, so that the end of one meets the next start all the time."""
    done: list[int] = []
    patience = threadcache_module.IDLE_SECONDS
    threadcache_module.IDLE_SECONDS = 0.0
    try:

        def start(first: int) -> None:
            for number in range(first, first + 100):
                lender.begin(lambda number=number: done.append(number))  # type: ignore[misc]

        starters = [threading.Thread(target=start, args=(first,)) for first in (0, 100, 200)]
        for starter in starters:
            starter.start()
        for starter in starters:
            starter.join(SOON)
        for piece in lender.pieces:
            assert piece.has_left.wait(SOON)
    finally:
        threadcache_module.IDLE_SECONDS = patience

    assert sorted(done) == list(range(300))


def test_work_may_be_started_from_a_finalizer_within_the_cache(lender: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector runs wherever something is allocated, and finalizers are anybody's code."""

    class Collecting(deque[Any]):
        def append(self, work: Any) -> None:
            super().append(work)
            if not late:
                late.append(Piece())
                lender.cache.start(late[0])

    late: list[Piece] = []
    monkeypatch.setattr(lender.cache, "_waiting", Collecting())

    piece = lender.begin()

    assert piece.has_left.wait(SOON)
    assert late[0].has_left.wait(SOON)
