"""What the main thread waits on: signal numbers, and word from the scheduler.

A plain queue will not do. A signal that comes after the interpreter's last look at its signals, and before the
thread has gone to sleep in C, interrupts nothing: its Python handler waits until something else wakes the thread
(about one in a hundred, for a signal sent just as the wait begins). The C half of the handling has by then written
the number into the wake-up descriptor, which the watcher process reads; the watcher sends an echo, the echo wakes
the main thread out of `poll`, and the handler runs.
"""

from __future__ import annotations

import os
import select
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from taskloom.sync.wakeup_fd import WakeupFd

__all__ = ["SignalQueue"]

Word = TypeVar("Word")

# Where there is no echo (the watcher was killed from outside), a signal waits no longer than this.
LOOK_SECONDS = 1.0


class SignalQueue(Generic[Word]):
    """Words for one reader. `put` may be called from any thread and from a signal handler."""

    def __init__(self) -> None:
        self._words: SimpleQueue[Word] = SimpleQueue()
        self._bell = WakeupFd()
        self._poller = select.poll()
        self._poller.register(self._bell, select.POLLIN)
        self._echo: int | None = None

    def listen(self, echo: int) -> None:
        """Be woken by that descriptor too."""
        os.set_blocking(echo, False)
        self._echo = echo
        self._poller.register(echo, select.POLLIN)

    def put(self, word: Word) -> None:
        """Leave a word; never blocks."""
        self._words.put(word)
        self._bell.set()

    def is_empty(self) -> bool:
        """Tell whether nothing waits."""
        return self._words.empty()

    def get(self) -> Word:
        """Wait for a word. Only the main thread calls it."""
        while True:
            try:
                return self._words.get_nowait()
            except Empty:
                self._sleep()

    def _sleep(self) -> None:
        self._poller.poll(None if self._echo is not None else LOOK_SECONDS * 1000)
        self._bell.clear()
        if self._echo is not None and self._is_over(self._echo):
            self._poller.unregister(self._echo)
            self._echo = None

    def _is_over(self, echo: int) -> bool:
        """Read the echoes; return whether no more will come."""
        try:
            return not os.read(echo, 4096)
        except BlockingIOError:
            return False
