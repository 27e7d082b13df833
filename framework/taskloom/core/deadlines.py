"""Deadlines as data: a heap of entries that their owners may let go stale.

Each owner registers its kinds of deadline: what to do when one is due, and how to recognise one that no longer counts.
So nothing is cancelled: an entry that has become stale is dropped when it reaches the top of the heap.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, NamedTuple

from taskloom.core.inputs import NO_RUNS

__all__ = ["POSTPONED_SECONDS", "ROOM", "DeadlineKind", "Deadlines"]

# So few entries cost nothing, stale or not.
ROOM = 1000
_NEVER = float("inf")
# When to check again whether the report of a run has come that met its deadline. The report itself makes the deadline
# stale, so this only matters if it is lost: then the deadline must not be.
POSTPONED_SECONDS = 0.1


def _never_met(_subject: Any, _when: float, _ended: Mapping[str, float]) -> bool:
    return False


class DeadlineKind(NamedTuple):
    """One kind of deadline, such as the timeout of a run."""

    on_due: Callable[[Any], None]
    """Called with the subject of an entry that is due."""
    is_stale: Callable[[float, Any], bool]
    """Return whether an entry with this time and this subject no longer counts."""
    is_met: Callable[[Any, float, Mapping[str, float]], bool] = _never_met
    """Return whether the subject, a run, has met the deadline: it is among those that have ended without a report."""


class Deadlines:
    """Entries (time, kind, subject), ordered by time in monotonic seconds; entries of equal time stay in order."""

    def __init__(self) -> None:
        # When to handle the entry, its number, its kind, its subject, and its time, which may be earlier.
        self._heap: list[tuple[float, int, DeadlineKind, Any, float]] = []
        self._order = count()
        self._room = ROOM

    def add(self, when: float, kind: DeadlineKind, subject: Any = None) -> None:
        """Add an entry; one at inf is never due and is not kept."""
        if when != _NEVER:
            heapq.heappush(self._heap, (when, next(self._order), kind, subject, when))
            if len(self._heap) > self._room:
                self._drop_stale()

    def __len__(self) -> int:
        """Return how many entries are kept, stale ones included: at most ROOM, or twice as many as still count."""
        return len(self._heap)

    def next(self) -> float | None:
        """Return when the first entry that still counts is due, or None."""
        heap = self._heap
        while heap:
            due, _, kind, subject, when = heap[0]
            if not kind.is_stale(when, subject):
                return due
            heapq.heappop(heap)
        return None

    def run_due(self, now: float, ended: Mapping[str, float] = NO_RUNS) -> None:
        """Remove what is due and handle it. Handling an entry may add others and may make others stale.

        An entry that a run of `ended` has met is not handled. It is due again a little later, and mostly stale by then.
        """
        heap = self._heap
        while heap and heap[0][0] <= now:
            _, number, kind, subject, when = heapq.heappop(heap)
            if kind.is_stale(when, subject):
                continue
            if ended and kind.is_met(subject, when, ended):
                heapq.heappush(heap, (now + POSTPONED_SECONDS, number, kind, subject, when))
            else:
                kind.on_due(subject)

    def _drop_stale(self) -> None:
        """Drop what no longer counts: a run of a second may leave a timeout of a day behind, which keeps its record."""
        self._heap[:] = [entry for entry in self._heap if not entry[2].is_stale(entry[4], entry[3])]
        heapq.heapify(self._heap)
        self._room = max(ROOM, 2 * len(self._heap))
