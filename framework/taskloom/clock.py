"""The clocks. No other module imports `time`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taskloom.core.model import Moment

__all__ = ["Clock", "MonotonicClock", "boottime", "local_zone", "mono", "wall"]

mono = time.monotonic
"""Seconds of the monotonic clock; for code outside the core that measures its own waits."""

wall = time.time
"""Seconds since the epoch; for code outside the core that puts a time on its own lines."""

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime() -> float:
    """Return the seconds since the start of this machine, the time of suspensions included; monotonic as well.

    The same for all processes of the machine: a moment may be sent to another one.
    """
    return time.clock_gettime(_BOOTTIME)


def local_zone() -> tuple[int, int]:
    """Return the two offsets of the local zone in seconds: what `time.tzset` changes."""
    return time.timezone, time.altzone


class Clock(Protocol):
    """The clock of a scheduler."""

    def now(self) -> Moment:
        """Read the monotonic and the wall clock."""


class MonotonicClock:
    """The machine's clocks."""

    __slots__ = ()

    def now(self) -> Moment:
        # The wall clock first. If this thread is suspended between the two calls, the pair makes a wall-clock instant
        # seem later than it is, and a schedule fires late. In the other order it would fire early, and a job that is
        # due at midnight would see yesterday's date.
        wall = time.time()
        return self._moment(time.monotonic(), wall)

    @staticmethod
    def _moment(mono: float, wall: float) -> Moment:
        # Not at the top: the init and the watcher measure time, too, and have no use for the core in their memory.
        from taskloom.core.model import Moment

        MonotonicClock._moment = Moment  # type: ignore[method-assign]
        return Moment(mono, wall)
