"""Delivers events to listeners: each listener has a thread and a bounded queue of its own.

A slow listener with a full queue loses the newest events. A listener that raises loses that event, and so does one
whose thread has no memory for it. All are counted, and none affects the scheduler or another listener.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from collections.abc import Callable
from typing import Protocol

from taskloom.core.events import Event
from taskloom.core.waits import Wait
from taskloom.runners.error_info import describe
from taskloom.sync.kept_thread import KeptThread
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
    """One registered callback for events, and one for waits.

    `dropped` counts the events lost to a full queue, `failed` those at which the callback or our own code raised.
    `remove` makes the scheduler forget the listener; it never blocks, and `close` calls it, on any thread.
    """

    def __init__(
        self,
        callback: Callable[[Event], object],
        limit: int = QUEUE_LIMIT,
        *,
        remove: Callable[[Listener], object] | None = None,
        on_wait: Callable[[Wait], object] | None = None,
    ) -> None:
        self.dropped = 0
        self.failed = 0
        self.last_error = ""
        self._callback = callback
        self._on_wait = on_wait
        self._remove = remove
        self._limit = limit
        # A latch between events is a marker of `flush`: it is opened when all events before it are delivered.
        self._events: deque[Event | Wait | Latch] = deque()
        # The event being delivered. It is lost if our own code raises: it may have been delivered already.
        self._current: Event | Wait | Latch | None = None
        # A binary semaphore: free from when an event is queued until the thread has noticed.
        self._signal = allocate_lock()
        self._signal.acquire()
        self._is_closing = False
        self._ended = Latch()
        self._thread = KeptThread("taskloom-listener", self._deliver_next, self._lose_current)
        self._thread.start()

    @property
    def takes_waits(self) -> bool:
        """Whether it has a callback for waits."""
        return self._on_wait is not None

    @property
    def undelivered(self) -> int:
        """How many events are queued, or being delivered."""
        return sum(isinstance(each, Event) for each in (*self._events.copy(), self._current))

    def put(self, event: Event | Wait) -> None:
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
        if self._thread.is_current():
            return not self._events
        marker = Latch()
        self._events.append(marker)
        self._wake()
        # The thread reads `_is_closing` and then `_events` before it ends. So either it sees our marker, or we see here
        # that it may have ended already.
        return self._thread.wait_for(self._ended if self._is_closing else marker, timeout)

    def close(self, timeout: float | None = 1.0) -> bool:
        """Accept no more events; wait until the queued ones are delivered. Return False after `timeout` seconds.

        Idempotent. Called by the callback itself, it drops the queued events, since the callback wants no more of them.
        """
        self.finish()
        if self._remove is not None:
            self._remove(self)
        if self._thread.is_current():
            self._drop_queued()
            return True
        return self._thread.wait_for(self._ended, timeout)

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
        if not self._ended.is_open:  # always open in a forked child
            self._thread.ensure()

    # -- on the listener's thread

    def _deliver_next(self) -> bool:
        """Deliver the next event, or wait for one; return True once no further event can come."""
        if self._events:
            self._current = self._events.popleft()
            self._deliver(self._current)
            self._current = None
        elif not self._is_closing:
            self._signal.acquire()
        elif not self._events:  # read after `_is_closing`, see `flush`
            self._ended.open()
            return True
        return False

    def _deliver(self, event: Event | Wait | Latch) -> None:
        if isinstance(event, Latch):
            event.open()
            return
        try:
            if not isinstance(event, Wait):
                self._callback(event)
            elif self._on_wait is not None:
                self._on_wait(event)
        except BaseException as error:  # noqa: BLE001 - the callback is foreign code
            self._current = None  # counted here
            self.failed += 1
            self.last_error = str(describe(error))  # `describe` also survives an error whose __str__ raises

    def _lose_current(self, error: BaseException) -> None:
        """Count the event at which our own code has raised; at a marker of `flush`, open it."""
        lost, self._current = self._current, None
        if isinstance(lost, Latch):
            lost.open()
        elif lost is not None:
            self.failed += 1
            self.last_error = f"{type(error).__name__}\n"
