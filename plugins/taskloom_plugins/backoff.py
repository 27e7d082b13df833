"""The delays between attempts to connect."""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["HEALTHY_SECONDS", "Backoff"]

HEALTHY_SECONDS = 10.0
"""A connection that lasted this long shows that the other side works again."""

_FACTOR = 2.0
_JITTER = 0.5


class Backoff:
    """Delays that double up to a limit, each reduced by a random part of up to half.

    The random part keeps many clients from connecting at the same moment.
    """

    def __init__(self, first: float, cap: float, random: Callable[[], float] = random.random) -> None:
        """`first` and `cap`: the first and the longest delay, in seconds. `random` returns numbers in [0, 1)."""
        self._first, self._cap, self._random = first, cap, random
        self._next = first

    def next_delay(self) -> float:
        """Return the seconds to wait now; the next delay will be twice as long, up to the cap."""
        delay = min(self._next, self._cap)
        self._next = min(self._next * _FACTOR, self._cap)
        return delay * (1 - _JITTER * self._random())

    def connected_for(self, seconds: float) -> None:
        """Record that a connection lasted `seconds`; if it was healthy, the next delay is the first one again.

        If connections break at once again and again, the delays continue to grow.
        """
        if seconds >= max(HEALTHY_SECONDS, self._next):
            self._next = self._first
