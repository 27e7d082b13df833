"""Folds the events of a scheduler into rows: one for each event, and one for each run, whole each time it changes.

Pure: no thread, clock or I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from taskloom.core.events import Event, EventName, as_dict
from taskloom.core.model import THREAD, Outcome
from taskloom.history.memory import instant_of
from taskloom.history.model import RunGauges
from taskloom.history.queue import Rank, Row
from taskloom.observe.masked_data import masked_data
from taskloom.text import finite

__all__ = ["EventFold", "Stuck"]

# The events with which a run may be seen first.
_OF_RUN = frozenset({EventName.QUEUED, EventName.STARTED, EventName.READY, EventName.ENDED})

_EMPTY: Mapping[str, Any] = {
    "job": "",
    "attempt": 1,
    "replica": None,
    "runner": THREAD,
    "instant": None,
    "is_unrecorded": False,
    "queued_at": None,
    "started_at": None,
    "ready_at": None,
    "ended_at": None,
    "seconds": None,
    "outcome": None,
    "reason_kind": None,
    "reason_text": None,
    "error_type": None,
    "error_message": None,
    "error_traceback": None,
    "last_polled": None,
    "counters": None,
    "progress": None,
    "stuck_at": None,
    "stuck_stack": None,
    "folded": 1,
    "folded_seconds": None,
    "host": None,
    "worker": None,
    "pid": None,
}


class Stuck(NamedTuple):
    """Where a run stood that outlived its stop. Secrets are masked in both."""

    at: str
    stack: str


class EventFold:
    """The runs that are alive, and what becomes of the events. `start`: the id of the start of the program."""

    def __init__(self, start: str, mask: Callable[[str], str] = str) -> None:
        self._start = start
        self._mask = mask
        self._alive: dict[str, dict[str, Any]] = {}
        self.new: set[str] = set()
        """The runs that have begun since the owner has emptied this, and are alive."""
        # Runs that were abandoned, until their threads are gone: the report of the stop says where they are.
        self._left: dict[str, dict[str, Any]] = {}

    @property
    def alive(self) -> int:
        """How many runs are alive."""
        return len(self._alive)

    def add(self, event: Event, gauges: RunGauges | None = None) -> list[Row]:
        """Return the rows that the event changes or adds. `gauges`: of its run, as they are now."""
        if event.event is EventName.LATE_EXIT and event.run is not None:
            self._left.pop(event.run, None)
        rows = []
        fold = _FOLDS.get(event.event)
        if event.run is not None and fold is not None:
            run = self._alive.get(event.run)
            if run is None and event.event in _OF_RUN:
                run = self._alive[event.run] = self._begun(event)
                self.new.add(event.run)
            if run is not None:
                fold(self, run, event)
                if gauges is not None:
                    self._set_gauges(run, gauges)
                rows.append(self._row_of(event.run, run))
                if run["outcome"] is not None:
                    del self._alive[event.run]
                    self.new.discard(event.run)
                if event.outcome is Outcome.ABANDONED:
                    self._left[event.run] = run
        rows.append(self._event_row(event))
        return rows

    def polled(self, gauges: Mapping[str, RunGauges]) -> list[Row]:
        """Return the rows of the runs that are alive and have polled or reported since."""
        rows = []
        for name, each in gauges.items():
            run = self._alive.get(name)
            if run is not None and self._set_gauges(run, each):
                rows.append(self._row_of(name, run))
        return rows

    def rows(self) -> list[Row]:
        """Return the rows of all runs that are alive, for a database that was made again."""
        return [self._row_of(name, run) for name, run in self._alive.items()]

    def abandon(self, at: float, survivors: Mapping[str, Stuck]) -> list[Row]:
        """Return the rows of the runs that the program leaves alive when it ends. `survivors`: of its stop, by run."""
        rows = []
        for name, run in (*self._left.items(), *self._alive.items()):
            if name in survivors:
                run.update(stuck_at=survivors[name].at or run["stuck_at"], stuck_stack=survivors[name].stack or None)
        rows += [self._row_of(name, run) for name, run in self._left.items() if name in survivors]
        self._left.clear()
        for name, run in self._alive.items():
            run.update(ended_at=at, outcome=Outcome.ABANDONED.value)
            run["seconds"] = max(0.0, at - run["started_at"]) if run["started_at"] is not None else 0.0
            run["reason_kind"] = run["reason_kind"] or "shutdown"
            run["reason_text"] = run["reason_text"] or "it was alive when the program ended"
            rows.append(self._row_of(name, run))
        self._alive.clear()
        return rows

    # -- steps

    def _begun(self, event: Event) -> dict[str, Any]:
        return {**_EMPTY, "job": event.job or "", "attempt": event.attempt or 1}

    def _row_of(self, name: str, run: Mapping[str, Any]) -> Row:
        outcome = run["outcome"]
        rank = Rank.ALIVE if outcome is None else Rank.FAILED
        return Row(("runs", self._start, name), dict(run), Rank.SUCCEEDED if outcome == "succeeded" else rank)

    def _event_row(self, event: Event) -> Row:
        data = as_dict(event)
        if event.error is not None:
            del data["error"]["traceback"]  # its run has it
        values = {
            "at": event.at,
            "event": event.event.value,
            "job": event.job,
            "run": event.run,
            "data": masked_data(self._mask, data),
        }
        return Row(("events", self._start, event.seq), values, Rank.EVENT)

    def _queued(self, run: dict[str, Any], event: Event) -> None:
        run["queued_at"] = event.at
        run["instant"] = instant_of(event)
        run["is_unrecorded"] = bool(event.data.get("unrecorded"))
        for name in ("replica", "runner"):
            run[name] = event.data.get(name, run[name])

    def _started(self, run: dict[str, Any], event: Event) -> None:
        run["started_at"] = event.at

    def _ready(self, run: dict[str, Any], event: Event) -> None:
        run["ready_at"] = event.at

    def _placed(self, run: dict[str, Any], event: Event) -> None:
        host, worker, pid = (event.data.get(name) for name in ("host", "worker", "pid"))
        run["host"], run["worker"] = (self._mask(str(text)) if text else None for text in (host, worker))
        run["pid"] = pid or None

    def _reasoned(self, run: dict[str, Any], event: Event) -> None:
        if event.reason is not None:
            run["reason_kind"], run["reason_text"] = event.reason.kind.value, self._mask(event.reason.text)

    def _overdue(self, run: dict[str, Any], event: Event) -> None:
        self._reasoned(run, event)
        self._stuck(run, event.data)

    def _ended(self, run: dict[str, Any], event: Event) -> None:
        run["ended_at"] = event.at
        run["seconds"] = finite(event.seconds)
        run["outcome"] = event.outcome.value if event.outcome is not None else Outcome.LOST.value
        self._reasoned(run, event)
        self._stuck(run, event.data)
        if event.error is not None:
            error = event.error
            run["error_type"], run["error_message"] = self._mask(error.type), self._mask(error.message)
            run["error_traceback"] = self._mask(error.traceback)

    def _stuck(self, run: dict[str, Any], data: Mapping[str, Any]) -> None:
        if data.get("where"):
            run["stuck_at"] = self._mask(str(data["where"]))

    def _set_gauges(self, run: dict[str, Any], gauges: RunGauges) -> bool:
        before = run["last_polled"], run["counters"], run["progress"]
        if gauges.last_polled is not None:
            run["last_polled"] = gauges.last_polled
        if gauges.counters:
            run["counters"] = {self._mask(name): count for name, count in gauges.counters.items()}
        if gauges.progress:
            run["progress"] = masked_data(self._mask, gauges.progress)
        return before != (run["last_polled"], run["counters"], run["progress"])


_FOLDS: Mapping[EventName, Callable[[EventFold, dict[str, Any], Event], None]] = {
    EventName.QUEUED: EventFold._queued,
    EventName.STARTED: EventFold._started,
    EventName.READY: EventFold._ready,
    EventName.PLACED: EventFold._placed,
    EventName.CANCEL_REQUESTED: EventFold._reasoned,
    EventName.STOP_OVERDUE: EventFold._overdue,
    EventName.ENDED: EventFold._ended,
}
