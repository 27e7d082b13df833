"""The last lines of a run, for the history: of every run that did not succeed."""

from __future__ import annotations

from taskloom.observe.log_ring import LogRing

__all__ = ["TAIL_BYTES", "tail_of"]

TAIL_BYTES = 64 * 1024
# Lines that are read from the ring at most. At 32 bytes a line they fill the tail.
_MOST_LINES = 2048


def tail_of(ring: LogRing, run: str, most_bytes: int = TAIL_BYTES) -> tuple[str, int]:
    """Return the last `most_bytes` of the run's own lines, masked as they are in the ring, and how many bytes are cut.

    Whole lines, but for one that is longer than all. Any thread may call it; reading the ring does no I/O.
    """
    job = run.rpartition("#")[0]
    kept: list[str] = []
    room, cut = most_bytes, 0
    for line in reversed(ring.newest(_MOST_LINES, [job], lambda each: each.run == run)):
        encoded = len(line.text.encode("utf-8", "surrogatepass")) + 1
        if cut or encoded > room:
            if not kept:
                text = line.text.encode("utf-8", "surrogatepass")[-room + 1 :].decode("utf-8", "ignore")
                kept.append(text)
                encoded -= len(text) + 1
                room = 0
            cut += encoded
            continue
        kept.append(line.text)
        room -= encoded
    return "\n".join(reversed(kept)) + "\n" if kept else "", cut
