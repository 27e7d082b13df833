"""The last lines of a run, for the history: of every run that did not succeed."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from taskloom.observe.log_ring import LogLine, LogRing

__all__ = ["TAIL_BYTES", "tail_of"]

TAIL_BYTES = 64 * 1024
# Lines that are read from the ring at most. At 32 bytes a line they fill the tail.
_MOST_LINES = 2048
# A line about an event comes after what was printed meanwhile, by less than this under any load that a program bears.
_LATE_SECONDS = 30.0


def tail_of(ring: LogRing, run: str, most_bytes: int = TAIL_BYTES) -> tuple[str, int]:
    """Return the last `most_bytes` of the run's own lines, masked as they are in the ring, and how many bytes are cut.

    Whole lines, but for one that is longer than all. Any thread may call it; reading the ring does no I/O.
    """
    job = run.rpartition("#")[0]
    kept: list[str] = []
    room, cut = most_bytes, 0
    for line in reversed(_by_time(ring.newest(_MOST_LINES, [job], lambda each: each.run == run))):
        whole = line.text.encode("utf-8", "surrogatepass") + b"\n"
        if not kept and len(whole) > room:
            end = whole[-room:].decode("utf-8", "ignore")  # without the half of a character
            kept.append(end)
            cut, room = len(whole) - len(end.encode("utf-8", "surrogatepass")), 0
        elif cut or len(whole) > room:
            cut += len(whole)
        else:
            kept.append(f"{line.text}\n")
            room -= len(whole)
    return "".join(reversed(kept)), cut


def _by_time(lines: Sequence[LogLine]) -> Sequence[LogLine]:
    """Return the lines in the order of their times, unless the clock was set back while they were written."""
    latest = float("-inf")
    for line in lines:
        latest = max(latest, line.at)
        if line.at < latest - _LATE_SECONDS:
            return lines
    return sorted(lines, key=attrgetter("at"))
