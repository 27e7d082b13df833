"""Sums over the events of each job since the start of the program: for metrics, beside the status of the jobs.

One thread puts the events, and any thread reads: a record is replaced as a whole.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from taskloom.core.events import Event, EventName
from taskloom.core.model import Outcome

__all__ = ["JobTotals", "Totals"]


class JobTotals(NamedTuple):
    """The totals of one job."""

    runs: int = 0
    """How many runs have ended."""
    seconds: float = 0.0
    """How long they took together."""
    stop_timeouts: int = 0
    """How many runs outlived their `within`."""
    last_success: float | None = None
    """When the last run that succeeded ended, in seconds since the epoch."""
    lag: float | None = None
    """How many seconds after its instant the last firing of the schedule started its run."""


_NOTHING = JobTotals()


class Totals:
    """Adds up events. `put` is for one thread; any thread may read."""

    def __init__(self) -> None:
        self.lost = 0
        """How many events did not arrive: their numbers are missing."""
        self._last = 0
        self._jobs: dict[str, JobTotals] = {}
        # Job -> the instant for which its run was queued, in seconds since the epoch, until that has started.
        self._instants: dict[str, float] = {}

    def of(self, job: str) -> JobTotals:
        """Return the totals of a job."""
        return self._jobs.get(job, _NOTHING)

    def put(self, event: Event) -> None:
        """Add an event. They come in order; the first may have any number."""
        if self._last and event.seq > self._last + 1:
            self.lost += event.seq - self._last - 1
        self._last = event.seq
        job, name = event.job, event.event
        if job is None:
            return
        if name is EventName.ENDED:
            self._add_run(job, event)
        elif name is EventName.QUEUED and event.data:
            self._note_instant(job, event)
        elif name is EventName.STARTED and job in self._instants:
            lag = max(0.0, event.at - self._instants.pop(job))
            self._jobs[job] = self.of(job)._replace(lag=lag)
        elif name is EventName.STOP_OVERDUE:
            totals = self.of(job)
            self._jobs[job] = totals._replace(stop_timeouts=totals.stop_timeouts + 1)
        elif name is EventName.JOB_REMOVED:
            self._jobs.pop(job, None)
            self._instants.pop(job, None)

    def _add_run(self, job: str, event: Event) -> None:
        self._instants.pop(job, None)  # of a run that never started
        totals = self.of(job)
        self._jobs[job] = totals._replace(
            runs=totals.runs + 1,
            seconds=totals.seconds + (event.seconds or 0.0),
            last_success=event.at if event.outcome is Outcome.SUCCEEDED else totals.last_success,
        )

    def _note_instant(self, job: str, event: Event) -> None:
        instant = event.data.get("instant")
        # One that is made up for passed while the program was down: that is not the lag of a schedule.
        if instant is not None and not event.data.get("made_up"):
            self._instants[job] = datetime.fromisoformat(instant).timestamp()
