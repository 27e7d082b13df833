"""The main thread's mailbox: woken by a word, by an echo, and in the end by itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from taskloom.cli.program import signal_queue as module
from taskloom.cli.program.signal_queue import SignalQueue

SOON = 20.0


class Reader:
    """Waits for one word on a thread of its own."""

    def __init__(self, mailbox: SignalQueue[str]) -> None:
        self.got: list[str] = []
        self._thread = threading.Thread(target=lambda: self.got.append(mailbox.get()))
        self._thread.start()

    def end(self) -> list[str]:
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


def test_a_word_wakes_the_reader() -> None:
    mailbox: SignalQueue[str] = SignalQueue()
    reader = Reader(mailbox)

    mailbox.put("word")

    assert reader.end() == ["word"]
    assert mailbox.is_empty()


def test_an_echo_wakes_a_reader_whose_signal_handler_came_too_late_to(pipe: tuple[int, int]) -> None:
    """
    1. the reader looks for words, and finds none
    2. a signal comes: its number is noted in C, its handler is due when the reader next runs Python
    3. the reader falls asleep in poll, which nothing interrupts any more
    4. the echo wakes it, and the handler leaves its word: here a word without a ring stands for that
    """
    mailbox: SignalQueue[str] = SignalQueue()
    mailbox.listen(pipe[0])
    reader = Reader(mailbox)

    mailbox._words.put("TERM")
    os.write(pipe[1], b".")

    assert reader.end() == ["TERM"]


def test_without_an_echo_the_reader_looks_by_itself(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    mailbox: SignalQueue[str] = SignalQueue()
    mailbox.listen(pipe[0])
    reader = Reader(mailbox)

    os.close(pipe[1])
    mailbox._words.put("TERM")

    assert reader.end() == ["TERM"]


def test_words_come_in_their_order() -> None:
    mailbox: SignalQueue[int] = SignalQueue()

    for word in range(3):
        mailbox.put(word)

    assert [mailbox.get() for _ in range(3)] == [0, 1, 2]
