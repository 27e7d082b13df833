"""The whole shutdown: one absolute deadline, dependents before their dependencies, one level at a time.

A level is over when each of its runs has ended, was abandoned, or is overdue and is not killed. A run that was already
being stopped delays only its own level, and a run with `join: 0s` none, except while it is being killed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from taskloom.core import graph
from taskloom.core.actions import ShutdownFinished
from taskloom.core.events import EventName
from taskloom.core.model import JobState, Moment, Phase, Reason, ReasonKind
from taskloom.core.records import JobRecord, RunRecord
from taskloom.core.stopping import StopSequence
from taskloom.core.store import JobStore

__all__ = ["WholeStop"]


class WholeStop:
    """The one shutdown in the life of a scheduler. `stop_within`: seconds for one that an essential job causes."""

    def __init__(self, store: JobStore, stops: StopSequence, stop_within: float) -> None:
        self.phase = Phase.OPEN
        self.reason = Reason(ReasonKind.SHUTDOWN)
        self.requested: Moment | None = None
        self.ended: Moment | None = None
        self._store = store
        self._stops = stops
        self._stop_within = stop_within
        # The declared names of each level that is still to be stopped.
        self._levels: deque[list[str]] = deque()
        # The runs of the levels that are being stopped; always a subset of `stops.stopping`.
        self._awaited: set[str] = set()

    def begin(self, reason: Reason, within: float) -> None:
        """Begin the shutdown; idempotent. No run starts any more."""
        if self.phase is not Phase.OPEN:
            return
        store = self._store
        self.phase = Phase.STOPPING
        self.reason, self.requested = reason, store.now
        store.emit(EventName.SCHEDULER_STOPPING, reason=reason)
        for job in store.jobs.values():
            store.set_next_firing(job, None)
            if job.run is None or job.state is JobState.BLOCKED:
                self._stops.stop(job, reason)  # nothing follows any more, and `why` says so before its level stops
        self._stops.begin_whole(store.now.mono + within)
        self._levels = deque(graph.stop_levels(store.dependencies.after()))
        self.advance()

    def begin_after_essential_failure(self, job: JobRecord) -> None:
        """Begin the shutdown if this job is essential and failed for good, with no further firings."""
        if job.has_failed and job.spec.essential and (job.has_given_up or job.next_firing is None):
            self.begin_for(job)

    def begin_for(self, job: JobRecord) -> None:
        """Begin the shutdown because this job, which is essential, failed for good."""
        self.begin(Reason(ReasonKind.ESSENTIAL, f"job {job.spec.name!r} failed for good"), self._stop_within)

    def hurry(self, within: float) -> None:
        """Stop all remaining levels at once, and allow at most `within` more seconds."""
        if self.phase is not Phase.STOPPING:
            return
        waiting, self._levels = self._levels, deque()
        for level in waiting:
            self._stop_level(level)
        self._stops.limit_all(self._store.now.mono + within)
        for run in self._stops.stopping.values():
            self._stops.mark_urgent(run)
        self.advance()

    def release(self, run: RunRecord) -> None:
        """Stop waiting for the run: it has ended, was abandoned or is overdue."""
        self._awaited.discard(run.id)
        self.advance()

    def advance(self) -> None:
        """Stop the next level once all runs of this one are released; decide about the rest after the last, and end."""
        if self.phase is not Phase.STOPPING:
            return
        while not self._awaited:
            self._awaited.update(self._stops.decide_unkilled())
            if self._awaited:
                return
            if self._levels:
                self._stop_level(self._levels.popleft())
                continue
            self._awaited.update(self._stops.decide_unawaited())
            if not self._awaited:
                self._end()
                return

    def _stop_level(self, names: Iterable[str]) -> None:
        families = self._store.dependencies.families
        for job in [job for name in names for job in families[name].members.values()]:
            self._stops.stop(job, self.reason)
            if job.run is not None and job.run.id in self._stops.stopping:
                self._awaited.add(job.run.id)

    def _end(self) -> None:
        store = self._store
        self.phase = Phase.STOPPED
        self.ended = store.now
        store.emit(EventName.SCHEDULER_STOPPED, data={"survivors": len(store.runs)})
        store.actions.append(ShutdownFinished())
