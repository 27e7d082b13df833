"""The last events of one start of the program, for clients that ask for them or follow them.

One thread adds events: that of the scheduler's listener. Any thread may read. The lock is held for a few lines without
I/O, and never while a reader is woken.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from taskloom.core.events import Event, EventName

__all__ = ["EventRing", "Page"]

# A day of a calm program, a minute of a very busy one.
MOST_EVENTS = 10_000
MOST_BYTES = 16 * 1024 * 1024
# An event with its short texts, as Python keeps it.
_BYTES_OF_EVENT = 700


class Page(NamedTuple):
    """Events in a row: `position` is that of the next one, `is_end` whether there is none yet."""

    events: Sequence[Event]
    position: int
    is_end: bool


class EventRing:
    """Keeps the last `most` events, and fewer if they have more than `most_bytes`.

    Each event has a position, counted from 0 over all events that were added. A position is not a `seq`: a listener
    that is too slow has lost some.
    """

    def __init__(self, most: int = MOST_EVENTS, most_bytes: int = MOST_BYTES) -> None:
        self.is_over = False
        """Whether the scheduler has stopped: no event comes that clients wait for."""
        self._most = most
        self._most_bytes = most_bytes
        # Guards all below but the wakes. An event stands at its position modulo the length. The lists have their whole
        # length from the start: a lack of memory must not leave one longer than the other.
        self._lock = allocate_lock()
        self._events: list[Event | None] = [None] * most
        self._sizes = [0] * most
        self._first = 0
        self._next = 0
        self._bytes = 0
        # Replaced, never changed: `put` reads it without a lock.
        self._wakes: tuple[Callable[[], object], ...] = ()
        self._end_wakes: tuple[Callable[[], object], ...] = ()

    @property
    def last_seq(self) -> int:
        """The number of the newest event; 0 before the first."""
        with self._lock:
            newest = self._events[(self._next - 1) % self._most] if self._next else None
        return newest.seq if newest is not None else 0

    @property
    def next_position(self) -> int:
        """The position that the next event gets."""
        return self._next

    def first(self) -> tuple[int, Event | None]:
        """Return the position of the oldest event that is kept, and the event; None if there is none."""
        with self._lock:
            return self._first, self._events[self._first % self._most] if self._first < self._next else None

    def put(self, event: Event) -> None:
        """Add an event, and wake the readers. Only one thread calls it."""
        size = _size_of(event)
        with self._lock:
            slot = self._next % self._most
            if self._first == self._next - self._most:
                self._drop_first()
            self._events[slot], self._sizes[slot] = event, size
            self._next += 1
            self._bytes += size
            while self._bytes > self._most_bytes and self._first < self._next - 1:
                self._drop_first()
        if event.event is EventName.SCHEDULER_STOPPED:
            self.is_over = True
            for wake in self._end_wakes:
                wake()
        for wake in self._wakes:
            wake()

    def _drop_first(self) -> None:
        slot = self._first % self._most
        self._events[slot] = None
        self._bytes -= self._sizes[slot]
        self._first += 1

    def read(self, position: int, most: int) -> Page:
        """Return at most `most` events from a position on, or from the oldest one that is kept."""
        with self._lock:
            begin = max(position, self._first)
            end = min(begin + most, self._next)
            events = [self._events[each % self._most] for each in range(begin, end)]
            is_end = end >= self._next
        return Page([event for event in events if event is not None], max(begin, end), is_end)

    def position_after(self, is_before: Callable[[Event], bool]) -> int:
        """Return the position of the first event for which `is_before` returns False: it has to be sorted by that."""
        with self._lock:
            low, high = self._first, self._next
            while low < high:
                middle = (low + high) // 2
                event = self._events[middle % self._most]
                if event is not None and is_before(event):
                    low = middle + 1
                else:
                    high = middle
            return low

    def wake_with(self, wake: Callable[[], object]) -> Callable[[], object]:
        """Call `wake` after each new event, on the thread that adds it; return the function that ends that."""
        with self._lock:
            self._wakes = (*self._wakes, wake)
        return partial(self._forget, wake)

    def wake_at_end(self, wake: Callable[[], object]) -> Callable[[], object]:
        """Call `wake` once the scheduler has stopped; return the function that ends that."""
        with self._lock:
            self._end_wakes = (*self._end_wakes, wake)
        return partial(self._forget, wake)

    def _forget(self, wake: Callable[[], object]) -> None:
        with self._lock:
            self._wakes = tuple(each for each in self._wakes if each is not wake)
            self._end_wakes = tuple(each for each in self._end_wakes if each is not wake)


def _size_of(event: Event) -> int:
    size = _BYTES_OF_EVENT
    if event.reason is not None:
        size += len(event.reason.text)
    if event.error is not None:
        size += len(event.error.message) + len(event.error.traceback)
    return size + _size_of_value(event.data) if event.data else size


def _size_of_value(value: Any) -> int:
    """Return about how many bytes a value of an event's data takes."""
    if isinstance(value, str):
        return 50 + len(value)
    if isinstance(value, Mapping):
        return 200 + sum(50 + _size_of_value(each) for each in value.values())
    if isinstance(value, list | tuple):
        return 60 + sum(map(_size_of_value, value))
    return 30
