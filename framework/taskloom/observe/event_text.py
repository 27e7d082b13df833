"""Events as log lines: what each of them means, for people. A reload is logged by the program that does it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from taskloom.core.events import Event, EventName
from taskloom.core.model import Otherwise, Outcome
from taskloom.core.restart import FLAPPING_RESTARTS, FLAPPING_SECONDS
from taskloom.observe.local_time import local_time
from taskloom.scheduler.failure_text import MOST_NAMED, LogLine, describe_failure, reason_text
from taskloom.text import duration, first_of, measured, printable

__all__ = ["STARTED", "LogLine", "describe", "reason_text"]

STARTED = "started"
"""How the line that a run has started begins; from the second attempt on ` (attempt 2)` follows."""

_WHY_MISSED = {
    "late": "too late to make up for",
    "overlap": "the previous run was still running",
    "blocked": "an abandoned or lost run may still be executing",
    "paused": "the job is paused",
    "down": "the program was down",
    "stopping": "its stop began before its run",
}
# How the line "and 4,321 more ..." ends, which replaces lines of one kind that come too fast.
_ENDED, _STARTED, _STOPPING = "runs ended", "runs started", "runs began to stop"


def describe(event: Event) -> LogLine | None:
    """Return the log line for an event, or None if the log leaves it out."""
    describer = _DESCRIBERS.get(event.event)
    return describer(event) if describer is not None else describe_failure(event)


def _repeated(event: Event, kind: str) -> str:
    """Return the kind, or "" for a job's first run: the log names each job at least once."""
    return "" if (event.run or "").endswith("#1") else kind


def _started(event: Event) -> LogLine:
    again = f" (attempt {event.attempt})" if (event.attempt or 1) > 1 else ""
    return LogLine(f"{STARTED}{again}", kind=_repeated(event, _STARTED))


def _queued(event: Event) -> LogLine | None:
    """Say why a run starts at a time that its schedule does not name, and what may follow from a missing record."""
    instant = _instant(str(event.data.get("instant", "")), event.at)
    if event.data.get("unrecorded"):
        text = f"starts, although the history could not record its firing at {instant}; after a crash it may run again"
        return LogLine(text, "WARNING", "runs started without a record")
    if event.data.get("made_up"):
        return LogLine(f"makes up for its firing at {instant}, when the program was down", kind="firings were made up")
    return None


def _cancel_requested(event: Event) -> LogLine:
    why = reason_text(event.reason)
    return LogLine(f"stopping: {why}" if why else "stopping", kind=_repeated(event, _STOPPING))


def _ended(event: Event) -> LogLine:
    line = describe_failure(event)
    if line is not None:
        return line
    outcome = event.outcome.value if event.outcome is not None else "ended"
    message = f"{outcome} after {measured(event.seconds or 0.0)}"
    if event.outcome is Outcome.ABANDONED:
        # Its declaration says so. That its thread is left is said by the line for `blocked`.
        where = printable(event.data["where"] or "an unknown place")
        return LogLine(f"{message}: no stop waits for it (join: 0s); currently at {where}", kind=_ENDED)
    if event.error is not None:
        message += f": {printable(str(event.error))}"
    return LogLine(message, kind=_repeated(event, _ENDED))


def _restart_scheduled(event: Event) -> LogLine:
    because = f": {printable(str(event.error))}" if event.error is not None else ""
    delay = duration(event.seconds or 0.0, is_rounded=True)
    message = f"restarting in {delay} (attempt {(event.attempt or 0) + 1}){because}"
    return LogLine(message, kind="restarts were scheduled")


def _missed(event: Event) -> LogLine:
    why, count = str(event.data.get("why", "")), int(event.data.get("count", 1))
    instant = _instant(str(event.data.get("instant", "")), event.at)
    firings = f"the firing at {instant}" if count == 1 else f"{count:,} firings, the last at {instant}"
    # An overlap is skipped by the policy of the job, and a user paused or stopped it; the other causes are unintended.
    level = "INFO" if why in ("overlap", "paused", "stopping") else "WARNING"
    return LogLine(f"missed {firings}: {_WHY_MISSED.get(why, why)}", level, "times a firing was missed")


def _executing(event: Event) -> str:
    is_killed = event.data.get("otherwise") == Otherwise.KILL.value
    return "abandoned run" if is_killed else "thread of the abandoned run"


def _placed(event: Event) -> LogLine | None:
    """Say where the run is, once its process is known: one line a run."""
    host, worker, pid = (event.data.get(name) for name in ("host", "worker", "pid"))
    if not pid:
        return None
    return LogLine(printable(f"executes on {host} (worker {worker}, process {pid})"), kind="runs were placed")


def _unreachable(event: Event) -> LogLine:
    since = _instant(str(event.data.get("since", "")), event.at)
    return LogLine(
        f"unreachable: nothing heard of its worker since {since}; it may still be executing",
        "WARNING",
        "runs became unreachable",
    )


def _released(event: Event) -> LogLine:
    after, is_confirmed = measured(event.seconds or 0.0), event.data.get("confirmed")
    how = "its end is confirmed" if is_confirmed else "its time is over"
    return LogLine(f"nothing is left of the lost run after {after}: {how}", kind="lost runs were released")


def _silence(event: Event) -> str:
    """Return how it was found out that a run does not respond: by its polls, unless its runner says otherwise."""
    because = event.data.get("because")
    return printable(str(because)) if because else f"no poll for {measured(event.data.get('poll_age', 0.0))}"


def _held(event: Event, verb: str) -> str:
    """Return `paused by alice` for the reason of the verb, `pause, by alice`; and `paused: too loud` for another."""
    text, done = reason_text(event.reason), f"{verb.removesuffix('e')}ed"
    return f"{done} {text.removeprefix(f'{verb}, ')}" if text.startswith(f"{verb}, by ") else f"{done}: {text}"


def _reload_waiting(event: Event) -> LogLine:
    jobs, runs = event.data.get("jobs", ()), event.data.get("runs", ())
    begin, have = "begins" if len(jobs) == 1 else "begin", "has" if len(runs) == 1 else "have"
    return LogLine(f"reload: {first_of(jobs, MOST_NAMED)} {begin} when {first_of(runs, MOST_NAMED)} {have} ended")


def _instant(text: str, at: float) -> str:
    """Return the local time of an instant, with its date unless that is today. `at`: now, since the epoch."""
    try:
        return local_time(datetime.fromisoformat(text).timestamp(), at)
    except ValueError:
        return text or "an unknown time"


_DESCRIBERS: dict[EventName, Callable[[Event], LogLine | None]] = {
    EventName.QUEUED: _queued,
    EventName.STARTED: _started,
    EventName.CANCEL_REQUESTED: _cancel_requested,
    EventName.ENDED: _ended,
    EventName.LATE_EXIT: lambda event: LogLine(
        f"the {_executing(event)} has ended, {measured(event.seconds or 0.0)} late",
        "WARNING",
        "abandoned runs ended",
    ),
    EventName.SKIPPED: lambda event: LogLine(f"skipped ({printable(str(event.reason))})", kind="jobs were skipped"),
    EventName.RESTART_SCHEDULED: _restart_scheduled,
    EventName.FLAPPING: lambda _: LogLine(
        f"flapping: restarted {FLAPPING_RESTARTS} times in {duration(FLAPPING_SECONDS)}", "WARNING", "jobs are flapping"
    ),
    EventName.RESET: lambda event: LogLine(
        f"its failures are forgotten: {reason_text(event.reason)}", kind="jobs had their failures forgotten"
    ),
    EventName.MISSED: _missed,
    EventName.PAUSED: lambda event: LogLine(_held(event, "pause"), kind="jobs were paused"),
    EventName.RESUMED: lambda event: LogLine(_held(event, "resume"), kind="jobs were resumed"),
    EventName.UNRESPONSIVE: lambda event: LogLine(
        f"unresponsive: {_silence(event)}", "WARNING", "runs became unresponsive"
    ),
    EventName.RESPONSIVE: lambda event: LogLine(
        f"responsive again after {measured(event.seconds or 0.0)}", kind="runs became responsive again"
    ),
    EventName.PLACED: _placed,
    EventName.UNREACHABLE: _unreachable,
    EventName.REACHABLE: lambda event: LogLine(
        f"reachable again after {measured(event.seconds or 0.0)}", kind="runs became reachable again"
    ),
    EventName.RELEASED: _released,
    EventName.RELOAD_WAITING: _reload_waiting,
    EventName.JOB_REMOVED: lambda _: LogLine("removed", kind="jobs were removed"),
}
