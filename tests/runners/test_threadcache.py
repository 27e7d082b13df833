from __future__ import annotations

import contextvars
import functools
import gc
import sys
import threading
import weakref
from _thread import allocate_lock
from collections.abc import Callable, Iterator

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


def test_work_at_the_same_time_has_threads_of_its_own(lender: Lender) -> None:
    meeting = threading.Barrier(3)
    pieces = [lender.begin(lambda: meeting.wait(SOON)) for _ in range(3)]

    for piece in pieces:
        assert piece.has_left.wait(SOON)

    assert len({piece.thread for piece in pieces}) == 3
    assert not meeting.broken


def test_the_thread_that_came_back_last_goes_first(lender: Lender) -> None:
    """Those that are too many are so left alone, and end."""
    goes_on = [threading.Event() for _ in range(3)]
    pieces = [lender.begin(lambda event=event: event.wait(SOON)) for event in goes_on]  # type: ignore[misc]
    for number in (2, 0, 1):
        goes_on[number].set()
        assert pieces[number].has_left.wait(SOON)

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


def test_a_thread_ends_when_it_was_idle_long_enough(lender: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threadcache_module, "IDLE_SECONDS", 0.0)

    first = lender.do()
    first.join(SOON)
    second = lender.do()
    second.join(SOON)

    assert first is not second
    assert not first.is_alive()
    assert not second.is_alive()


class LateLock:
    """A lock that gives up waiting at the worst moment: when it could be had after all."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self.lies = 0

    def acquire(self, timeout: float = -1) -> bool:
        if timeout < 0:
            return self._lock.acquire()
        self._lock.acquire()
        if self.lies:
            self.lies -= 1
            self._lock.release()
            return False
        return True

    def release(self) -> None:
        self._lock.release()


def test_work_that_comes_when_the_thread_is_about_to_end_is_done(
    lender: Lender, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 1. the thread has been idle for long enough: its waiting ends with a time-out, but it does not run yet
    # 2. somebody takes it out of the cache, gives it work, and so frees its lock
    # 3. the thread goes on from the time-out, and finds itself taken: it must not end
    # 4. it waits again, and finds the work
    locks: list[LateLock] = []

    def make_lock() -> LateLock:
        locks.append(LateLock())
        return locks[-1]

    monkeypatch.setattr(threadcache_module, "allocate_lock", make_lock)
    first = lender.do()
    [lock] = locks
    lock.lies = 1

    second = lender.do()

    assert lock.lies == 0
    assert second is first


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


def test_work_that_is_given_to_a_thread_that_comes_back_to_a_closed_cache_is_done(
    lender: Lender, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 1. the cache is closed while the thread works
    # 2. the thread comes back: it stands in the cache, and sees that it was closed
    # 3. somebody takes it out of the cache, and gives it work (`close` would: the word to end)
    # 4. the thread wants to take itself out, and is too late: it must see what it was given
    def forget_late(thread: threadcache_module._KeptThread) -> bool:
        monkeypatch.undo()
        late.append(lender.begin())
        return lender.cache.forget(thread)

    late: list[Piece] = []
    monkeypatch.setattr(lender.cache, "forget", forget_late)
    thread = lender.do(lender.cache.close)
    thread.join(SOON)

    assert late[0].has_left.is_set()
    assert late[0].thread is thread
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

    assert caught.value.__context__ is None, "a run shows this error to people"
    assert (piece.thread, piece.has_left.is_set()) == (None, False)
    assert lender.do() is thread


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
