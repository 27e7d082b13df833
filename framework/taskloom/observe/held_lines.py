"""Log lines that are held for some milliseconds, so that they are written in the order in which things happened.

Log lines come from many threads. The line "started" comes from the thread that delivers the events, while the run
already writes its own lines. So all lines are held for HOLD_SECONDS and written in the order of their monotonic times,
and the lines of a run are held until it is known that the run has started, for UNSTARTED_SECONDS at most.

Pure: the caller gives the time, in monotonic seconds. Not thread-safe.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["HOLD_SECONDS", "HeldLines"]

# Longer than a few thread switches on a busy machine, shorter than a person notices.
HOLD_SECONDS = 0.02
# When a thousand jobs start at once on a busy machine, the event of a start is two seconds late. A lost one delays the
# lines of its run once.
UNSTARTED_SECONDS = 5.0


class _Line(NamedTuple):
    """A held line. Sorted by time, then by arrival."""

    at: float
    arrival: int
    text: bytes
    run: str


class HeldLines:
    """The lines that are not yet written."""

    def __init__(self) -> None:
        self._lines: list[_Line] = []
        # Lines of runs that are not known to have started; the time of a line is when it was added.
        self._unstarted: dict[str, list[_Line]] = {}
        # The number of the last run of each job that is known to have started.
        self._started: dict[str, int] = {}
        self._arrivals = 0
        self._since = 0.0

    def __bool__(self) -> bool:
        return bool(self._lines or self._unstarted)

    def add(self, text: bytes, at: float, now: float, run: str = "") -> None:
        """Hold a line that happened at `at` (inf: after all others). `run`: the id of the run that wrote it."""
        self._arrivals += 1
        line = _Line(at, self._arrivals, text, run)
        if run and self._is_unstarted(run):
            self._unstarted.setdefault(run, []).append(line._replace(at=min(at, now)))
        else:
            self._hold(line, now)

    def add_start(self, text: bytes, at: float, now: float, run: str) -> None:
        """Hold the line that the run has started, before all lines of the run. `text` is empty if it has no line."""
        lines = self._start(run)
        self._arrivals += 1
        first = min([at, *(line.at for line in lines)])
        if text:
            self._hold(_Line(first, min([self._arrivals, *(line.arrival - 1 for line in lines)]), text, run), now)
        for line in lines:
            self._hold(line, now)

    def due(self) -> float | None:
        """Return when `release` will have something to return, in monotonic seconds; None if nothing is held."""
        ends = [self._since + HOLD_SECONDS] if self._lines else []
        ends += [lines[0].at + UNSTARTED_SECONDS for lines in self._unstarted.values()]
        return min(ends, default=None)

    def release(self, now: float, *, at_once: bool = False, everything: bool = False) -> list[bytes]:
        """Return and forget the lines that were held long enough, in order.

        With `at_once` no line is held for HOLD_SECONDS; with `everything` none waits for the start of its run either.
        """
        for run in [run for run, lines in self._unstarted.items()
                    if everything or now >= lines[0].at + UNSTARTED_SECONDS]:  # fmt: skip
            for line in self._start(run):
                self._hold(line, now)
        if not self._lines or not (at_once or everything or now >= self._since + HOLD_SECONDS):
            return []
        # A finalizer may add a line while we sort: that one stays.
        count = len(self._lines)
        texts = [line.text for line in sorted(self._lines[:count])]
        # On one line: an error that strikes before it loses none of them.
        return self._lines.__delitem__(slice(count)) or texts  # type: ignore[func-returns-value, redundant-expr]

    def _hold(self, line: _Line, now: float) -> None:
        if not self._lines:
            self._since = now
        self._lines.append(line)

    def _is_unstarted(self, run: str) -> bool:
        job, number = _split(run)
        return number > self._started.get(job, 0)

    def _start(self, run: str) -> list[_Line]:
        """Record that a run has started; return its lines so far."""
        job, number = _split(run)
        self._started[job] = max(number, self._started.get(job, 0))
        return self._unstarted.pop(run, [])


def _split(run: str) -> tuple[str, int]:
    """Return the job and the number of a run: `("tick", 3)` for `tick#3`."""
    job, _, number = run.rpartition("#")
    return job, int(number) if number.isdecimal() else 0
