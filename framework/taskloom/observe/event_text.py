"""Events as log lines: what each of them means, for people."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from taskloom.core.events import Event, EventName
from taskloom.core.model import Outcome, Reason, ReasonKind
from taskloom.core.restart import FLAPPING_RESTARTS, FLAPPING_SECONDS
from taskloom.text import duration, first_of, measured, printable

__all__ = ["LogLine", "describe", "reason_text"]

_BAD = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.START_FAILED, Outcome.ABANDONED)
_WHY_MISSED = {
    "late": "too late to make up for",
    "overlap": "the previous run was still running",
    "blocked": "the thread of an abandoned run is still alive",
}
# How the line "and 4,321 more ..." ends, which replaces lines of one kind that come too fast.
_FAILED, _ENDED, _STARTED, _STOPPING = "runs failed", "runs ended", "runs started", "runs began to stop"


class LogLine(NamedTuple):
    """The log line for one event."""

    message: str
    level: str = "INFO"
    kind: str = ""
    """The name under which such lines are counted if there are too many; "" if each is written."""
    traceback: str = ""


def describe(event: Event) -> LogLine | None:
    """Return the log line for an event, or None if the log leaves it out."""
    describer = _DESCRIBERS.get(event.event)
    return describer(event) if describer is not None else None


def _repeated(event: Event, kind: str) -> str:
    """Return the kind, or "" for a job's first run: the log names each job at least once."""
    return "" if (event.run or "").endswith("#1") else kind


def _started(event: Event) -> LogLine:
    again = f" (attempt {event.attempt})" if (event.attempt or 1) > 1 else ""
    return LogLine(f"started{again}", kind=_repeated(event, _STARTED))


def _cancel_requested(event: Event) -> LogLine:
    why = reason_text(event.reason)
    return LogLine(f"stopping: {why}" if why else "stopping", kind=_repeated(event, _STOPPING))


def reason_text(reason: Reason | None) -> str:
    """Return the text of a reason, or what its kind says alone."""
    if reason is None:
        return ""
    return printable(reason.text) or ("requested" if reason.kind is ReasonKind.USER else reason.kind.value)


def _ended(event: Event) -> LogLine:
    outcome, error = event.outcome or Outcome.FAILED, event.error
    message = f"{outcome.value} after {measured(event.seconds or 0.0)}"
    if error is not None:
        # A failure that its message explains may do so in several lines. For all others the traceback has the lines.
        message += f": {error}" if error.is_explained else f": {printable(str(error))}"
    if outcome is Outcome.ABANDONED and event.data.get("within") == 0:
        # Its declaration says so. That its thread is left is said by the line for `blocked`.
        where = printable(event.data["where"] or "an unknown place")
        return LogLine(f"{message}: no stop waits for it (join: 0s); currently at {where}", kind=_ENDED)
    if outcome not in _BAD:
        return LogLine(message, kind=_repeated(event, _ENDED))
    has_traceback = outcome is Outcome.FAILED and error is not None and not error.is_explained
    return LogLine(message, "ERROR", _FAILED, error.traceback.rstrip() if has_traceback and error else "")


def _overdue(event: Event) -> LogLine:
    where, age = printable(event.data.get("where") or "an unknown place"), event.data.get("poll_age")
    polled = "" if age is None else f", no poll for {measured(age)}"
    callbacks = "".join(f", {printable(text)}" for text in event.data.get("callbacks", ()))
    within = duration(event.data["within"], is_rounded=True)
    message = f"did not stop within {within}: currently at {where}{polled}{callbacks}"
    return LogLine(message, "ERROR", "runs did not stop in time")


def _restart_scheduled(event: Event) -> LogLine:
    because = f": {printable(str(event.error))}" if event.error is not None else ""
    delay = duration(event.seconds or 0.0, is_rounded=True)
    message = f"restarting in {delay} (attempt {(event.attempt or 0) + 1}){because}"
    return LogLine(message, kind="restarts were scheduled")


def _missed(event: Event) -> LogLine:
    why, count = str(event.data.get("why", "")), int(event.data.get("count", 1))
    instant = _instant(str(event.data.get("instant", "")), event.at)
    firings = f"the firing at {instant}" if count == 1 else f"{count:,} firings, the last at {instant}"
    # An overlap is skipped by the policy of the job; the other causes are unintended.
    level = "INFO" if why == "overlap" else "WARNING"
    return LogLine(f"missed {firings}: {_WHY_MISSED.get(why, why)}", level, "times a firing was missed")


def _reloaded(event: Event) -> LogLine:
    verbs = {"add": "added", "remove": "removed", "restart": "to be restarted", "apply": "changed in place"}
    parts = [f"{first_of(event.data[key], 5)} {verb}" for key, verb in verbs.items() if event.data.get(key)]
    return LogLine(f"reloaded: {'; '.join(parts) or 'nothing has changed'}")


def _instant(text: str, at: float) -> str:
    """Return the local time of an instant, with its date unless that is today. `at`: now, since the epoch."""
    try:
        instant = datetime.fromisoformat(text).astimezone()
    except ValueError:
        return text or "an unknown time"
    today = datetime.fromtimestamp(at).astimezone().date()
    return f"{instant:%H:%M:%S}" if instant.date() == today else f"{instant:%Y-%m-%d %H:%M:%S}"


_DESCRIBERS: dict[EventName, Callable[[Event], LogLine]] = {
    EventName.STARTED: _started,
    EventName.CANCEL_REQUESTED: _cancel_requested,
    EventName.ENDED: _ended,
    EventName.STOP_OVERDUE: _overdue,
    EventName.LATE_EXIT: lambda event: LogLine(
        f"the thread of the abandoned run has ended, {measured(event.seconds or 0.0)} late",
        "WARNING",
        "abandoned threads ended",
    ),
    EventName.BLOCKED: lambda _: LogLine(
        "abandoned: its thread is still running; no new run starts until it ends", "WARNING", "runs were abandoned"
    ),
    EventName.SKIPPED: lambda event: LogLine(f"skipped ({printable(str(event.reason))})", kind="jobs were skipped"),
    EventName.CALLBACK_FAILED: lambda event: LogLine(
        printable(f"{event.data['callback']} failed: {event.error}"), "WARNING", "callbacks failed"
    ),
    EventName.RESTART_SCHEDULED: _restart_scheduled,
    EventName.GAVE_UP: lambda event: LogLine(
        printable(f"gave up: {event.data.get('why', 'no restart follows')}"), "ERROR", "jobs gave up"
    ),
    EventName.FLAPPING: lambda _: LogLine(
        f"flapping: restarted {FLAPPING_RESTARTS} times in {duration(FLAPPING_SECONDS)}", "WARNING", "jobs are flapping"
    ),
    EventName.MISSED: _missed,
    EventName.UNRESPONSIVE: lambda event: LogLine(
        f"unresponsive: no poll for {measured(event.data.get('poll_age', 0.0))}", "WARNING", "runs became unresponsive"
    ),
    EventName.RESPONSIVE: lambda event: LogLine(
        f"responsive again after {measured(event.seconds or 0.0)}", kind="runs became responsive again"
    ),
    EventName.RELOADED: _reloaded,
    EventName.JOB_REMOVED: lambda _: LogLine("removed", kind="jobs were removed"),
}
