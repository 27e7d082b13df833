"""How long to wait before the next try to connect."""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["HEALTHY_SECONDS", "Backoff"]

HEALTHY_SECONDS = 10.0
"""A connection that lived so long proves that the other side works again."""

_FACTOR = 2.0
_JITTER = 0.5


class Backoff:
    """Delays that double up to a cap, each cut by up to half at random, so that clients do not come in step."""

    def __init__(self, first: float, cap: float, draw: Callable[[], float] = random.random) -> None:
        """Take the first delay and the cap, in seconds; `draw` returns numbers in [0, 1)."""
        self._first, self._cap, self._draw = first, cap, draw
        self._next = first

    def next_delay(self) -> float:
        """Return the seconds to wait now; the next delay is twice as long, up to the cap."""
        delay = min(self._next, self._cap)
        self._next = min(self._next * _FACTOR, self._cap)
        return delay * (1 - _JITTER * self._draw())

    def connected_for(self, seconds: float) -> None:
        """Take note of a connection that is over; begin anew only when it was healthy.

        One that breaks at once, again and again, is no success: its delays go on growing.
        """
        if seconds >= max(HEALTHY_SECONDS, self._next):
            self._next = self._first
