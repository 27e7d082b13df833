"""Finds in the events of jobs what is worth a notification, and when a job is well again. Pure.

A job is in trouble from an event that says so until

- the overdue run has ended, in time or late,
- the unresponsive run has polled again, or has ended,
- after a failure, a give-up or flapping: a later run has succeeded, or has been ready for HEALTHY_SECONDS.

It has recovered when it has no trouble left. A run that was asked to stop proves nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from taskloom.core.events import Event, EventName, as_dict
from taskloom.core.model import Outcome
from taskloom.core.restart import HEALTHY_SECONDS
from taskloom.jobfile.fields.notify import Kind
from taskloom.observe.event_text import describe
from taskloom.text import duration, measured

__all__ = ["Notice", "Troubles"]

# The characters of a traceback that are sent; the log has all of it.
_MOST_TRACEBACK = 4000

_FAILURES = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.START_FAILED, Outcome.LOST})
_KINDS = {
    EventName.GAVE_UP: Kind.GAVE_UP,
    EventName.STOP_OVERDUE: Kind.OVERDUE,
    EventName.FLAPPING: Kind.FLAPPING,
    EventName.UNRESPONSIVE: Kind.UNRESPONSIVE,
    EventName.MISSED: Kind.MISSED,
}
_OF_RUN = frozenset({Kind.OVERDUE, Kind.UNRESPONSIVE})


class Notice(NamedTuple):
    """One thing to notify of."""

    kind: Kind
    at: float
    """Seconds since the epoch."""
    text: str
    """The words for it, as in the log; without the name of the job."""
    job: str | None = None
    """None if it is about the whole program."""
    after: tuple[Kind, ...] = ()
    """The troubles that are over, if this is `recovered`."""
    event: Mapping[str, Any] | None = None
    """The event as JSON data, with a shorter traceback."""


class _Trouble:
    """The troubles of one job, and what is known of its present run."""

    __slots__ = ("all", "begun", "open", "ready_since")

    def __init__(self, begun: float) -> None:
        self.begun = begun
        # Each with the run that it is about; None if any later run may end it.
        self.open: dict[Kind, str | None] = {}
        # In the order in which they came.
        self.all: dict[Kind, None] = {}
        self.ready_since: float | None = None


class Troubles:
    """The troubles of all jobs. `wanted`: the kinds that the receiver has; others are not troubles.

    Times are monotonic seconds, those of the notices seconds since the epoch.
    """

    def __init__(self, wanted: Collection[Kind]) -> None:
        self._wanted = frozenset(wanted)
        kinds = self._wanted - {Kind.RECOVERED, Kind.MISSED}
        # With `recovered` alone, each recovery is wanted.
        self._tracked = kinds or frozenset(Kind) - {Kind.RECOVERED, Kind.MISSED}
        self._jobs: dict[str, _Trouble] = {}
        self._history: tuple[str, float] | None = None

    def take(self, event: Event) -> Sequence[Notice]:
        """Return what an event is worth: mostly nothing."""
        name, job = event.event, event.job
        if job is None:
            return ()
        kind = _kind_of(event)
        found: list[Notice] = []
        if name is EventName.JOB_REMOVED:
            self._jobs.pop(job, None)
        elif job in self._jobs:
            found += self._follow(event, job, self._jobs[job])
        if kind is not None:
            found += self._begin(event, job, kind)
        return found

    def due(self, now: float, wall: float) -> list[Notice]:
        """Return which jobs have recovered because their runs are ready for long enough at `now`."""
        found: list[Notice] = []
        for job, trouble in list(self._jobs.items()):
            if trouble.ready_since is not None and now >= trouble.ready_since + HEALTHY_SECONDS:
                trouble.ready_since = None
                over = [kind for kind, run in trouble.open.items() if run is None]
                text = f"its run has been ready for {duration(HEALTHY_SECONDS)}"
                found += self._close(trouble, over, Notice(Kind.RECOVERED, wall, text, job), now)
        return found

    def next_due(self) -> float | None:
        """Return when `due` may have something; None for never."""
        since = [each.ready_since for each in self._jobs.values() if each.ready_since is not None]
        return min(since) + HEALTHY_SECONDS if since else None

    def history(self, reason: str | None, now: float, wall: float) -> Sequence[Notice]:
        """Take how the history is: None if it works, else why it does not."""
        before, found = self._history, []
        if reason is not None and before is None:
            self._history = reason, now
            if Kind.HISTORY_DEGRADED in self._wanted:
                found = [Notice(Kind.HISTORY_DEGRADED, wall, f"the history is degraded: {reason}")]
        elif reason is None and before is not None:
            self._history = None
            if Kind.RECOVERED in self._wanted and Kind.HISTORY_DEGRADED in self._tracked:
                text = f"the history works again, after {measured(max(0.0, now - before[1]))}"
                found = [Notice(Kind.RECOVERED, wall, text, after=(Kind.HISTORY_DEGRADED,))]
        return found

    def _begin(self, event: Event, job: str, kind: Kind) -> Sequence[Notice]:
        if kind in self._tracked:
            trouble = self._jobs.setdefault(job, _Trouble(event.mono))
            trouble.open[kind] = event.run if kind in _OF_RUN else None
            trouble.all[kind] = None
        if kind not in self._wanted:
            return ()
        return (Notice(kind, event.at, _text_of(event), job, event=_data_of(event)),)

    def _follow(self, event: Event, job: str, trouble: _Trouble) -> Sequence[Notice]:
        """Take what an event says about a job in trouble; return that it has recovered, if it has."""
        name = event.event
        if name is EventName.READY:
            trouble.ready_since = event.mono if any(run is None for run in trouble.open.values()) else None
            return ()
        if name in (EventName.QUEUED, EventName.CANCEL_REQUESTED, EventName.ENDED):
            trouble.ready_since = None
        over = {kind for kind, run in trouble.open.items() if _is_over(event, kind, run)}
        if not over:
            return ()
        # A failure is a new trouble: the job has not recovered in between.
        if _kind_of(event) in self._tracked:
            trouble.open = {kind: run for kind, run in trouble.open.items() if kind not in over}
            return ()
        notice = Notice(Kind.RECOVERED, event.at, _text_of(event), job, event=_data_of(event))
        return self._close(trouble, over, notice, event.mono)

    def _close(self, trouble: _Trouble, over: Collection[Kind], notice: Notice, now: float) -> Sequence[Notice]:
        """End some troubles of a job; return the notice, completed, if none is left and it is wanted."""
        trouble.open = {kind: run for kind, run in trouble.open.items() if kind not in over}
        if trouble.open:
            return ()
        self._jobs.pop(notice.job or "", None)
        if Kind.RECOVERED not in self._wanted:
            return ()
        kinds = ", ".join(kind.value for kind in trouble.all)
        text = f"recovered: {notice.text}; {kinds} {measured(max(0.0, now - trouble.begun))} ago"
        return (notice._replace(text=text, after=tuple(trouble.all)),)


def _is_over(event: Event, kind: Kind, run: str | None) -> bool:
    if run is None:
        return event.event is EventName.ENDED and event.outcome is Outcome.SUCCEEDED
    if event.run != run:
        return False
    if event.event is EventName.ENDED:
        # An abandoned run is still there: it is overdue, or unresponsive, until its late exit.
        return event.outcome is not Outcome.ABANDONED
    return event.event is EventName.LATE_EXIT or (kind is Kind.UNRESPONSIVE and event.event is EventName.RESPONSIVE)


def _kind_of(event: Event) -> Kind | None:
    if event.event is EventName.ENDED:
        return Kind.FAILED if event.outcome in _FAILURES else None
    return _KINDS.get(event.event)


def _text_of(event: Event) -> str:
    line = describe(event)
    return event.event.value if line is None else line.message


def _data_of(event: Event) -> Mapping[str, Any]:
    data = as_dict(event)
    error = data.get("error")
    if error is not None and len(error["traceback"] or "") > _MOST_TRACEBACK:
        data["error"] = {**error, "traceback": f"...{error['traceback'][-_MOST_TRACEBACK:]}"}
    return data
