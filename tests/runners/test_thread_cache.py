from __future__ import annotations

import contextvars
import functools
import gc
import sys
import threading
import weakref
from typing import Any

import pytest

from taskloom.runners import thread_cache as thread_cache_module
from taskloom.runners.thread_cache import IDLE_THREAD_NAME

SOON = 20.0


def test_a_caller_that_waits_for_one_run_and_starts_the_next_gets_the_same_thread(lender: Any) -> None:
    threads = {lender.do() for _ in range(100)}

    assert len(threads) == 1


def test_the_thread_is_back_in_the_cache_when_thread_freed_is_called(lender: Any) -> None:
    def leave() -> None:
        lender.begin(lambda: threads.append(threading.current_thread()))
        first.is_done.set()

    threads: list[threading.Thread] = []
    first = lender.Work()
    first.thread_freed = leave
    lender.cache.start(first)

    assert first.is_done.wait(SOON)
    assert lender.pieces[0].is_done.wait(SOON)

    assert threads == [first.thread]


def test_the_thread_that_fell_asleep_last_is_woken_first(lender: Any) -> None:
    """So surplus threads keep sleeping, and end."""
    goes_on = [threading.Event() for _ in range(3)]
    pieces = [lender.begin(lambda event=event: event.wait(SOON)) for event in goes_on]
    for count, number in enumerate((2, 0, 1), 1):
        goes_on[number].set()
        assert pieces[number].is_done.wait(SOON)
        lender.await_asleep(count)

    taken = [lender.do() for _ in range(3)]

    assert taken == [pieces[1].thread] * 3


def test_a_thread_is_a_daemon_and_has_the_name_of_its_work_until_it_is_idle(lender: Any) -> None:
    found: list[tuple[str, bool]] = []

    def read_name() -> None:
        found.append((threading.current_thread().name, threading.current_thread().daemon))
        threading.current_thread().name = "mine"

    thread = lender.do(read_name)
    idle = (thread.name, thread.is_alive())
    lender.do(read_name)

    assert found == [("piece", True), ("piece", True)]
    assert idle == (IDLE_THREAD_NAME, True)


def test_thread_locals_carry_over_and_context_variables_do_not(lender: Any) -> None:
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


def test_a_reused_thread_has_the_trace_function_of_a_new_thread(lender: Any) -> None:
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


def test_an_idle_thread_keeps_no_reference_to_its_work(lender: Any) -> None:
    class Big:
        """An object that must not be kept."""

    big = Big()
    reference = weakref.ref(big)
    piece = lender.Work(functools.partial(id, big))
    gc.disable()
    try:
        lender.cache.start(piece)
        assert piece.is_done.wait(SOON)
        lender.do()
        del piece, big
        assert reference() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("count", [2, 12])
def test_no_work_waits_for_other_work_to_end_with_new_or_idle_threads(lender: Any, count: int) -> None:
    for _ in range(3):
        meeting = threading.Barrier(count)
        pieces = [lender.begin(lambda: meeting.wait(SOON)) for _ in range(count)]  # noqa: B023 - they end in here

        for piece in pieces:
            assert piece.is_done.wait(SOON)
        assert not meeting.broken

    assert len({piece.thread for piece in lender.pieces}) == count


def test_closing_ends_the_idle_threads_at_once_and_the_others_after_their_work(lender: Any) -> None:
    goes_on = threading.Event()
    busy = lender.begin(lambda: goes_on.wait(SOON))
    idle = lender.do()

    lender.cache.close()
    lender.cache.close()
    is_over = lender.cache.join(SOON)
    alive = [idle.is_alive(), busy.thread is not None and busy.thread.is_alive()]
    goes_on.set()
    assert busy.is_done.wait(SOON)

    assert (is_over, alive) == (True, [False, True])
    assert lender.cache.join(SOON)
    assert busy.thread is not None
    busy.thread.join(
        SOON
    )  # from Python 3.13 on a thread is alive for a moment after it was removed from threading.enumerate()
    assert not busy.thread.is_alive()


def test_a_thread_that_finishes_its_work_after_close_ends(lender: Any) -> None:
    thread = lender.do(lender.cache.close)
    thread.join(SOON)

    assert not thread.is_alive()


def test_after_close_work_is_done_in_new_threads(lender: Any) -> None:
    lender.do()
    lender.cache.close()

    threads = [lender.do(), lender.do()]

    assert threads[0] is not threads[1]


def test_a_thread_that_cannot_be_started_is_an_error_and_leaves_no_trace(
    lender: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    piece = lender.Work()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread") as caught:
            lender.cache.start(piece)
    thread = lender.do()
    monkeypatch.setattr(threading.Thread, "start", None)

    assert caught.value.__context__ is None, "the error of the run shows no other error as its context"
    assert (piece.thread, piece.is_done.is_set()) == (None, False)
    assert lender.do() is thread, "the count of threads is right again"


def test_an_idle_thread_does_the_work_if_no_new_one_can_be_started(
    lender: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = lender.do()
    monkeypatch.setattr(threading.Thread, "start", None)

    assert lender.do() is thread


def test_work_that_raises_ends_only_its_thread(lender: Any, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_work_that_several_threads_start_at_once_is_done_exactly_once(lender: Any, fast_switching: None) -> None:
    """Idle threads end at once, so that ends and starts race all the time."""
    done: list[int] = []
    idle_seconds = thread_cache_module.IDLE_SECONDS
    thread_cache_module.IDLE_SECONDS = 0.0
    try:

        def start(first: int) -> None:
            for number in range(first, first + 100):
                lender.begin(lambda number=number: done.append(number))

        starters = [threading.Thread(target=start, args=(first,)) for first in (0, 100, 200)]
        for starter in starters:
            starter.start()
        for starter in starters:
            starter.join(SOON)
        for piece in lender.pieces:
            assert piece.is_done.wait(SOON)
    finally:
        thread_cache_module.IDLE_SECONDS = idle_seconds

    assert sorted(done) == list(range(300))
