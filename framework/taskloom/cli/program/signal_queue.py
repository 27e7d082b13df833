"""The queue that the main thread waits on: signals, and messages about the scheduler.

The watcher sees each signal first, since the C half of the signal handling writes its number into the wakeup
descriptor at once. It tells the main thread the signal with the time of its arrival; only that counts. The Python
handler may run much later, for many signals at once, or not before something else wakes the thread: a signal that
arrives after the interpreter has last checked for signals, and before the thread sleeps in C, interrupts nothing.

The handler still notes each signal. If the watcher does not answer a note soon (it was stopped or killed, or a library
has taken the wakeup descriptor), the signal counts without it.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from taskloom.cli.program.signals import PENDING_SECONDS, Signal
from taskloom.cli.program.watch_pipes import Told
from taskloom.clock import mono
from taskloom.sync.own_descriptor import OwnDescriptor
from taskloom.sync.wakeup_fd import WakeupFd

__all__ = ["SignalQueue"]

Item = TypeVar("Item")

# How long the watcher may take to answer. It takes less than a millisecond, unless the machine is busy.
ANSWER_SECONDS = 0.25
# Without the watcher, a signal is handled after this time at the latest.
POLL_SECONDS = 1.0


class SignalQueue(Generic[Item]):
    """A queue with one reader. `put` may be called from any thread, `note` from a signal handler."""

    def __init__(self) -> None:
        self._items: SimpleQueue[Item] = SimpleQueue()
        self._notes: SimpleQueue[Signal] = SimpleQueue()
        # The rest belongs to the reader.
        self._arrived: deque[Signal] = deque()
        self._unanswered: dict[int, float] = {}
        self._answered_alone: dict[int, float] = {}
        self._wakeup: WakeupFd | None = WakeupFd()
        self._poller = select.poll()
        self._poller.register(self._wakeup, select.POLLIN)
        self._echo: int | None = None
        self._echo_file: OwnDescriptor | None = None

    def listen_to(self, echo: int, when_lost: Callable[[], None]) -> None:
        """Take the signals that the watcher tells in the descriptor `echo`. At its end, `get` calls `when_lost`."""
        os.set_blocking(echo, False)
        self._echo, self._echo_file = echo, OwnDescriptor(echo)
        self._when_lost = when_lost
        self._poller.register(echo, select.POLLIN)

    def put(self, item: Item) -> None:
        """Append an item; never blocks."""
        self._items.put(item)
        self._wake()

    def note(self, number: int) -> None:
        """Note that the handler of a signal runs; it may interrupt the reader at any point."""
        self._notes.put(Signal(number, mono()))
        self._wake()

    def _wake(self) -> None:
        wakeup = self._wakeup
        if wakeup is not None:
            try:
                wakeup.set()
            except OSError:
                pass  # its descriptor was closed: the reader finds the item when it polls next

    def arrived(self) -> list[int]:
        """Return the numbers of the signals that `get` will return, without waiting. Called by the reader."""
        self._read_signals()
        return [signal.number for signal in self._arrived]

    def get(self, timeout: float = float("inf")) -> Item | Signal | None:
        """Wait for an item or a signal and return it; None after `timeout` seconds. Called by the main thread only."""
        deadline = mono() + timeout
        while True:
            if self._arrived:
                return self._arrived.popleft()
            try:
                return self._items.get_nowait()
            except Empty:
                pass  # not waiting in here: the traceback of what a signal handler raises would begin with Empty
            left = deadline - mono()
            if left <= 0:
                return None
            self._sleep(min(left, self._longest_sleep()))
            self._read_signals()

    def _longest_sleep(self) -> float:
        """Return after how many seconds there is something to do, even if nothing wakes the reader."""
        if self._echo is None or self._wakeup is None:
            return POLL_SECONDS
        if not self._unanswered:
            return float("inf")
        return max(0.0, min(self._unanswered.values()) + ANSWER_SECONDS - mono())

    def _sleep(self, longest: float) -> None:
        try:
            self._poller.poll(None if longest == float("inf") else longest * 1000)
            if self._wakeup is not None:
                self._wakeup.clear()
        except OSError:  # code that closes all descriptors, as daemons do, has closed ours: go on without it
            self._poller, self._wakeup = select.poll(), None
            if self._echo is not None:
                self._poller.register(self._echo, select.POLLIN)

    def _read_signals(self) -> None:
        told = self._read_echo()
        # After the echo was read. The handler of a signal runs before the next line at the latest, since C code has
        # marked it before the watcher could see it: so the note of whatever was told is there.
        while not self._notes.empty():
            number, at = self._notes.get_nowait()
            self._unanswered.setdefault(number, at)
        for one in told:
            self._take(one)
        self._go_on_alone()

    def _read_echo(self) -> list[Told]:
        if self._echo is None:
            return []
        # Code that closes all descriptors has closed it, and the number may belong to another file.
        is_ours = self._echo_file is not None and self._echo_file.is_ours()
        told = Told.read(self._echo) if is_ours else None
        if told is not None:
            return told
        self._poller.unregister(self._echo)
        self._echo = None
        self._when_lost()
        return []

    def _take(self, told: Told) -> None:
        if told.is_direct:
            if self._answered_alone.pop(told.number, 0.0) > mono():
                return
            self._unanswered.pop(told.number, None)
        if told.counts:
            self._arrived.append(Signal(told.number, told.at))

    def _go_on_alone(self) -> None:
        """Let the signals count that the watcher has not answered in time."""
        now = mono()
        for number, at in list(self._unanswered.items()):
            if self._echo is None:
                del self._unanswered[number]
                self._arrived.append(Signal(number, at))
            elif now >= at + ANSWER_SECONDS:
                del self._unanswered[number]
                self._answered_alone[number] = now + PENDING_SECONDS
                self._arrived.append(Signal(number, at))
