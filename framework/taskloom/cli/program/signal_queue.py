"""The queue that the main thread waits on: signal numbers, and messages about the scheduler.

`queue.SimpleQueue` alone is not enough. A signal that arrives after the interpreter has last checked for signals, and
before the thread sleeps in C, interrupts nothing: its Python handler runs only when something else wakes the thread
(about one in a hundred, for a signal sent just as the wait begins). By then the C half of the signal handling has
written the number into the wakeup descriptor, which the watcher process reads. The watcher sends an echo, the echo
wakes the main thread out of `poll`, and the handler runs.
"""

from __future__ import annotations

import os
import select
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from taskloom.clock import mono
from taskloom.sync.wakeup_fd import WakeupFd

__all__ = ["SignalQueue"]

Item = TypeVar("Item")

# Without echoes (the watcher was killed from outside, or its pipe was closed), a signal is handled after this time at
# the latest.
POLL_SECONDS = 1.0


class SignalQueue(Generic[Item]):
    """A queue with one reader. `put` may be called from any thread and from a signal handler."""

    def __init__(self) -> None:
        self._items: SimpleQueue[Item] = SimpleQueue()
        self._wakeup: WakeupFd | None = WakeupFd()
        self._poller = select.poll()
        self._poller.register(self._wakeup, select.POLLIN)
        self._echo: int | None = None

    def wake_on(self, echo: int) -> None:
        """Also wake up when the descriptor `echo` is readable."""
        os.set_blocking(echo, False)
        self._echo = echo
        self._poller.register(echo, select.POLLIN)

    def put(self, item: Item) -> None:
        """Append an item; never blocks."""
        self._items.put(item)
        wakeup = self._wakeup
        if wakeup is not None:
            try:
                wakeup.set()
            except OSError:
                pass  # its descriptor was closed: the reader finds the item when it polls next

    def get(self, timeout: float = float("inf")) -> Item | None:
        """Wait for an item and return it; None after `timeout` seconds. Called by the main thread only."""
        deadline = mono() + timeout
        while True:
            try:
                return self._items.get_nowait()
            except Empty:
                pass  # not waiting in here: the traceback of what a signal handler raises would begin with Empty
            left = deadline - mono()
            if left <= 0:
                return None
            self._sleep(left)

    def _sleep(self, longest: float) -> None:
        if self._echo is None:
            longest = min(longest, POLL_SECONDS)
        try:
            self._poller.poll(None if longest == float("inf") else longest * 1000)
            if self._wakeup is not None:
                self._wakeup.clear()
            if self._echo is not None and self._is_at_end(self._echo):
                self._poller.unregister(self._echo)
                self._echo = None
        except OSError:  # code that closes all descriptors, as daemons do, has closed ours: go on without them
            self._poller, self._echo, self._wakeup = select.poll(), None, None

    def _is_at_end(self, echo: int) -> bool:
        """Read the echoes; return whether the watcher has closed its end."""
        try:
            return not os.read(echo, 4096)
        except BlockingIOError:
            return False
