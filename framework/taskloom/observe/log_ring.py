"""The last lines of each job, in memory.

Bounded in bytes in all. If there are too many, the oldest line of a job that takes the most room goes: a job that
floods its log pushes out its own lines, and the last ones of quiet jobs stay.
"""

from __future__ import annotations

import heapq
import threading
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from taskloom.clock import wall

__all__ = ["ENTRY_BYTES", "Entry", "LogLine", "LogRing"]

RING_BYTES = 8 * 1024 * 1024
# What Python needs for a line beside its text: the tuple, its numbers, and the header of the text.
ENTRY_BYTES = 240
# A list that has lost this many lines from its beginning is moved together once half of it is gone.
_MOST_GONE = 256
_BUCKETS = 40


class Entry(NamedTuple):
    """One line as it is kept. `text` of a print is bytes, which are decoded only if they are asked for."""

    at: float
    """Seconds since the epoch."""
    mono: float
    level: str
    job: str
    """The job, or the logger of a line that is about no job."""
    run: str
    text: str | bytes

    @property
    def shown(self) -> str:
        """The text, with escapes for bytes that are no UTF-8."""
        return self.text if isinstance(self.text, str) else self.text.decode("utf-8", "backslashreplace")


class LogLine(NamedTuple):
    """One line of a job's output, as readers get it. Secrets are masked in it already."""

    seq: int
    """Counts from 1 over the lines of all jobs; a later line has a greater number."""
    at: float
    """Seconds since the epoch."""
    level: str
    """`debug`, `info`, `warning`, `error` or `critical`; prints are `info`."""
    job: str
    """The job, or the logger of a line that is about no job."""
    run: str
    """The id of the run, or "" if it is not known."""
    text: str
    """Without a line break at its end; a traceback has some inside."""


class _JobLines:
    """The lines of one job, oldest first. The first `gone` entries of both lists have been dropped."""

    __slots__ = ("bucket", "entries", "gone", "lost", "lost_at", "numbers", "size")

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.entries: list[Entry | None] = []
        self.gone = self.size = self.bucket = self.lost = 0
        self.lost_at = 0.0

    def drop_oldest(self) -> int:
        """Drop a line; return how many bytes that frees."""
        entry, self.entries[self.gone] = self.entries[self.gone], None
        self.lost = self.numbers[self.gone]
        self.gone += 1
        if self.gone >= _MOST_GONE and 2 * self.gone >= len(self.numbers):
            del self.numbers[: self.gone], self.entries[: self.gone]
            self.gone = 0
        if entry is None:  # an error has struck in here before
            return 0
        self.lost_at = entry.at
        freed = len(entry.text) + ENTRY_BYTES
        self.size -= freed
        return freed

    def after(self, number: int, most: int) -> list[tuple[int, Entry]]:
        """Return the first `most` lines with a greater number."""
        first = max(self.gone, bisect_right(self.numbers, number))
        return self.pairs(first, first + most)

    def pairs(self, first: int, end: int) -> list[tuple[int, Entry]]:
        """Return these lines with their numbers."""
        found = zip(self.numbers[first:end], self.entries[first:end], strict=False)
        return [(number, entry) for number, entry in found if entry is not None]


class LogRing:
    """Keeps lines, `most_bytes` of them in all. Any thread may call any method; none of them blocks or does I/O.

    Lines are kept by `key`: the name of their job, or "" for those that are about no job.
    """

    def __init__(self, most_bytes: int = RING_BYTES, *, clock: Callable[[], float] = wall) -> None:
        self.folder: str | None = None
        """The folder of the log files; None if there are none."""
        self.last = 0
        """The number of the newest line; 0 before the first."""
        self.size = 0
        """The bytes of all lines that are kept."""
        self._most = most_bytes
        self._begun = clock()
        self._jobs: dict[str, _JobLines] = {}
        # The jobs by the size of their lines: those in bucket n have at least 2**(n-1) bytes and fewer than 2**n. The
        # greatest is found there without looking at all of them; a factor of 2 between jobs is fair enough.
        self._buckets: list[dict[str, _JobLines]] = [{} for _ in range(_BUCKETS)]
        self._top = 0
        # Re-entrant: the garbage collector may run a finalizer while we hold it, and the finalizer may print.
        self._lock = threading.RLock()
        self._wakes: tuple[Callable[[], object], ...] = ()

    def add(self, key: str, entry: Entry) -> None:
        """Keep a line; drop old ones if there are too many."""
        cost = len(entry.text) + ENTRY_BYTES
        with self._lock:
            lines = self._jobs.get(key)
            if lines is None:
                lines = self._jobs[key] = _JobLines()
            self.last += 1
            lines.entries.append(entry)
            lines.numbers.append(self.last)
            lines.size += cost
            self.size += cost
            if lines.size.bit_length() != lines.bucket:
                self._sort(key, lines)
            while self.size > self._most:
                self._drop_one()
        for wake in self._wakes:
            wake()

    def _sort(self, key: str, lines: _JobLines) -> None:
        self._buckets[lines.bucket].pop(key, None)
        lines.bucket = lines.size.bit_length()
        self._buckets[lines.bucket][key] = lines
        self._top = max(self._top, lines.bucket)

    def _drop_one(self) -> None:
        while self._top > 0 and not self._buckets[self._top]:
            self._top -= 1
        if self._top == 0:
            self.size = 0
            return
        key, lines = next(iter(self._buckets[self._top].items()))
        self.size -= lines.drop_oldest()
        if lines.size.bit_length() != lines.bucket:
            self._sort(key, lines)

    # -- for readers

    def since(self, jobs: Collection[str] | None = None) -> float | None:
        """Return from when on it has all lines of these jobs, in seconds since the epoch; None if it has none."""
        with self._lock:
            chosen = self._chosen(jobs)
            if not any(lines.size for lines in chosen):
                return None
            return max([self._begun, *(lines.lost_at for lines in chosen if lines.lost)])

    def lost(self, jobs: Collection[str] | None = None) -> int:
        """Return the greatest number of a line of these jobs that is no longer kept; 0 if all lines are kept."""
        with self._lock:
            return max((lines.lost for lines in self._chosen(jobs)), default=0)

    def number_before(self, instant: float) -> int:
        """Return the number of the newest line before an instant, in seconds since the epoch; 0 if there is none."""
        before = (
            next((number for number, entry in reversed(pairs) if entry.at < instant), 0) for pairs in self._copy(None)
        )
        return max(before, default=0)

    def after(self, number: int, jobs: Collection[str] | None, most: int) -> Sequence[LogLine]:
        """Return the first `most` lines with a greater number, oldest first."""
        with self._lock:
            if self.last <= number:
                return []
            found = [lines.after(number, most) for lines in self._chosen(jobs)]
        return [_line(*pair) for pair in islice(heapq.merge(*filter(None, found)), most)]

    def newest(
        self, count: int, jobs: Collection[str] | None, matches: Callable[[LogLine], bool] = lambda _: True
    ) -> Sequence[LogLine]:
        """Return the last `count` lines for which `matches` returns True, oldest first."""
        newest_first = heapq.merge(*(reversed(pairs) for pairs in self._copy(jobs)), reverse=True)
        lines = (_line(*pair) for pair in newest_first)
        return list(islice(filter(matches, lines), max(0, count)))[::-1]

    def wake_with(self, wake: Callable[[], object]) -> Callable[[], object]:
        """Call `wake` after each new line, on the thread that wrote it; return the function that ends that.

        `wake` never blocks. No lock is held while it is called, since it may read lines.
        """

        def waker() -> object:  # of its own: the same callback may be given twice
            return wake()

        with self._lock:
            self._wakes = (*self._wakes, waker)

        def end() -> None:
            with self._lock:
                self._wakes = tuple(each for each in self._wakes if each is not waker)

        return end

    def _copy(self, jobs: Collection[str] | None) -> list[list[tuple[int, Entry]]]:
        with self._lock:
            return [lines.pairs(lines.gone, len(lines.numbers)) for lines in self._chosen(jobs)]

    def _chosen(self, jobs: Collection[str] | None) -> Iterable[_JobLines]:
        if jobs is None:
            return list(self._jobs.values())
        return [self._jobs[job] for job in dict.fromkeys(jobs) if job in self._jobs]


def _line(number: int, entry: Entry) -> LogLine:
    return LogLine(number, entry.at, entry.level.lower(), entry.job, entry.run, entry.shown)
