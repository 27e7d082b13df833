"""Delivers events to listeners: each listener has a thread and a bounded queue of its own.

A slow listener with a full queue loses the newest events; a listener that raises loses that event. Both are counted,
and neither affects the scheduler or another listener.
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
    """One registered callback.

    `dropped` counts the events lost to a full queue, `failed` those at which the callback raised.
    """

    def __init__(self, callback: Callable[[Event], object], limit: int = QUEUE_LIMIT) -> None:
        self.dropped = 0
        self.failed = 0
        self.last_error = ""
        self._callback = callback
        self._limit = limit
        # A latch between events is a marker of `flush`: it is opened when all events before it are delivered.
        self._events: deque[Event | Latch] = deque()
        # A binary semaphore: free from when an event is queued until the thread has noticed.
        self._signal = allocate_lock()
        self._signal.acquire()
        self._is_closing = False
        self._ended = Latch()
        self._thread = threading.Thread(target=self._deliver_all, name="taskloom-listener", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Queue an event; never blocks. Only the scheduler calls it, one event at a time."""
        if self._is_closing:
            return
        if len(self._events) >= self._limit:
            self.dropped += 1
            return
        self._events.append(event)
        self._wake()

    def flush(self, timeout: float | None = 1.0) -> bool:
        """Wait until the events queued so far are delivered; return False after `timeout` seconds."""
        if threading.get_ident() == self._thread.ident:
            return not self._events
        if self._is_closing:
            return self._ended.wait(timeout)
        marker = Latch()
        self._events.append(marker)
        self._wake()
        return marker.wait(timeout)

    def close(self, timeout: float | None = 1.0) -> bool:
        """Accept no more events; wait until the queued ones are delivered. Return False after `timeout` seconds."""
        self._is_closing = True
        self._wake()
        if threading.get_ident() == self._thread.ident:
            return not self._events
        return self._ended.wait(timeout)

    def _wake(self) -> None:
        try:
            self._signal.release()
        except RuntimeError:
            pass  # released already: the thread will notice this event as well

    def _deliver_all(self) -> None:
        events = self._events
        while True:
            while events:
                self._deliver(events.popleft())
            if self._is_closing:
                break
            self._signal.acquire()
        self._ended.open()

    def _deliver(self, event: Event | Latch) -> None:
        if isinstance(event, Latch):
            event.open()
            return
        try:
            self._callback(event)
        except BaseException as error:  # noqa: BLE001 - the callback is foreign code
            self.failed += 1
            self.last_error = str(describe(error))  # `describe` also survives an error whose __str__ raises
