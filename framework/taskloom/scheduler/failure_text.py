"""The words for each failure, in the log of `taskloom run`, and of the log of a host program."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from taskloom.core.events import FAILURE_OUTCOMES, Event, EventName
from taskloom.core.model import Otherwise, Outcome, Reason, ReasonKind
from taskloom.text import duration, first_of, local_time, measured, printable

__all__ = ["MOST_NAMED", "LogLine", "describe_failure", "reason_text"]

# More names than these make a line too long to read.
MOST_NAMED = 5


class LogLine(NamedTuple):
    """The log line for one event."""

    message: str
    level: str = "INFO"
    kind: str = ""
    """The name under which such lines are counted if there are too many; "" if each is written."""
    traceback: str = ""


def describe_failure(event: Event) -> LogLine | None:
    """Return the log line for an event, or None if it is not about a failure."""
    describer = _DESCRIBERS.get(event.event)
    return describer(event) if describer is not None else None


def reason_text(reason: Reason | None) -> str:
    """Return the text of a reason, or what its kind says alone."""
    if reason is None:
        return ""
    return printable(reason.text) or ("requested" if reason.kind is ReasonKind.USER else reason.kind.value)


def _ended(event: Event) -> LogLine | None:
    outcome, error = event.outcome, event.error
    if outcome not in FAILURE_OUTCOMES or outcome is None:
        return None
    if outcome is Outcome.ABANDONED and event.data.get("within") == 0:
        return None  # no stop waits for the run: its declaration says so, with `join: 0s`
    message = f"{outcome.value} after {measured(event.seconds or 0.0)}"
    if error is not None:
        # A failure that its message explains may do so in several lines. For all others the traceback has the lines.
        message += f": {error}" if error.is_explained else f": {printable(str(error))}"
    has_traceback = outcome is Outcome.FAILED and error is not None and not error.is_explained
    return LogLine(message, "ERROR", "runs failed", error.traceback.rstrip() if has_traceback and error else "")


def _overdue(event: Event) -> LogLine:
    where, age = printable(event.data.get("where") or "an unknown place"), event.data.get("poll_age")
    polled = "" if age is None else f", no poll for {measured(age)}"
    callbacks = "".join(f", {printable(text)}" for text in event.data.get("callbacks", ()))
    within = duration(event.data["within"], is_rounded=True)
    # A run that is killed is gone before long, as its job says. If not, `blocked` has the line about that.
    is_killed = event.data.get("otherwise") == Otherwise.KILL.value
    message = f"did not stop within {within}{', killing it' * is_killed}: currently at {where}{polled}{callbacks}"
    return LogLine(message, "WARNING" if is_killed else "ERROR", "runs did not stop in time")


def _blocked(event: Event) -> LogLine:
    if "until" not in event.data:
        return LogLine(f"abandoned: {_left(event)}; no new run starts until it ends", "WARNING", "runs were abandoned")
    until = local_time(datetime.fromisoformat(event.data["until"]).timestamp(), event.at)
    text = f"the lost run may still be executing; no new run starts until {until}, or until its end is confirmed"
    return LogLine(text, "WARNING", "runs were lost")


def _left(event: Event) -> str:
    is_killed = event.data.get("otherwise") == Otherwise.KILL.value
    return "SIGKILL has not ended it" if is_killed else "its thread is still running"


def _reload_overdue(event: Event) -> LogLine:
    jobs, runs = event.data.get("jobs", ()), event.data.get("runs", ())
    begin, have = "begins" if len(jobs) == 1 else "begin", "has" if len(runs) == 1 else "have"
    named = f"{first_of(jobs, MOST_NAMED)} {begin} although {first_of(runs, MOST_NAMED)} {have} not ended"
    return LogLine(f"reload: {named}; both may need the same port or file", "WARNING")


_DESCRIBERS: dict[EventName, Callable[[Event], LogLine | None]] = {
    EventName.ENDED: _ended,
    EventName.STOP_OVERDUE: _overdue,
    EventName.BLOCKED: _blocked,
    EventName.GAVE_UP: lambda event: LogLine(
        printable(f"gave up: {event.data.get('why', 'no restart follows')}"), "ERROR", "jobs gave up"
    ),
    EventName.RELOAD_OVERDUE: _reload_overdue,
    EventName.CALLBACK_FAILED: lambda event: LogLine(
        printable(f"{event.data['callback']} failed: {event.error}"), "WARNING", "callbacks failed"
    ),
}
