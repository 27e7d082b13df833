"""Log lines at the start about earlier starts of the program: lost runs, and pauses.

A firing that is made up for has a line of its own, since it has an event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from taskloom.core.remembered import RememberedJob
from taskloom.text import first_of, local_time, plural

if TYPE_CHECKING:
    from taskloom.history.model import LostRun

__all__ = ["lost_line", "paused_lines"]

# More names than these make a log line too long to read.
_MOST_LOST = 5
_MOST_PAUSED = 10


def lost_line(lost: Sequence[LostRun], now: float) -> str:
    """Return which runs were lost when the program was killed, and when each last polled. `now`: since the epoch."""
    runs = first_of([_lost(each, now) for each in lost], _MOST_LOST)
    seen = local_time(max(each.alive_at for each in lost), now)
    were = "was" if len(lost) == 1 else "were"
    return f"the program was killed (last seen {seen}), and {plural(len(lost), 'run')} {were} lost: {runs}"


def _lost(run: LostRun, now: float) -> str:
    polled = "no poll is known" if run.last_polled is None else f"last polled {local_time(run.last_polled, now)}"
    return f"{run.run} ({polled})"


def paused_lines(remembered: Mapping[str, RememberedJob], now: float) -> Iterator[str]:
    """Yield one line for each job that is paused since an earlier start; of too many, the number of the others."""
    paused = [(name, job) for name, job in remembered.items() if job.paused_since is not None]
    for name, job in paused[:_MOST_PAUSED]:
        why = job.paused_reason.removeprefix("pause, ")
        yield f"{name} is paused since {local_time(job.paused_since or 0.0, now)}{f', {why}' if why else ''}"
    if len(paused) > _MOST_PAUSED:
        yield f"and {plural(len(paused) - _MOST_PAUSED, 'more job')} that were paused before the start"
