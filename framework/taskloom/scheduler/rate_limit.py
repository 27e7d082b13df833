"""A limit on lines that repeat, so that the log stays readable when five thousand jobs fail at once, again and again.

Each kind of line has a token bucket: `burst` lines at once, then `rate` lines a second. More lines are counted and
reported in one line after SUPPRESSED_SECONDS. Pure: the caller gives the time, in monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from taskloom.text import duration, plural

__all__ = ["DuplicateFilter", "Limit", "RateLimiter", "Suppressed"]

SUPPRESSED_SECONDS = 5.0
# Long enough that a job which fails twice a minute does not fill the log with one traceback, short enough that a log
# that was rotated meanwhile has it again.
FORGET_SECONDS = 600.0
# Jobs that were removed are not always reported, so the memory of tracebacks is bounded.
MOST_REMEMBERED = 20_000


class Limit(NamedTuple):
    """How many lines of a kind may be written at once, and how many a second after that."""

    burst: float
    rate: float


# With a hundred jobs, each of them is logged. When all jobs fail there are about three kinds of line, so the log grows
# by thirty lines a second.
USUAL = Limit(100, 10.0)


class Suppressed(NamedTuple):
    """How many lines of one kind were not written."""

    kind: str
    lines: int
    jobs: int
    """The number of jobs that they are about."""
    seconds: float
    """Seconds since the first of them."""

    def __str__(self) -> str:
        """Return `and 4,321 more runs failed in the last 5s, of 1,234 jobs`."""
        kind = self.kind
        if self.lines == 1:
            noun, _, rest = kind.partition(" ")
            kind = f"{noun.removesuffix('s')} {rest.replace('were ', 'was ').replace('are ', 'is ')}"
        period, jobs = duration(max(1, round(self.seconds))), plural(self.jobs, "job")
        return f"and {self.lines:,} more {kind} in the last {period}, of {jobs}"


@dataclass(slots=True)
class _Bucket:
    """One kind of line: how many may be written now, and how many were suppressed."""

    tokens: float
    filled_at: float
    since: float
    suppressed: int = 0
    jobs: set[str] = field(default_factory=set)


class RateLimiter:
    """The buckets of all kinds. Not thread-safe."""

    def __init__(self, usual: Limit = USUAL, special: Mapping[str, Limit] | None = None) -> None:
        """`special`: the limits of kinds that differ from the usual one."""
        self._usual = usual
        self._special = dict(special or {})
        self._buckets: dict[str, _Bucket] = {}

    def allows(self, kind: str, job: str, at: float) -> bool:
        """Return whether a line of that kind about that job may be written; if not, count it."""
        limit = self._special.get(kind, self._usual)
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = _Bucket(limit.burst, at, at)
        bucket.tokens = min(limit.burst, bucket.tokens + max(0.0, at - bucket.filled_at) * limit.rate)
        bucket.filled_at = at
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return True
        if not bucket.suppressed:
            bucket.since = at
        bucket.suppressed += 1
        bucket.jobs.add(job)
        return False

    @property
    def due(self) -> float | None:
        """When the next count is to be reported, or None."""
        starts = [bucket.since for bucket in self._buckets.values() if bucket.suppressed]
        return min(starts) + SUPPRESSED_SECONDS if starts else None

    def take_suppressed(self, at: float, *, everything: bool = False) -> list[Suppressed]:
        """Return and reset the counts that are due at `at`, or all of them."""
        due = []
        for kind, bucket in self._buckets.items():
            if bucket.suppressed and (everything or at >= bucket.since + SUPPRESSED_SECONDS):
                due.append(Suppressed(kind, bucket.suppressed, len(bucket.jobs), max(0.0, at - bucket.since)))
                bucket.suppressed = 0
                bucket.jobs = set()
        return due


class DuplicateFilter:
    """Remembers the last traceback of each job, so that the same one is written only every FORGET_SECONDS."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}

    def is_repeated(self, job: str, text: str, at: float) -> bool:
        """Return whether the same text was written for the job less than FORGET_SECONDS ago."""
        known, seen_at = self._seen.get(job, (0, float("-inf")))
        return known == hash(text) and at < seen_at + FORGET_SECONDS

    def add(self, job: str, text: str, at: float) -> None:
        """Record that the text is written now."""
        if len(self._seen) >= MOST_REMEMBERED:
            self._seen.clear()
        self._seen[job] = (hash(text), at)

    def forget(self, job: str) -> None:
        """Forget a job that was removed."""
        self._seen.pop(job, None)
