"""The last lines of each job, in memory.

Bounded in bytes in all. If there are too many, the oldest lines of a job that takes the most room go: a job that floods
its log pushes out its own lines, and the last ones of quiet jobs stay.

A flood of prints passes through here, so a line is one append to a list, which needs no lock. Lines get their numbers
and are filed for their jobs together, 256 at once, or when they are asked for.
"""

from __future__ import annotations

import heapq
import threading
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import NamedTuple

from taskloom.clock import wall

__all__ = ["LINE_BYTES", "LogLine", "LogRing", "Origin"]

RING_BYTES = 8 * 1024 * 1024
# What Python needs for a line beside its text: a tuple, its time, and the header of the text.
LINE_BYTES = 160
_BLOCK_BYTES = 400
_FILED_TOGETHER = 256
# A longer line is filed at once.
_LONG_BYTES = 4096
_BUCKETS = 40
_UNKNOWN = "unknown"


class Origin(NamedTuple):
    """The origin of a message."""

    key: str
    """The job that it is kept for; "" if it is about none."""
    level: str
    job: str
    """The text that is shown as the job: for a message about no job, the name of its logger."""
    run: str


_Line = tuple[float, str | bytes, str | Origin]
"""The time of a line, its text, and its origin: of a print, the id of its run, and the text is bytes. A plain tuple: a
named one takes four times as long to make."""
_of_line = itemgetter(2)


class _Block(NamedTuple):
    """Lines of one origin that came one after the other, with numbers from `first` on."""

    first: int
    lines: list[_Line]
    size: int


_first_of = itemgetter(0)


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
    """The lines of one job, oldest first."""

    __slots__ = ("blocks", "bucket", "key", "lost", "lost_at", "size")

    def __init__(self, key: str) -> None:
        self.key = key
        self.blocks: list[_Block] = []
        self.size = self.bucket = self.lost = 0
        self.lost_at = 0.0

    def drop(self, excess: int) -> int:
        """Drop the oldest blocks until `excess` bytes are free, or the job is no longer among the greatest."""
        least, freed, dropped = 1 << (self.bucket - 1), 0, 0
        for block in self.blocks:
            freed += block.size
            dropped += 1
            if freed >= excess or self.size - freed < least:
                break
        if dropped:
            last = self.blocks[dropped - 1]
            self.lost, self.lost_at = last.first + len(last.lines) - 1, last.lines[-1][0]
            del self.blocks[:dropped]
        else:
            freed = self.size  # an error has struck in here before
        self.size -= freed
        return freed

    def after(self, number: int, most: int) -> list[LogLine]:
        """Return the first `most` lines with a greater number."""
        index = max(0, bisect_right(self.blocks, number, key=_first_of) - 1)
        lines = (line for block in islice(self.blocks, index, None) for line in _lines_of(block, number))
        return list(islice(lines, most))


class LogRing:
    """Keeps lines, `most_bytes` of them in all. Any thread may call any method; none of them blocks or does I/O."""

    def __init__(self, most_bytes: int = RING_BYTES, *, clock: Callable[[], float] = wall) -> None:
        self.folder: str | None = None
        """The folder of the log files; None if there are none."""
        self.problem = ""
        """Why log files cannot be written at the moment; "" if they can."""
        self._most = most_bytes
        self._clock = clock
        self._begun = clock()
        # Not filed yet. Appending to a list, and removing its first items, are atomic.
        self._arrived: list[_Line] = []
        self._last = self._size = 0
        # By the name of the job; "" for lines that are about no job.
        self._jobs: dict[str, _JobLines] = {}
        # The jobs by the size of their lines: those in bucket n have at least 2**(n-1) bytes and fewer than 2**n. The
        # greatest is found there without looking at all of them; a factor of 2 between jobs is fair enough.
        self._buckets: list[dict[str, _JobLines]] = [{} for _ in range(_BUCKETS)]
        self._top = 0
        # Guards what is filed. Re-entrant: the garbage collector may run a finalizer while we hold it, which may print.
        self._lock = threading.RLock()
        self._is_filing = False
        self._wakes: tuple[Callable[[], object], ...] = ()

    def add(self, at: float, text: str, origin: Origin) -> None:
        """Keep a message."""
        self._arrived.append((at, text, origin))
        if len(self._arrived) >= _FILED_TOGETHER or len(text) > _LONG_BYTES:
            self._file()
        if self._wakes:
            self._wake()

    def add_print(self, line: bytes, run: str) -> None:
        """Keep a line that the run has printed, with its line break if it has one. `run` "" is unknown."""
        arrived = self._arrived
        arrived.append((self._clock(), line, run))
        if len(arrived) >= _FILED_TOGETHER or len(line) > _LONG_BYTES:
            self._file()
        if self._wakes:
            self._wake()

    def _wake(self) -> None:
        for wake in self._wakes:
            wake()

    def _file(self) -> None:
        """Give the lines that have arrived their numbers, and drop the oldest of the greatest jobs if need be."""
        with self._lock:
            if self._is_filing:
                return  # a finalizer printed while we filed
            self._is_filing = True
            try:
                while self._arrived:
                    lines = self._arrived[:_FILED_TOGETHER]
                    del self._arrived[: len(lines)]
                    for origin, group in groupby(lines, _of_line):
                        self._file_block(origin, list(group))
                self._drop()
            finally:
                self._is_filing = False

    def _file_block(self, origin: str | Origin, lines: list[_Line]) -> None:
        key = origin.key if isinstance(origin, Origin) else origin.rpartition("#")[0]
        size = sum([len(line[1]) for line in lines]) + LINE_BYTES * len(lines) + _BLOCK_BYTES
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = _JobLines(key)
        job.blocks.append(_Block(self._last + 1, lines, size))
        self._last += len(lines)
        job.size += size
        self._size += size
        self._sort(job)

    def _drop(self) -> None:
        while self._size > self._most:
            while self._top > 0 and not self._buckets[self._top]:
                self._top -= 1
            if self._top == 0:
                self._size = 0
                return
            job = next(iter(self._buckets[self._top].values()))
            self._size -= job.drop(self._size - self._most)
            self._sort(job)

    def _sort(self, job: _JobLines) -> None:
        bucket = job.size.bit_length()
        if bucket != job.bucket:
            self._buckets[job.bucket].pop(job.key, None)
            job.bucket = bucket
            self._buckets[bucket][job.key] = job
            self._top = max(self._top, bucket)

    # -- for readers

    @property
    def last(self) -> int:
        """The number of the newest line; 0 before the first."""
        with self._filed():
            return self._last

    @property
    def size(self) -> int:
        """The bytes of all lines."""
        with self._filed():
            return self._size

    def since(self, jobs: Collection[str] | None = None) -> float | None:
        """Return from when on it has all lines of these jobs, in seconds since the epoch; None if it has none."""
        with self._filed():
            chosen = self._chosen(jobs)
            if not any(lines.blocks for lines in chosen):
                return None
            return max([self._begun, *(lines.lost_at for lines in chosen if lines.lost)])

    def lost(self, jobs: Collection[str] | None = None) -> int:
        """Return the greatest number of a line of these jobs that is no longer kept; 0 if all lines are kept."""
        with self._filed():
            return max((lines.lost for lines in self._chosen(jobs)), default=0)

    def number_before(self, instant: float) -> int:
        """Return the number of the newest line before an instant, in seconds since the epoch; 0 if there is none."""
        before = (next((line.seq for line in lines if line.at < instant), 0) for lines in self._newest_first(None))
        return max(before, default=0)

    def after(self, number: int, jobs: Collection[str] | None, most: int) -> Sequence[LogLine]:
        """Return the first `most` lines with a greater number, oldest first."""
        with self._filed():
            if self._last <= number:
                return []
            found = [lines.after(number, most) for lines in self._chosen(jobs)]
        return list(islice(heapq.merge(*filter(None, found), key=_first_of), most))

    def newest(
        self, count: int, jobs: Collection[str] | None, matches: Callable[[LogLine], bool] = lambda _: True
    ) -> Sequence[LogLine]:
        """Return the last `count` lines for which `matches` returns True, oldest first."""
        newest_first = heapq.merge(*self._newest_first(jobs), key=_first_of, reverse=True)
        return list(islice(filter(matches, newest_first), max(0, count)))[::-1]

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

    def _filed(self) -> threading.RLock:
        """File what has arrived; return the lock, to be held while reading."""
        self._file()
        return self._lock

    def _newest_first(self, jobs: Collection[str] | None) -> list[Iterator[LogLine]]:
        """Return the lines of each job. They are made while they are read, without the lock."""
        with self._filed():
            copies = [list(reversed(lines.blocks)) for lines in self._chosen(jobs)]
        return [_backwards(blocks) for blocks in copies]

    def _chosen(self, jobs: Collection[str] | None) -> list[_JobLines]:
        if jobs is None:
            return list(self._jobs.values())
        return [self._jobs[job] for job in dict.fromkeys(jobs) if job in self._jobs]


def _backwards(blocks: Iterable[_Block]) -> Iterator[LogLine]:
    for block in blocks:
        for index in range(len(block.lines) - 1, -1, -1):
            yield _shown(block.first + index, block.lines[index])


def _lines_of(block: _Block, after: int) -> Iterator[LogLine]:
    """Yield the lines of a block with a greater number than `after`."""
    for index in range(max(0, after + 1 - block.first), len(block.lines)):
        yield _shown(block.first + index, block.lines[index])


def _shown(number: int, line: _Line) -> LogLine:
    at, text, origin = line
    if isinstance(origin, Origin):
        return LogLine(number, at, origin.level.lower(), origin.job, origin.run, str(text))
    shown = text if isinstance(text, str) else text.removesuffix(b"\n").decode("utf-8", "backslashreplace")
    return LogLine(number, at, "info", origin.rpartition("#")[0] or _UNKNOWN, origin, shown)
