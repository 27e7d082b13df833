"""The numbers that a run reports, and its poll interval. They can be read at any time; they cause no events."""

from __future__ import annotations

from _thread import allocate_lock
from typing import NamedTuple

__all__ = ["Gauges", "Progress"]


class Progress(NamedTuple):
    """The progress of a run; `total` is None if unknown."""

    done: float
    total: float | None
    unit: str


class Gauges:
    """A run's counters and progress. Any thread may write and read."""

    __slots__ = ("_counts", "_lock", "poll_interval", "progress")

    def __init__(self) -> None:
        # Seconds; None unless a reload has changed it during the run.
        self.poll_interval: float | None = None
        self.progress: Progress | None = None
        self._counts: dict[str, int] | None = None
        self._lock = allocate_lock()

    def count(self, name: str, n: int) -> None:
        """Add `n` to a counter."""
        with self._lock:
            if self._counts is None:
                self._counts = {}
            self._counts[name] = self._counts.get(name, 0) + n

    @property
    def counts(self) -> dict[str, int]:
        """Return a copy of the counters."""
        with self._lock:
            return dict(self._counts or {})
