"""Events: immutable records of what happened. All views are computed from them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.model import ErrorInfo, Outcome, Reason
from taskloom.text import finite, plain

__all__ = [
    "EVERYTHING",
    "FAILURES",
    "FAILURE_OUTCOMES",
    "NOTHING",
    "NO_EVENTS",
    "Audience",
    "Event",
    "EventName",
    "as_dict",
    "format_wall",
]

NOTHING: Mapping[str, Any] = MappingProxyType({})


@plain_members
class EventName(FastEnum):
    """The kinds of event."""

    SCHEDULER_STARTED = "scheduler_started"
    """Signals that every job with `start: auto` is being started; at most one per scheduler."""
    SCHEDULER_STOPPING = "scheduler_stopping"
    """Signals that a whole shutdown has begun; no run starts after it."""
    SCHEDULER_STOPPED = "scheduler_stopped"
    """Signals that the shutdown is over; `data` has the number of survivors."""
    JOB_ADDED = "job_added"
    """Signals that a job was declared; `data` has its `fingerprint` if a history is kept, and `paused_since` if a pause
    is remembered."""
    JOB_REMOVED = "job_removed"
    """Signals that a reload removed the job."""
    RELOADED = "reloaded"
    """Signals that the declarations were replaced; `data` lists the jobs by what was done with them. If a history is
    kept, it has the new `fingerprints` of those that stay."""
    RELOAD_WAITING = "reload_waiting"
    """Signals that the jobs that a reload adds begin later: `data` lists them, and the runs whose end they wait for."""
    RELOAD_OVERDUE = "reload_overdue"
    """Signals that the jobs that a reload added begin although runs that it stopped have not ended; `data` lists
    both."""
    QUEUED = "queued"
    """Signals that a run was created and its runner was told to start it. Of a firing, `data` has the `instant`, and
    `made_up` if that passed while the program was down, and `unrecorded` if it may start a second run after a crash. It
    has the number of a `replica`, and the `runner` unless that is `thread`."""
    STARTED = "started"
    """Signals that the run's body is about to be called."""
    READY = "ready"
    """Signals that the run is ready: it is doing its work."""
    CANCEL_REQUESTED = "cancel_requested"
    """Signals that the run was requested to stop, and why; `data` has `disarmed` if a user stopped the job and its
    schedule catches up."""
    STOP_OVERDUE = "stop_overdue"
    """Signals that the run outlived its `within`; `data` has the place of its thread, and `otherwise` if it is killed
    now."""
    ENDED = "ended"
    """Signals that the run ended, and how; exactly one for each queued run. `data` has what it has
    counted and reported (`counts`, `progress`), and the place of one that was abandoned because of `join: 0s`."""
    LATE_EXIT = "late_exit"
    """Signals that the thread or the processes of an abandoned run have ended after all."""
    SKIPPED = "skipped"
    """Signals that a waiting job will not start, and why; `data` as of `cancel_requested`."""
    BLOCKED = "blocked"
    """Signals that the job cannot get a run while the thread of its abandoned run is alive, or `until` something of its
    lost run may be executing; `data` has `otherwise` if its processes were killed in vain."""
    RESTART_SCHEDULED = "restart_scheduled"
    """Signals that another run follows the one that ended, after at least `seconds`; `data` has the delay without the
    jitter."""
    FLAPPING = "flapping"
    """Signals that the job restarted so often lately that something must be wrong; `data` has the number."""
    GAVE_UP = "gave_up"
    """Signals that no restart follows although the policy requires one; `data` has the cause."""
    RESET = "reset"
    """Signals that the failures of the job were forgotten, and why: its restart delay, the window of its limit, and the
    marks `flapping` and `gave up`. If it waited for its restart delay, `queued` comes instead."""
    MISSED = "missed"
    """Signals that instants of the schedule passed without a run; `data` has the last one, the number, the cause, and
    `pending` if an earlier one still waits to start a run."""
    PAUSED = "paused"
    """Signals that a user paused the schedule of the job, and why: each firing is missed until `resumed`."""
    RESUMED = "resumed"
    """Signals that the job is held back no longer, and why: it was paused, or a user had stopped it. `start` and
    `restart`, which end the hold of a stopped job too, have no such event."""
    PLACED = "placed"
    """Signals where the run executes, if not here: `data` has the `host`, the `worker` and the `pid`, which is 0 while
    it is not known. At most two for each run."""
    UNREACHABLE = "unreachable"
    """Signals that nothing is heard of the run's worker; `data` has `since`. The run may still be executing."""
    REACHABLE = "reachable"
    """Signals that an unreachable run is heard of again, after `seconds`."""
    RELEASED = "released"
    """Signals that nothing is left of a lost run any more, `seconds` after its end; `data` has `confirmed`: true if its
    runner has found that out, false if its time is over."""
    UNRESPONSIVE = "unresponsive"
    """Signals that the run has not polled for longer than its watchdog allows; `data` has the poll age, and how the
    runner found out if not by that."""
    RESPONSIVE = "responsive"
    """Signals that an unresponsive run polled again, after `seconds`."""
    CALLBACK_FAILED = "callback_failed"
    """Signals that `terminate()` or an `on_cancel` callback raised, or did not begin in time."""


FAILURE_OUTCOMES = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.START_FAILED, Outcome.LOST, Outcome.ABANDONED})
"""The outcomes of a run that needs attention."""


class Audience(NamedTuple):
    """For whom events are made: those with these names, and the end of a run only if it has one of these outcomes.

    All others are counted but not made: most programs have no listener, and a run has at least four events.
    """

    names: frozenset[EventName]
    outcomes: frozenset[Outcome]


EVERYTHING = Audience(frozenset(EventName), frozenset(Outcome))
NO_EVENTS = Audience(frozenset(), frozenset())
FAILURES = Audience(
    frozenset(
        {
            EventName.ENDED,
            EventName.STOP_OVERDUE,
            EventName.BLOCKED,
            EventName.GAVE_UP,
            EventName.CALLBACK_FAILED,
            EventName.RELOAD_OVERDUE,
        }
    ),
    FAILURE_OUTCOMES,
)
"""The events that are logged even without a listener."""


class Event(NamedTuple):
    """One event.

    `seq` counts from 1 without a gap per scheduler; `at` is seconds since the epoch, `mono` monotonic seconds.
    """

    seq: int
    at: float
    mono: float
    event: EventName
    job: str | None = None
    run: str | None = None
    attempt: int | None = None
    reason: Reason | None = None
    outcome: Outcome | None = None
    seconds: float | None = None
    error: ErrorInfo | None = None
    data: Mapping[str, Any] = NOTHING


def format_wall(seconds: float) -> str:
    """Format seconds since the epoch as RFC 3339, in UTC, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def as_dict(event: Event) -> dict[str, Any]:
    """Return the event as a JSON object: only the fields that apply, with `data` merged in."""
    out: dict[str, Any] = {
        "seq": event.seq,
        "at": format_wall(event.at),
        "mono": finite(event.mono),
        "event": event.event.value,
    }
    for name, value in (("job", event.job), ("run", event.run), ("attempt", event.attempt)):
        if value is not None:
            out[name] = value
    if event.reason is not None:
        out["reason"] = {"kind": event.reason.kind.value, "text": event.reason.text}
    if event.outcome is not None:
        out["outcome"] = event.outcome.value
    if event.seconds is not None:
        out["seconds"] = finite(event.seconds)
    if event.error is not None:
        error = event.error
        out["error"] = {"type": error.type, "message": error.message, "traceback": error.traceback}
    out.update(plain(event.data))
    return out
