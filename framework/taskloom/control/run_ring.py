"""The last runs of one start of the program, folded from its events: for the timeline and the table of the views.

One thread adds events, that of the scheduler's listener. Any thread may read. The lock is held for a few lines without
I/O.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from collections.abc import Collection
from typing import Any, NamedTuple

from taskloom.core.events import Event, EventName
from taskloom.core.run_reports import Whereabouts

__all__ = ["LONGEST_ERROR", "PastRun", "RunRing"]

# About 5 MB, and three hours of a run a second.
MOST_RUNS = 12_000
LONGEST_ERROR = 200
"""Characters of an error that are kept."""


class PastRun(NamedTuple):
    """One run, as far as it has come. All instants are seconds since the epoch."""

    job: str
    run: str
    attempt: int
    queued: float
    due: float | None = None
    """The instant of the schedule for which it was started."""
    started: float | None = None
    ended: float | None = None
    outcome: str | None = None
    seconds: float | None = None
    error: str | None = None
    reason: str | None = None
    start: str = ""
    """The id of the start of the program that it is from; "" for this one."""
    whereabouts: Whereabouts | None = None
    """Its place, if it executes elsewhere, or did."""


class RunRing:
    """Keeps all runs that have not ended, and the last `most` others."""

    def __init__(self, most: int = MOST_RUNS) -> None:
        self._most = most
        self._lock = allocate_lock()
        self._alive: dict[str, PastRun] = {}
        # In the order of their ends.
        self._ended: deque[PastRun] = deque()
        self._complete_since = 0.0

    @property
    def complete_since(self) -> float:
        """The second since the epoch from which on all ended runs are kept; 0 while none was dropped."""
        return self._complete_since

    def put(self, event: Event) -> None:
        """Take an event. Only one thread calls it."""
        if event.run is None or event.job is None:
            return
        if event.event is EventName.QUEUED:
            due = _seconds(event.data.get("instant"))
            with self._lock:
                self._alive[event.run] = PastRun(event.job, event.run, event.attempt or 1, event.at, due)
        elif event.event is EventName.STARTED:
            self._change(event.run, started=event.at)
        elif event.event is EventName.PLACED:
            self._change(event.run, whereabouts=Whereabouts(*map(event.data.__getitem__, Whereabouts._fields)))
        elif event.event is EventName.ENDED:
            with self._lock:
                known = self._alive.pop(event.run, None)
                if known is not None:
                    self._ended.append(_ended(known, event))
                    self._drop()

    def _change(self, run: str, **values: Any) -> None:
        """Change these values of a run that has not ended."""
        with self._lock:
            known = self._alive.get(run)
            if known is not None:
                self._alive[run] = known._replace(**values)

    def read(self, jobs: Collection[str] | None, since: float, most: int) -> list[PastRun]:
        """Return the runs of these jobs, None for all, that ended after `since` or have not ended; oldest first.

        At most `most` of them: those that have not ended, and the latest others.
        """
        with self._lock:
            alive, ended = list(self._alive.values()), list(self._ended)
        found = [run for run in alive if jobs is None or run.job in jobs][-most:]
        for run in reversed(ended):
            if len(found) >= most or (run.ended or 0.0) < since:
                break
            if jobs is None or run.job in jobs:
                found.append(run)
        return sorted(found, key=lambda run: run.queued)

    def _drop(self) -> None:
        """Drop the oldest ended run if there are too many. The lock is held."""
        if len(self._ended) > self._most:
            self._complete_since = self._ended.popleft().ended or 0.0


def _ended(run: PastRun, event: Event) -> PastRun:
    return run._replace(
        ended=event.at,
        outcome=None if event.outcome is None else event.outcome.value,
        seconds=event.seconds,
        error=None if event.error is None else str(event.error)[:LONGEST_ERROR],
        reason=None if event.reason is None else str(event.reason),
    )


def _seconds(instant: object) -> float | None:
    """Return the instant of a `queued` event, which is RFC 3339, in seconds since the epoch."""
    if not isinstance(instant, str):
        return float(instant) if isinstance(instant, int | float) else None
    from datetime import datetime

    try:
        return datetime.fromisoformat(instant).timestamp()
    except ValueError:
        return None
