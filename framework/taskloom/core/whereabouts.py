"""The places of runs that execute elsewhere, and whether their workers are heard of: marks, which change no state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskloom.core.events import EventName, format_wall
from taskloom.core.inputs import RunPlaced, RunReachable, RunUnreachable
from taskloom.core.model import Moment
from taskloom.core.store import JobStore

__all__ = ["PlaceKeeper"]


class PlaceKeeper:
    """Keeps the whereabouts of all runs. A report about a run that has ended is dropped."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    def place(self, report: RunPlaced) -> None:
        """Record the place. There is an event for the first one, and one when its process is known: at most two."""
        run, place = self._store.runs.get(report.run), report.whereabouts
        if run is None or run.outcome is not None:
            return
        before, run.whereabouts = run.whereabouts, place
        if before is None or (not run.is_process_known and place.pid):
            run.is_process_known = bool(place.pid)
            self._store.emit_run(EventName.PLACED, run, data=place._asdict())

    def mark_unreachable(self, report: RunUnreachable) -> None:
        """Mark the run: it may still be executing. Only the first report counts until it is reachable again."""
        run, now = self._store.runs.get(report.run), self._store.now
        if run is None or run.outcome is not None or run.unreachable is not None:
            return
        run.unreachable = Moment(report.since, now.wall + (report.since - now.mono))
        self._store.emit_run(EventName.UNREACHABLE, run, data=_since(run.unreachable))

    def mark_reachable(self, report: RunReachable) -> None:
        """Take the mark off."""
        run = self._store.runs.get(report.run)
        if run is None or run.outcome is not None or run.unreachable is None:
            return
        since, run.unreachable = run.unreachable, None
        self._store.emit_run(EventName.REACHABLE, run, seconds=self._store.now.mono - since.mono)


def _since(moment: Moment) -> Mapping[str, Any]:
    return {"since": format_wall(moment.wall)}
