"""Which age is old enough to be deleted, although the clock of the machine may be wrong. Pure."""

from __future__ import annotations

import math

__all__ = ["FUTURE_SECONDS", "Ages"]

JUMP_SECONDS = 60.0
"""How far the wall clock may depart from the monotonic one before that counts as a jump."""

BELIEVED_AFTER_SECONDS = 3600.0
"""For how long a clock has to run without a jump before it is believed whatever it says."""

FUTURE_SECONDS = 60.0
"""A row that is this far ahead of the clock was written before the clock was set back."""


class Ages:
    """Says which rows are older than `keep`.

    A machine without a battery may start in 1970 or 2037, and is set right later. A program that believed it at once
    would delete all its history. So after a start, and after each jump of the clock, the time is at first taken to be
    no later than half of `keep` (at least a day) after the last known time: after a holiday of six weeks, a user still
    finds what happened before it. A clock that has run for an hour without a jump is believed.

    All times are seconds: `wall` since the epoch, `mono` monotonic.
    """

    def __init__(self, keep: float, wall: float, mono: float, latest: float | None) -> None:
        """`latest` is the latest time that the history knew before this start; None if it is empty."""
        self._keep = keep
        self._started = mono
        self._wall, self._mono = wall, mono
        self._anchor = wall if latest is None else latest
        self._believed_from = mono + BELIEVED_AFTER_SECONDS

    def cutoff(self, wall: float, mono: float) -> float:
        """Return the time before which rows are too old; minus infinity if none is."""
        if abs(wall - (self._wall + mono - self._mono)) > JUMP_SECONDS:
            self._anchor, self._believed_from = self._wall, mono + BELIEVED_AFTER_SECONDS
        self._wall, self._mono = wall, mono
        if math.isinf(self._keep):
            return -math.inf
        if mono < self._believed_from:
            wall = min(wall, self._anchor + max(self._keep / 2, 86400.0))
        return wall - self._keep

    def has_run_for_keep(self, mono: float) -> bool:
        """Return whether this start is older than `keep`; until then none of its rows is, whatever their times say."""
        return mono - self._started >= self._keep
