"""Runs that their runner has lost, while something of them may still be executing.

The outcome `lost` is decided at once, and the run is a failure like any other: its threads are released, no stop and no
shutdown waits for it, and what follows it is decided. But the copy elsewhere may live until `stopped_by`, so until then
the job is BLOCKED, as after an abandoned run: no other run of it begins, and a reload does not begin what replaces it.

Unlike an abandoned thread, this is over at a known time. So a pending restart keeps the program alive, and its delay
counts from the loss: it comes at the later of both times. A confirmation of the runner may come earlier, or too late.

A lost run of which nothing can be left blocks nothing (`Lifecycle._end`). An abandoned run that is lost later exits
late when its time is over.
"""

from __future__ import annotations

from collections.abc import Callable

from taskloom.core.actions import ReleaseRun
from taskloom.core.after_run import FollowUps
from taskloom.core.changeover import Changeovers
from taskloom.core.deadlines import DeadlineKind
from taskloom.core.events import EventName, format_wall
from taskloom.core.inputs import RunReleased
from taskloom.core.model import Moment, Outcome
from taskloom.core.records import RunRecord
from taskloom.core.shutdown import WholeStop
from taskloom.core.stopping import StopSequence
from taskloom.core.store import JobStore
from taskloom.core.transitions import Decision

__all__ = ["LONGEST_SECONDS", "LostRuns"]

# Leases last minutes at most. A runner that says more, such as inf, must not block a job for good.
LONGEST_SECONDS = 86400.0


class LostRuns:
    """All lost runs that may still be executing. `exit_late` ends an abandoned run of which nothing is left."""

    def __init__(
        self,
        store: JobStore,
        stops: StopSequence,
        follow_ups: FollowUps,
        *,
        changeovers: Changeovers,
        shutdown: WholeStop,
        exit_late: Callable[[RunRecord], None],
    ) -> None:
        self.runs: dict[str, RunRecord] = {}
        """The lost runs by their ids."""
        self._store = store
        self._stops = stops
        self._follow_ups = follow_ups
        self._changeovers = changeovers
        self._shutdown = shutdown
        self._exit_late = exit_late
        self._over = DeadlineKind(
            lambda run: self._release(run, is_confirmed=False), lambda _, run: run.id not in self.runs
        )

    def lose(self, run: RunRecord, stopped_by: float) -> None:
        """End the run as lost, and block its job until `stopped_by`, in monotonic seconds, which is in the future."""
        store = self._store
        until = self.await_end(run, stopped_by)
        store.record_end(run, Outcome.LOST)
        store.move(run.job, Decision.LOSE)
        del store.runs[run.id]
        store.actions.append(ReleaseRun(run.id))
        if run.requested is not None:
            self._stops.release(run)
        store.emit_run(EventName.BLOCKED, run, data={"until": format_wall(until.wall)})
        self._follow_ups.remember(run)
        if run.requested is not None:
            self._shutdown.release(run)

    def await_end(self, run: RunRecord, stopped_by: float) -> Moment:
        """Keep the run until then, or until its end is confirmed. Return the moment."""
        now = self._store.now
        until = min(stopped_by, now.mono + LONGEST_SECONDS)
        run.stopped_by = Moment(until, now.wall + (until - now.mono))
        self.runs[run.id] = run
        self._store.deadlines.add(until, self._over, run)
        return run.stopped_by

    def confirm(self, report: RunReleased) -> None:
        """Release the run before its time. A report that comes after that is dropped."""
        run = self.runs.get(report.run)
        if run is not None:
            self._release(run, is_confirmed=True)

    def _release(self, run: RunRecord, *, is_confirmed: bool) -> None:
        """Begin what was decided when the run was lost, unless a command has changed that since."""
        store = self._store
        del self.runs[run.id]
        if run.outcome is Outcome.ABANDONED:
            self._exit_late(run)
            return
        run.job.run = None
        since = run.ended.mono if run.ended is not None else store.now.mono
        store.emit_run(EventName.RELEASED, run, seconds=store.now.mono - since, data={"confirmed": is_confirmed})
        self._follow_ups.begin_remembered(run)
        self._changeovers.release(run)
