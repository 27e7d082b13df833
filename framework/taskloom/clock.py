"""Time, behind one door: the only importer of `time`."""

from __future__ import annotations

import time
from typing import Protocol

from taskloom.core.model import Moment

__all__ = ["Clock", "MonotonicClock", "mono", "wall"]

mono = time.monotonic
"""Seconds of the monotonic clock; for shells that only measure a wait of their own."""

wall = time.time
"""Seconds since the epoch; for shells that only stamp a line of their own."""


class Clock(Protocol):
    """Where a scheduler reads the time."""

    def now(self) -> Moment:
        """Read both clocks."""


class MonotonicClock:
    """The machine's clocks."""

    __slots__ = ()

    def now(self) -> Moment:
        # In this order: a thread that loses its turn between the two takes an instant of the wall clock for a moment
        # further away than it is. It would be early the other way round, and a job of midnight would see yesterday.
        wall = time.time()
        return Moment(time.monotonic(), wall)
