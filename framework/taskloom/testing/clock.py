"""A clock that tests move by hand."""

from __future__ import annotations

from _thread import allocate_lock

from taskloom.core.model import Moment
from taskloom.text import duration

__all__ = ["VirtualClock"]

# 2026-01-01T00:00:00Z: a history does not depend on the day on which it is made.
FIRST_WALL_SECONDS = 1_767_225_600.0


class VirtualClock:
    """A clock for tests, which move it by hand. Any thread may use it.

    The monotonic clock begins at 0 and only goes forward. The wall clock goes with it and may be stepped.
    """

    __slots__ = ("_lock", "_mono", "_wall_offset")

    def __init__(self, mono: float = 0.0, wall: float = FIRST_WALL_SECONDS) -> None:
        self._lock = allocate_lock()
        self._mono = mono
        self._wall_offset = wall - mono

    def now(self) -> Moment:
        """Read both clocks."""
        mono = self._mono
        return Moment(mono, mono + self._wall_offset)

    def advance(self, seconds: float) -> Moment:
        """Let `seconds` pass and return the new time. Raises ValueError if they are negative or inf."""
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"cannot advance by {seconds:g} seconds; expected a finite number, 0 or more")
        with self._lock:
            self._mono += seconds
        return self.now()

    def advance_to(self, mono: float) -> Moment:
        """Let time pass until the monotonic second `mono` and return the new time.

        A second in the past changes nothing. Raises ValueError for inf.
        """
        if not mono < float("inf"):
            raise ValueError(f"cannot advance to second {mono:g}; expected a finite number")
        with self._lock:
            self._mono = max(self._mono, mono)
        return self.now()

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or, by a negative number, back, as a time service or an operator does."""
        with self._lock:
            self._wall_offset += seconds

    def __repr__(self) -> str:
        return f"<VirtualClock at {duration(self._mono)}>"
