"""The numbers that a run reports, and its poll interval. They can be read at any time; they cause no events.

The numbers of a task are checked when it reports them, so that every reader and every JSON gets numbers.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Mapping
from math import isfinite
from operator import index
from typing import NamedTuple, SupportsFloat, SupportsIndex

from taskloom.diagnostics import quoted

__all__ = ["Gauges", "Progress", "finite_number", "make_progress", "whole_number"]


class Progress(NamedTuple):
    """The progress of a run; `total` is None if unknown."""

    done: float
    total: float | None
    unit: str


def make_progress(done: float, total: float | None, unit: str) -> Progress:
    """Return the progress. Raises TypeError if a number is not finite, or the unit is not text."""
    if not isinstance(unit, str):
        raise TypeError(f"cannot use {quoted(unit)} as the unit of a progress: expected text")
    return Progress(
        finite_number(done, "the progress"), None if total is None else finite_number(total, "the total"), unit
    )


def finite_number(value: object, what: str) -> float:
    """Return an int, or a float for every other number. Raises TypeError if it is not a finite number."""
    if type(value) is int:
        return value
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        return index(value)
    if isinstance(value, SupportsFloat) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = float("nan")
        if isfinite(number):
            return number
    raise TypeError(f"cannot use {quoted(value)} as {what}: expected a finite number")


def whole_number(name: object, n: object) -> int:
    """Return by how much a counter is increased. Raises TypeError if it is not a whole number, or `name` not a text."""
    if not isinstance(name, str):
        raise TypeError(f"cannot use {quoted(name)} as the name of a counter: expected text")
    if isinstance(n, bool) or not isinstance(n, SupportsIndex):
        raise TypeError(f"cannot increase counter {quoted(name)} by {quoted(n)}: expected a whole number")
    return index(n)


class Gauges:
    """A run's counters and progress. Any thread may write and read."""

    __slots__ = ("_counts", "_lock", "begun", "poll_interval", "progress")

    def __init__(self) -> None:
        # The monotonic second at which the body was entered; 0.0 unless the runner executes it elsewhere, and is told.
        self.begun = 0.0
        # Seconds; None unless a reload has changed it during the run.
        self.poll_interval: float | None = None
        self.progress: Progress | None = None
        self._counts: dict[str, int] | None = None
        self._lock = allocate_lock()

    def count(self, name: str, n: int) -> None:
        """Add `n` to a counter. Raises TypeError if `name` is not a text or `n` is not a whole number."""
        if type(name) is not str or type(n) is not int:
            n = whole_number(name, n)
        with self._lock:
            if self._counts is None:
                self._counts = {}
            self._counts[name] = self._counts.get(name, 0) + n

    def set_counts(self, counts: Mapping[str, int]) -> None:
        """Set the counters to totals that were counted elsewhere. Raises TypeError as `count` does."""
        checked = {name: whole_number(name, total) for name, total in counts.items()}
        with self._lock:
            self._counts = {**(self._counts or {}), **checked}

    @property
    def counts(self) -> dict[str, int]:
        """Return a copy of the counters."""
        with self._lock:
            return dict(self._counts or {})
