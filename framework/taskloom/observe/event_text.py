"""Events in plain words: what each means, for a person who reads the log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from taskloom.core.events import Event, EventName
from taskloom.core.model import Outcome
from taskloom.core.restart import FLAPPING_RESTARTS, FLAPPING_SECONDS
from taskloom.text import duration, measured

__all__ = ["LogLine", "describe"]

_BAD = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.START_FAILED, Outcome.ABANDONED)
_WHY_MISSED = {
    "late": "it is too late for it",
    "overlap": "the run before is still going on",
    "blocked": "the thread of an abandoned run still lives",
}
# The end of "and 4,321 more ..."; a kind that is not here is never counted, but always told.
_FAILED, _ENDED, _STARTED, _ASKED = "runs failed", "runs ended", "runs started", "runs were asked to stop"


class LogLine(NamedTuple):
    """One event as the log has it."""

    message: str
    level: str = "INFO"
    kind: str = ""
    """What many of them are called in a sum; "" for what is told each time."""
    traceback: str = ""


def describe(event: Event) -> LogLine | None:
    """Say what an event means, or None where it is not worth a line."""
    teller = _DESCRIBERS.get(event.event)
    return teller(event) if teller is not None else None


def _repeated(event: Event, kind: str) -> str:
    """Return the kind, but "" for a job's first run: what happens once to each job is told of each."""
    return "" if (event.run or "").endswith("#1") else kind


def _started(event: Event) -> LogLine:
    again = f" (attempt {event.attempt})" if (event.attempt or 1) > 1 else ""
    return LogLine(f"started{again}", kind=_repeated(event, _STARTED))


def _cancel_requested(event: Event) -> LogLine:
    return LogLine(f"asked to stop ({event.reason})", kind=_repeated(event, _ASKED))


def _ended(event: Event) -> LogLine:
    outcome, error = event.outcome or Outcome.FAILED, event.error
    message = f"{outcome.value} after {measured(event.seconds or 0.0)}"
    if error is not None:
        message += f": {error}"
    if outcome not in _BAD:
        return LogLine(message, kind=_repeated(event, _ENDED))
    has_traceback = outcome is Outcome.FAILED and error is not None and not error.is_explained
    return LogLine(message, "ERROR", _FAILED, error.traceback.rstrip() if has_traceback and error else "")


def _overdue(event: Event) -> LogLine:
    where = event.data.get("where")
    place = f" at {where}" if where else " at an unknown place"
    age = event.data.get("poll_age")
    polled = "" if age is None else f", no poll for {measured(age)}"
    callbacks = "".join(f", {text}" for text in event.data.get("callbacks", ()))
    message = f"did not stop within {duration(event.data['within'])}: it stands{place}{polled}{callbacks}"
    return LogLine(message, "ERROR", "runs did not stop in time")


def _late_exit(event: Event) -> LogLine:
    message = f"its abandoned thread has ended, {measured(event.seconds or 0.0)} late"
    return LogLine(message, "WARNING", "abandoned threads ended")


def _blocked(_: Event) -> LogLine:
    message = "abandoned: its thread is left behind; no new run until that ends"
    return LogLine(message, "WARNING", "runs were abandoned")


def _skipped(event: Event) -> LogLine:
    return LogLine(f"skipped ({event.reason})", kind="jobs were skipped")


def _callback_failed(event: Event) -> LogLine:
    return LogLine(f"its {event.data['callback']} failed: {event.error}", "WARNING", "callbacks failed")


def _restart_scheduled(event: Event) -> LogLine:
    because = f": {event.error}" if event.error is not None else ""
    message = (
        f"restarting in {duration(event.seconds or 0.0, is_rounded=True)} (attempt {(event.attempt or 0) + 1}){because}"
    )
    return LogLine(message, kind="restarts were scheduled")


def _gave_up(event: Event) -> LogLine:
    return LogLine(f"gave up: {event.data.get('why', 'no restart follows')}", "ERROR", "jobs gave up")


def _flapping(_: Event) -> LogLine:
    message = f"flapping: restarted {FLAPPING_RESTARTS} times in {duration(FLAPPING_SECONDS)}"
    return LogLine(message, "WARNING", "jobs are flapping")


def _missed(event: Event) -> LogLine:
    why, count = str(event.data.get("why", "")), int(event.data.get("count", 1))
    instant = _instant(str(event.data.get("instant", "")), event.at)
    firings = f"its firing of {instant}" if count == 1 else f"{count:,} firings, the last that of {instant}"
    # A policy says that a run which goes on is left alone; the others nobody chose.
    level = "INFO" if why == "overlap" else "WARNING"
    return LogLine(f"missed {firings}: {_WHY_MISSED.get(why, why)}", level, "times a firing was missed")


def _unresponsive(event: Event) -> LogLine:
    message = f"unresponsive: no poll for {measured(event.data.get('poll_age', 0.0))}"
    return LogLine(message, "WARNING", "runs became unresponsive")


def _responsive(event: Event) -> LogLine:
    message = f"polls again, {measured(event.seconds or 0.0)} after it was found unresponsive"
    return LogLine(message, kind="runs polled again")


def _reloaded(event: Event) -> LogLine:
    words = {"add": "added", "remove": "removed", "restart": "to be restarted", "apply": "changed in place"}
    parts = [f"{_listed(event.data[key])} {word}" for key, word in words.items() if event.data.get(key)]
    return LogLine(f"reloaded: {'; '.join(parts) or 'nothing has changed'}")


def _job_removed(_: Event) -> LogLine:
    return LogLine("removed", kind="jobs were removed")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")


def _instant(text: str, at: float) -> str:
    """Return an instant as people here read it; with its date where that is not today's. `at`: now, since the epoch."""
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
    EventName.LATE_EXIT: _late_exit,
    EventName.BLOCKED: _blocked,
    EventName.SKIPPED: _skipped,
    EventName.CALLBACK_FAILED: _callback_failed,
    EventName.RESTART_SCHEDULED: _restart_scheduled,
    EventName.GAVE_UP: _gave_up,
    EventName.FLAPPING: _flapping,
    EventName.MISSED: _missed,
    EventName.UNRESPONSIVE: _unresponsive,
    EventName.RESPONSIVE: _responsive,
    EventName.RELOADED: _reloaded,
    EventName.JOB_REMOVED: _job_removed,
}
