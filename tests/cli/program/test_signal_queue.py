"""The queue of the main thread: an item, an answer of the watcher or a timeout wakes its reader."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from taskloom.cli.program import signal_queue as module
from taskloom.cli.program.signal_queue import SignalQueue
from taskloom.cli.program.signals import Signal
from taskloom.cli.program.watch_pipes import Told

SOON = 20.0
TERM = signal.SIGTERM


class Reader:
    """Waits for one item on a thread of its own."""

    def __init__(self, queue: SignalQueue[str]) -> None:
        self.got: list[str | Signal | None] = []
        self._thread = threading.Thread(target=lambda: self.got.append(queue.get()))
        self._thread.start()

    def end(self) -> list[str | Signal | None]:
        self._thread.join(SOON)
        assert not self._thread.is_alive()
        return self.got


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """An echo pipe: (reading, writing)."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    try:
        os.close(writing)
    except OSError:
        pass  # the test closed it


def test_an_item_wakes_the_reader() -> None:
    queue: SignalQueue[str] = SignalQueue()
    reader = Reader(queue)

    queue.put("TERM")

    assert reader.end() == ["TERM"]


@pytest.fixture
def lost() -> list[str]:
    """What was noted when the watcher ended."""
    return []


@pytest.fixture
def queue(pipe: tuple[int, int], lost: list[str]) -> SignalQueue[str]:
    """A queue whose watcher writes into the pipe."""
    queue: SignalQueue[str] = SignalQueue()
    queue.listen_to(pipe[0], lambda: lost.append("lost"))
    return queue


def tell(pipe: tuple[int, int], at: float, *, is_direct: bool = True, counts: bool = True, number: int = TERM) -> None:
    os.write(pipe[1], Told(number, at, is_direct, counts).encoded())


def test_the_watcher_wakes_a_reader_that_slept_before_its_signal_handler_could_run(
    queue: SignalQueue[str], pipe: tuple[int, int]
) -> None:
    """
    1. the reader finds the queue empty
    2. a signal arrives: C code notes its number, and its handler is due when the reader next runs Python
    3. the reader sleeps in poll, which nothing interrupts any more
    4. what the watcher tells wakes the reader
    """
    reader = Reader(queue)

    tell(pipe, 7.0)

    assert reader.end() == [Signal(TERM, 7.0)]


def test_a_signal_counts_once_however_its_handler_and_its_answer_come(
    queue: SignalQueue[str], pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "mono", lambda: 8.0)
    queue.note(TERM)
    tell(pipe, 7.0)
    assert queue.arrived() == [TERM]

    monkeypatch.setattr(module, "mono", lambda: 1000.0)

    assert queue.arrived() == [TERM]
    assert queue.get() == Signal(TERM, 7.0)


def test_a_copy_is_answered_and_does_not_count(
    queue: SignalQueue[str], pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "mono", lambda: 8.0)
    tell(pipe, 2.0, is_direct=False)
    queue.note(TERM)
    tell(pipe, 7.0, counts=False)
    assert queue.arrived() == [TERM]

    monkeypatch.setattr(module, "mono", lambda: 1000.0)

    assert queue.arrived() == [TERM]
    assert queue.get() == Signal(TERM, 2.0)


def test_a_watcher_that_does_not_answer_is_not_waited_for(
    queue: SignalQueue[str], pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.01)
    reader = Reader(queue)

    queue.note(TERM)

    [got] = reader.end()
    assert isinstance(got, Signal)
    assert got.number == TERM
    tell(pipe, got.at + 9.0)  # it answers late: the same signal
    tell(pipe, got.at + 10.0)  # and this is another
    assert queue.arrived() == [TERM]


def test_an_answer_that_never_came_does_not_hide_a_signal_for_ever(
    queue: SignalQueue[str], pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 50.0
    monkeypatch.setattr(module, "mono", lambda: now)
    queue.note(TERM)
    queue.arrived()
    now = 51.0
    assert queue.get() == Signal(TERM, 50.0) if queue.arrived() else False

    now = 70.0
    queue.note(TERM)
    tell(pipe, 70.0)

    assert queue.arrived() == [TERM]


def test_without_the_watcher_signals_count_at_once_and_its_loss_is_noted_once(
    queue: SignalQueue[str], pipe: tuple[int, int], lost: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "mono", lambda: 8.0)
    queue.note(TERM)
    assert queue.arrived() == []

    os.close(pipe[1])

    assert queue.arrived() == [TERM]
    queue.note(signal.SIGHUP)
    assert queue.arrived() == [TERM, signal.SIGHUP]
    assert lost == ["lost"]


def test_without_the_watcher_the_reader_polls_by_itself(
    queue: SignalQueue[str], pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    reader = Reader(queue)

    os.close(pipe[1])
    queue._notes.put(Signal(TERM, 7.0))  # without a wakeup: its handler runs when the reader next runs Python

    assert reader.end() == [Signal(TERM, 7.0)]


def test_items_keep_their_order() -> None:
    queue: SignalQueue[int] = SignalQueue()

    for item in range(3):
        queue.put(item)

    assert [queue.get() for _ in range(3)] == [0, 1, 2]


def test_a_wait_may_be_bounded(queue: SignalQueue[str]) -> None:
    assert queue.get(0.001) is None
    queue.put("item")
    assert queue.get(0.001) == "item"


def test_a_queue_whose_descriptors_were_closed_goes_on_by_polling(
    queue: SignalQueue[str], lost: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    assert queue._wakeup is not None
    reading, writing = os.pipe()
    os.dup2(reading, queue._wakeup.fileno())  # what a library opens next gets the number
    os.close(writing)
    wakeup = queue._wakeup.fileno()
    os.close(wakeup)
    reader = Reader(queue)

    queue.put("item")

    assert reader.end() == ["item"]
    os.close(reading)
