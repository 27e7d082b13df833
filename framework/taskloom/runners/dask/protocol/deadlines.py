"""Deadlines by key: each key has at most one, and a later `plan` replaces it."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf

__all__ = ["Deadlines", "Key"]

Key = tuple[str, str]
"""Which deadline, and of which thing; "" if there is only one."""

# A heap keeps the entries of replaced deadlines until they come to its top. It is built again when most of it is such.
_SMALL_HEAP = 64


class Deadlines:
    """Deadlines in monotonic seconds. Each method takes O(log n)."""

    __slots__ = ("_count", "_heap", "_when")

    def __init__(self) -> None:
        self._when: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        # Breaks ties in the order of planning: keys need not be comparable.
        self._count = 0

    def plan(self, key: Key, when: float) -> None:
        """Set the deadline of `key`."""
        if self._when.get(key) == when:
            return
        self._when[key] = when
        self._count += 1
        heappush(self._heap, (when, self._count, key))
        if len(self._heap) > _SMALL_HEAP + 2 * len(self._when):
            self._heap = [(due, n, each) for n, (each, due) in enumerate(self._when.items(), self._count)]
            self._count += len(self._heap)
            heapify(self._heap)

    def clear(self, key: Key) -> None:
        """Remove the deadline of `key`, if it has one."""
        self._when.pop(key, None)

    def of(self, key: Key) -> float:
        """Return the deadline of `key`; inf for none."""
        return self._when.get(key, inf)

    def next(self) -> float:
        """Return the earliest deadline; inf for none."""
        while self._heap:
            when, _, key = self._heap[0]
            if self._when.get(key) == when:
                return when
            heappop(self._heap)
        return inf

    def pop_due(self, now: float) -> Key | None:
        """Remove the earliest deadline that is not after `now`, and return its key; None if there is none."""
        if self.next() > now:
            return None
        key = heappop(self._heap)[2]
        del self._when[key]
        return key
