"""The queue of the main thread: an item, an echo or a timeout wakes its reader."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from taskloom.cli.program import signal_queue as module
from taskloom.cli.program.signal_queue import SignalQueue

SOON = 20.0


class Reader:
    """Waits for one item on a thread of its own."""

    def __init__(self, queue: SignalQueue[str]) -> None:
        self.got: list[str | None] = []
        self._thread = threading.Thread(target=lambda: self.got.append(queue.get()))
        self._thread.start()

    def end(self) -> list[str | None]:
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


def test_an_echo_wakes_a_reader_that_slept_before_its_signal_handler_could_run(pipe: tuple[int, int]) -> None:
    """
    1. the reader finds the queue empty
    2. a signal arrives: C code notes its number, and its handler is due when the reader next runs Python
    3. the reader sleeps in poll, which nothing interrupts any more
    4. the echo wakes the reader, and the handler puts its item: here an item without a wakeup stands for that
    """
    queue: SignalQueue[str] = SignalQueue()
    queue.wake_on(pipe[0])
    reader = Reader(queue)

    queue._items.put("TERM")
    os.write(pipe[1], b".")

    assert reader.end() == ["TERM"]


def test_without_echoes_the_reader_polls_by_itself(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    queue: SignalQueue[str] = SignalQueue()
    queue.wake_on(pipe[0])
    reader = Reader(queue)

    os.close(pipe[1])
    queue._items.put("TERM")

    assert reader.end() == ["TERM"]


def test_items_keep_their_order() -> None:
    queue: SignalQueue[int] = SignalQueue()

    for item in range(3):
        queue.put(item)

    assert [queue.get() for _ in range(3)] == [0, 1, 2]
