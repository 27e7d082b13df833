"""Delivers events to listeners: each listener has a thread and a bounded queue of its own.

A slow listener with a full queue loses the newest events; a listener that raises loses that event. Both are counted,
and neither affects the scheduler or another listener.
"""

from __future__ import annotations

import threading
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable
from typing import Protocol

from taskloom.core.events import Event
from taskloom.runners.error_info import describe
from taskloom.sync.latch import Latch

__all__ = ["QUEUE_LIMIT", "EventSink", "Listener"]

# About 20 MiB of events: minutes of a busy program, and a bound.
QUEUE_LIMIT = 100_000


class EventSink(Protocol):
    """What the scheduler passes events to."""

    def put(self, event: Event) -> None:
        """Take an event; never blocks. Only the scheduler calls it, one event at a time."""

    def flush(self, timeout: float | None) -> bool:
        """Wait until the events so far are delivered; return False after `timeout` seconds."""

    def finish(self) -> None:
        """Called when no further event is expected; never blocks, idempotent."""


class Listener:
    """One registered callback.

    `dropped` counts the events lost to a full queue, `failed` those at which the callback raised. `remove` makes the
    scheduler forget the listener; it never blocks, and `close` calls it, on any thread.
    """

    def __init__(
        self,
        callback: Callable[[Event], object],
        limit: int = QUEUE_LIMIT,
        *,
        remove: Callable[[Listener], object] | None = None,
    ) -> None:
        self.dropped = 0
        self.failed = 0
        self.last_error = ""
        self._callback = callback
        self._remove = remove
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
        marker = Latch()
        self._events.append(marker)
        self._wake()
        # The thread reads `_is_closing` and then `_events` before it ends. So either it sees our marker, or we see here
        # that it may have ended already.
        return self._ended.wait(timeout) if self._is_closing else marker.wait(timeout)

    def close(self, timeout: float | None = 1.0) -> bool:
        """Accept no more events; wait until the queued ones are delivered. Return False after `timeout` seconds.

        Idempotent. Called by the callback itself, it drops the queued events, since the callback wants no more of them.
        """
        self.finish()
        if self._remove is not None:
            self._remove(self)
        if threading.get_ident() == self._thread.ident:
            self._drop_queued()
            return True
        return self._ended.wait(timeout)

    def finish(self) -> None:
        """Accept no more events; the thread ends once the queued ones are delivered. Never blocks."""
        self._is_closing = True
        self._wake()

    def leave_behind(self) -> None:
        """Called in a forked child, where the thread does not exist: let nothing wait for it."""
        self._is_closing = True
        self._ended.open()

    def _drop_queued(self) -> None:
        while self._events:
            event = self._events.popleft()
            if isinstance(event, Latch):
                event.open()  # another thread waits in `flush`

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
            if not self._is_closing:
                self._signal.acquire()
            elif not events:
                break
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
