"""The whole shutdown: one absolute deadline, dependents before their dependencies, a level at a time.

A level is left when each of its runs has ended, was abandoned or is overdue; a run that was being stopped before
is awaited in its own level alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from taskloom.core import graph
from taskloom.core.actions import ShutdownFinished
from taskloom.core.events import EventName
from taskloom.core.model import Moment, Phase, Reason, ReasonKind
from taskloom.core.records import RunRecord
from taskloom.core.stopping import StopSequence
from taskloom.core.store import JobStore

__all__ = ["WholeStop"]


class WholeStop:
    """The one stop of everything that a scheduler has in its life."""

    def __init__(self, store: JobStore, stops: StopSequence) -> None:
        self.phase = Phase.OPEN
        self.reason = Reason(ReasonKind.SHUTDOWN)
        self.requested: Moment | None = None
        self.ended: Moment | None = None
        self._store = store
        self._stops = stops
        self._levels: list[list[str]] = []
        # The runs of the levels that were asked already; always part of `stops.stopping`.
        self._awaited: set[str] = set()

    def begin(self, reason: Reason, within: float) -> None:
        """Begin; from here no run can start. Twice is once."""
        if self.phase is not Phase.OPEN:
            return
        store = self._store
        self.phase = Phase.STOPPING
        self.reason, self.requested = reason, store.now
        store.emit(EventName.SCHEDULER_STOPPING, reason=reason)
        for job in store.jobs.values():
            job.next_firing = None
            if job.run is None:
                self._stops.stop(job, reason)
        self._stops.limit_all(store.now.mono + within)
        self._levels = graph.stop_levels(store.dependencies())
        self.advance()

    def hurry(self, within: float) -> None:
        """Ask all levels at once, and give everybody at most so many more seconds."""
        if self.phase is not Phase.STOPPING:
            return
        waiting, self._levels = self._levels, []
        for level in waiting:
            self._stop_level(level)
        self._stops.limit_all(self._store.now.mono + within)
        self._stops.mark_all_urgent()
        self.advance()

    def release(self, run: RunRecord) -> None:
        """Take note that the run is awaited no more."""
        self._awaited.discard(run.id)
        self.advance()

    def advance(self) -> None:
        """Go on to the next level once nobody of this one is awaited, and end after the last."""
        if self.phase is not Phase.STOPPING:
            return
        while not self._awaited:
            if not self._levels:
                self._end()
                return
            self._stop_level(self._levels.pop(0))

    def _stop_level(self, names: Iterable[str]) -> None:
        for name in names:
            job = self._store.jobs[name]
            self._stops.stop(job, self.reason)
            if job.run is not None and job.run.id in self._stops.stopping:
                self._awaited.add(job.run.id)

    def _end(self) -> None:
        store = self._store
        self.phase = Phase.STOPPED
        self.ended = store.now
        store.emit(EventName.SCHEDULER_STOPPED, data={"survivors": len(store.runs)})
        store.actions.append(ShutdownFinished())
