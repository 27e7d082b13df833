"""Deadlines as data: a heap that forgets the entries whose subject no longer wants them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from taskloom.core.enums import FastEnum, plain_members

__all__ = ["ROOM", "Deadlines", "Due"]


@plain_members
class Due(FastEnum):
    """What falls due."""

    DELAY = "delay"
    """A job's start delay is over."""
    BACKOFF = "backoff"
    """A job's restart delay is over."""
    GATE = "gate"
    """More restarts may begin."""
    FIRING = "firing"
    """A job's schedule fires."""
    CLOCK = "clock"
    """It is time to see whether the wall clock was set."""
    TIMEOUT = "timeout"
    """A run is longer than its `timeout`."""
    UNREADY = "unready"
    """A run took longer than its `ready_within`."""
    URGENT = "hurry"
    """A run has used up most of its time to stop."""
    OVERDUE = "overdue"
    """A run's time to stop is over."""
    PROGRESS = "remind"
    """It is time to say again who is awaited."""


# So few entries cost nothing, stale or not.
ROOM = 1000

_Entry = tuple[float, int, Due, Any]


class Deadlines:
    """Entries (when, what, subject) in the order of their monotonic seconds; equal ones in order of their coming."""

    def __init__(self, is_stale: Callable[[float, Due, Any], bool]) -> None:
        self._is_stale = is_stale
        self._heap: list[_Entry] = []
        self._order = count()
        self._room = ROOM

    def add(self, when: float, due: Due, subject: Any = None) -> None:
        """Add an entry; one at inf never comes and is not kept."""
        if when != float("inf"):
            heapq.heappush(self._heap, (when, next(self._order), due, subject))
            if len(self._heap) > self._room:
                self._tidy()

    def __len__(self) -> int:
        """Return how many entries are kept, stale ones among them: at most ROOM, or twice as many as still counted."""
        return len(self._heap)

    def next(self) -> float | None:
        """Return when the first entry that still counts falls due, or None."""
        heap = self._heap
        while heap and self._is_stale(heap[0][0], heap[0][2], heap[0][3]):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_until(self, now: float) -> Iterator[tuple[Due, Any]]:
        """Take out and yield what has fallen due. Entries may be added meanwhile."""
        while (when := self.next()) is not None and when <= now:
            _, _, due, subject = heapq.heappop(self._heap)
            yield due, subject

    def _tidy(self) -> None:
        """Drop what no longer counts: a run of a second may leave a timeout of a day behind, and be kept by it."""
        self._heap = [entry for entry in self._heap if not self._is_stale(entry[0], entry[2], entry[3])]
        heapq.heapify(self._heap)
        self._room = max(ROOM, 2 * len(self._heap))
