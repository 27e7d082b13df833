"""The whole shutdown: one absolute deadline, dependents before their dependencies, a level at a time.

A level is left when each of its runs has ended, was abandoned or is overdue; a run that was being stopped before
is awaited in its own level alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from taskloom.core import graph
from taskloom.core.actions import StopOver
from taskloom.core.events import EventName
from taskloom.core.model import Moment, Phase, Reason, ReasonKind
from taskloom.core.records import RunRecord
from taskloom.core.stopping import StopLadder
from taskloom.core.store import Books

__all__ = ["WholeStop"]


class WholeStop:
    """The one stop of everything that a scheduler has in its life."""

    def __init__(self, books: Books, ladder: StopLadder) -> None:
        self.phase = Phase.OPEN
        self.reason = Reason(ReasonKind.SHUTDOWN)
        self.asked: Moment | None = None
        self.ended: Moment | None = None
        self._books = books
        self._ladder = ladder
        self._levels: list[list[str]] = []
        # The runs of the levels that were asked already; always part of `ladder.stopping`.
        self._awaited: set[str] = set()

    def begin(self, reason: Reason, within: float) -> None:
        """Begin; from here no run can start. Twice is once."""
        if self.phase is not Phase.OPEN:
            return
        books = self._books
        self.phase = Phase.STOPPING
        self.reason, self.asked = reason, books.now
        books.emit(EventName.SCHEDULER_STOPPING, reason=reason)
        for job in books.jobs.values():
            job.firing = None
            if job.run is None:
                self._ladder.stop(job, reason)
        self._ladder.cut(books.now.mono + within)
        self._levels = graph.stop_levels(books.needed_jobs())
        self.advance()

    def hurry(self, within: float) -> None:
        """Ask all levels at once, and give everybody at most so many more seconds."""
        if self.phase is not Phase.STOPPING:
            return
        waiting, self._levels = self._levels, []
        for level in waiting:
            self._stop_level(level)
        self._ladder.cut(self._books.now.mono + within)
        self._ladder.hurry_all()
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
            job = self._books.jobs[name]
            self._ladder.stop(job, self.reason)
            if job.run is not None and job.run.id in self._ladder.stopping:
                self._awaited.add(job.run.id)

    def _end(self) -> None:
        books = self._books
        self.phase = Phase.STOPPED
        self.ended = books.now
        books.emit(EventName.SCHEDULER_STOPPED, data={"survivors": len(books.runs)})
        books.todo.append(StopOver())
