"""The last lines of a run, for the history: of every run that did not succeed."""

from __future__ import annotations

from collections.abc import Sequence

from taskloom.observe.event_text import STARTED
from taskloom.observe.log_ring import LogLine, LogRing

__all__ = ["TAIL_BYTES", "tail_of"]

TAIL_BYTES = 64 * 1024
# Lines that are read from the ring at most. At 32 bytes a line they fill the tail.
_MOST_LINES = 2048
# The line that a run has started comes from the scheduler, later than its first prints, by less than this.
_LATE_SECONDS = 5.0


def tail_of(ring: LogRing, run: str, most_bytes: int = TAIL_BYTES) -> tuple[str, int]:
    """Return the last `most_bytes` of the run's own lines, masked as they are in the ring, and how many bytes are cut.

    Whole lines, but for one that is longer than all. Any thread may call it; reading the ring does no I/O.
    """
    job = run.rpartition("#")[0]
    kept: list[str] = []
    room, cut = most_bytes, 0
    for line in reversed(_start_first(ring.newest(_MOST_LINES, [job], lambda each: each.run == run))):
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


def _start_first(lines: Sequence[LogLine]) -> Sequence[LogLine]:
    """Return the lines with the one that the run has started before what the run itself wrote meanwhile."""
    for index, line in enumerate(lines):
        if line.at > lines[0].at + _LATE_SECONDS:
            break
        if line.text == STARTED or line.text.startswith(f"{STARTED} (attempt "):
            return [line, *lines[:index], *lines[index + 1 :]]
    return lines
