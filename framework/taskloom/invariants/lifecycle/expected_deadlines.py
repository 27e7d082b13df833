"""Deadlines that the checker expects, each of which is dropped once its event has come."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

__all__ = ["ExpectedDeadlines"]

Key = TypeVar("Key", bound=Hashable)


class ExpectedDeadlines(Generic[Key]):
    """One due second for each key. The earliest comes first; equal seconds keep the order in which they were set."""

    __slots__ = ("_count", "_due", "_heap")

    def __init__(self) -> None:
        self._due: dict[Key, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._count = 0

    def set(self, key: Key, due: float) -> None:
        """Set or move a deadline; inf drops it."""
        if due == float("inf"):
            self.drop(key)
            return
        self._count += 1
        self._due[key] = (due, self._count)
        heapq.heappush(self._heap, (due, self._count, key))

    def drop(self, key: Key) -> None:
        """Remove a deadline, if it is set."""
        self._due.pop(key, None)

    def due_of(self, key: Key) -> float | None:
        """Return the second at which the key is due, or None if it is not set."""
        found = self._due.get(key)
        return found[0] if found is not None else None

    def is_any_due(self, now: float) -> bool:
        """Return whether a deadline may be due by now; one that was moved or dropped may still count."""
        return bool(self._heap) and self._heap[0][0] <= now

    def pop_until(self, now: float) -> Iterator[tuple[Key, float]]:
        """Remove and yield the deadlines that are due by now."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            due, count, key = heapq.heappop(heap)
            if self._due.get(key) == (due, count):
                del self._due[key]
                yield key, due
