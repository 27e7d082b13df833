"""A cap on lines that repeat: five thousand jobs may fail at once, and again, and the log stays a thing to read.

Each kind of line has a bucket of its own: so many lines at once, then so many a second. What does not fit is counted,
and told in one line after a while. Pure: fed with the times of the events, in monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["DuplicateFilter", "Limit", "RateLimiter", "Suppressed"]

SUPPRESSED_SECONDS = 5.0
# Long enough that a job which fails twice a minute does not fill the log with what is known, short enough that it is
# still found in a log that was rotated since.
FORGET_SECONDS = 600.0


class Limit(NamedTuple):
    """How many lines of a kind may be written at once, and how many a second from then on."""

    burst: float
    rate: float


# Whoever has a hundred jobs sees each of them. In a storm there are about three kinds at a time, so this makes thirty
# lines a second.
USUAL = Limit(100, 10.0)


class Suppressed(NamedTuple):
    """What was left out of one kind."""

    kind: str
    lines: int
    jobs: int
    """How many jobs they were about."""
    seconds: float
    """Since the first of them."""


class _Bucket:
    """One kind of line: the room that is left, and what was left out."""

    __slots__ = ("filled_at", "jobs", "left_out", "room", "since")

    def __init__(self, room: float, at: float) -> None:
        self.room = room
        self.filled_at = at
        self.left_out = 0
        self.jobs: set[str] = set()
        self.since = at


class RateLimiter:
    """The buckets of all kinds. Not thread-safe."""

    def __init__(self, usual: Limit = USUAL, special: Mapping[str, Limit] | None = None) -> None:
        """`special`: the limits of kinds that differ from the usual one."""
        self._usual = usual
        self._special = dict(special or {})
        self._buckets: dict[str, _Bucket] = {}

    def admits(self, kind: str, job: str, at: float) -> bool:
        """Tell whether a line of that kind about that job may be written; count it where it may not."""
        limit = self._special.get(kind, self._usual)
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = _Bucket(limit.burst, at)
        bucket.room = min(limit.burst, bucket.room + max(0.0, at - bucket.filled_at) * limit.rate)
        bucket.filled_at = at
        if bucket.room >= 1:
            bucket.room -= 1
            return True
        if not bucket.left_out:
            bucket.since = at
        bucket.left_out += 1
        bucket.jobs.add(job)
        return False

    @property
    def due(self) -> float | None:
        """When the next sum is to be told, or None."""
        begun = [bucket.since for bucket in self._buckets.values() if bucket.left_out]
        return min(begun) + SUPPRESSED_SECONDS if begun else None

    def suppressed(self, at: float, *, everything: bool = False) -> list[Suppressed]:
        """Take the sums that are due by then, or everything there is."""
        taken = []
        for kind, bucket in self._buckets.items():
            if bucket.left_out and (everything or at >= bucket.since + SUPPRESSED_SECONDS):
                taken.append(Suppressed(kind, bucket.left_out, len(bucket.jobs), max(0.0, at - bucket.since)))
                bucket.left_out = 0
                bucket.jobs = set()
        return taken


class DuplicateFilter:
    """Remembers what was last told at length of each job, to tell it but once in a while."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[int, float]] = {}

    def is_repeated(self, job: str, text: str, at: float) -> bool:
        """Tell whether that was told of the job not long ago."""
        known, told_at = self._told.get(job, (0, float("-inf")))
        return known == hash(text) and at < told_at + FORGET_SECONDS

    def note(self, job: str, text: str, at: float) -> None:
        """Take note that it is told now."""
        self._told[job] = (hash(text), at)

    def forget(self, job: str) -> None:
        """Forget a job that is there no more."""
        self._told.pop(job, None)
