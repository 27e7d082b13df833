"""One event in the form that the rules read, and everything that the events said about one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from taskloom.core.enums import FastEnum
from taskloom.core.events import Event, EventName
from taskloom.core.model import Outcome, ReasonKind
from taskloom.text import duration

__all__ = ["Fact", "RunFacts", "Violation", "check_end", "differ", "fact_of"]

# Events are written with microseconds: the difference of two, compared with a third, is off by up to three roundings.
ROUNDING_SECONDS = 3e-6

_VALUES: dict[FastEnum, str] = {member: member.value for kind in (EventName, Outcome, ReasonKind) for member in kind}


class Violation(NamedTuple):
    """One broken rule: its number, where it was found (`seq` of the event, or the step of a history), and a text."""

    rule: str
    where: int
    text: str

    def __str__(self) -> str:
        return f"{self.rule} at {self.where}: {self.text}"


class Fact(NamedTuple):
    """An event in the form that the rules read, whether it was a record or a JSON object."""

    seq: int
    mono: float
    event: str
    job: str | None
    run: str | None
    reason: tuple[str, str] | None
    outcome: str | None
    seconds: float | None
    has_error: bool
    data: Mapping[str, Any]
    attempt: int | None = None


def fact_of(event: Event | Mapping[str, Any]) -> Fact:
    """Read an event record or its JSON object. Raises KeyError or TypeError if it is not an event."""
    if isinstance(event, Event):
        # A simulated week has millions of events: before Python 3.12 `value` runs Python code, a dictionary does not.
        reason = (_VALUES[event.reason.kind], event.reason.text) if event.reason is not None else None
        outcome = _VALUES[event.outcome] if event.outcome is not None else None
        has_error = event.error is not None
        return Fact(event.seq, event.mono, _VALUES[event.event], event.job, event.run, reason, outcome, event.seconds,
                    has_error, event.data, event.attempt)  # fmt: skip
    get = event.get
    written = get("reason")
    reason = (written["kind"], written["text"]) if written is not None else None
    return Fact(event["seq"], event["mono"], event["event"], get("job"), get("run"), reason, get("outcome"),
                get("seconds"), get("error") is not None, event, get("attempt"))  # fmt: skip


@dataclass(slots=True)
class RunFacts:
    """Everything that the events said about one run so far; times are monotonic seconds."""

    run: str
    job: str
    queued: float
    attempt: int = 1
    started: float | None = None
    ready: float | None = None
    cancel_requested: float | None = None
    reason: tuple[str, str] | None = None
    """The reason of the cancel."""
    overdue: float | None = None
    is_killed: bool = False
    """Whether it is killed because it is overdue: then its end follows before the shutdown is over."""
    outcome: str | None = None
    ended: float | None = None
    is_blocking: bool = False
    unresponsive: float | None = None
    places: int = 0
    """How often it was placed."""
    is_process_known: bool = False
    unreachable: float | None = None
    """Since when it is marked so."""
    restart_at: float | None = None
    """The earliest second at which another run may follow this one as a restart."""


def differ(first: float | None, second: float) -> bool:
    """Return whether two durations differ by more than the rounding of their events."""
    return first is None or abs(first - second) > ROUNDING_SECONDS


def check_end(run: RunFacts, fact: Fact) -> list[str]:
    """Return each contradiction between the end of a run and the events before it."""
    outcome, has_started = fact.outcome, run.started is not None
    seconds = fact.mono - run.started if run.started is not None else 0.0
    kind = fact.reason[0] if fact.reason is not None else ""
    was_stopped = outcome in _STOPPED
    checks = (
        (differ(fact.seconds, seconds), "ended after {seconds}, but its event says {fact.seconds}"),
        (outcome in _ENTERED and not has_started and kind != "watchdog", "ended {fact.outcome} but never started"),
        (was_stopped and run.cancel_requested is None, "ended {fact.outcome} without a cancel request"),
        (was_stopped and fact.reason is None, "ended {fact.outcome} without a reason"),
        (outcome == "start_failed" and has_started, "ended start_failed but had started"),
        (outcome in _FAILED and not fact.has_error and kind != "watchdog", "ended {fact.outcome} without an error"),
        (outcome == "succeeded" and (fact.has_error or fact.reason is not None),
         "ended succeeded with an error or a reason"),
        (outcome == "timed_out" and kind != "deadline", "ended timed_out, but its reason is not a deadline"),
        # A run that no stop waits for is never overdue.
        (outcome == "abandoned" and run.overdue is None and fact.data.get("within") != 0,
         "ended abandoned before it was overdue"),
        (fact.reason is not None and fact.reason != run.reason,
         "ended for {fact.reason}, but its cancel was first requested for {run.reason}"),
        (outcome not in _OUTCOMES, "ended with an unknown outcome: {fact.outcome}"),
    )  # fmt: skip
    return [text.format(fact=fact, run=run, seconds=duration(seconds)) for is_violated, text in checks if is_violated]


_ENTERED, _FAILED = {"succeeded", "failed"}, {"failed", "start_failed", "lost"}
_STOPPED = {"cancelled", "timed_out", "abandoned"}
_OUTCOMES = _ENTERED | _FAILED | _STOPPED
