"""Who is told of events: each listener on a thread of its own, behind a bounded queue of its own.

A listener that is slow loses its own oldest-to-come events, one that raises loses that event; both are counted,
and neither is felt by the scheduler or by another listener.
"""

from __future__ import annotations

import threading
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable

from taskloom.core.events import Event
from taskloom.runners.error_info import describe
from taskloom.sync.latch import Latch

__all__ = ["QUEUE_LIMIT", "Listener"]

# About 20 MiB of events: minutes of a busy program, and a bound.
QUEUE_LIMIT = 100_000


class Listener:
    """One registered callback. `dropped` and `failed` count the events that it lost."""

    def __init__(self, callback: Callable[[Event], object], limit: int = QUEUE_LIMIT) -> None:
        self.dropped = 0
        self.failed = 0
        self.last_error = ""
        self._callback = callback
        self._limit = limit
        # A latch among the events is opened when all before it were delivered.
        self._events: deque[Event | Latch] = deque()
        self._signal = allocate_lock()
        self._signal.acquire()
        self._is_closing = False
        self._ended = Latch()
        self._thread = threading.Thread(target=self._deliver, name="taskloom-listener", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Queue an event; never blocks. Only the scheduler calls it, one event at a time."""
        if self._is_closing:
            return
        if len(self._events) >= self._limit:
            self.dropped += 1
            return
        self._events.append(event)
        self._ring()

    def flush(self, timeout: float | None = 1.0) -> bool:
        """Wait so many seconds until the events queued so far are delivered. True when they were."""
        if threading.get_ident() == self._thread.ident:
            return not self._events
        if self._is_closing:
            return self._ended.wait(timeout)
        mark = Latch()
        self._events.append(mark)
        self._ring()
        return mark.wait(timeout)

    def close(self, timeout: float | None = 1.0) -> bool:
        """Take no more events; wait so many seconds until the queued ones are delivered. True when they were."""
        self._is_closing = True
        self._ring()
        if threading.get_ident() == self._thread.ident:
            return not self._events
        return self._ended.wait(timeout)

    def _ring(self) -> None:
        # A binary semaphore: releasing it twice is releasing it once.
        try:
            self._signal.release()
        except RuntimeError:
            pass

    def _deliver(self) -> None:
        events = self._events
        while True:
            while events:
                self._hand_on(events.popleft())
            if self._is_closing:
                break
            self._signal.acquire()
        self._ended.open()

    def _hand_on(self, event: Event | Latch) -> None:
        if isinstance(event, Latch):
            event.open()
            return
        try:
            self._callback(event)
        except BaseException as error:  # noqa: BLE001 - a listener is somebody else's code
            self.failed += 1
            self.last_error = str(describe(error))  # its own __str__ may raise as well
