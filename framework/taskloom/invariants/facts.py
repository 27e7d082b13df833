"""What one event says, and what the events said of one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from taskloom.core.enums import FastEnum
from taskloom.core.events import Event, EventName
from taskloom.core.model import Outcome, ReasonKind
from taskloom.text import duration

__all__ = ["Fact", "RunFacts", "Violation", "differ", "fact_of", "judge_end"]

# Events are written with microseconds; a difference of two and a third may be off by each one's rounding.
ROUNDING_SECONDS = 3e-6

_WORDS: dict[FastEnum, str] = {word: word.value for words in (EventName, Outcome, ReasonKind) for word in words}


class Violation(NamedTuple):
    """One broken rule: its number, where it showed (`seq` of the event, or the step of a history), and what."""

    rule: str
    where: int
    text: str

    def __str__(self) -> str:
        return f"{self.rule} at {self.where}: {self.text}"


class Fact(NamedTuple):
    """An event, in the form in which both its records and its JSON are judged."""

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
    """Read an event record or its JSON object. Raises KeyError or TypeError for what is no event."""
    if isinstance(event, Event):
        # A week of jobs is millions of events: `value` is Python code before 3.12, and a dictionary is not.
        reason = (_WORDS[event.reason.kind], event.reason.text) if event.reason is not None else None
        outcome = _WORDS[event.outcome] if event.outcome is not None else None
        has_error = event.error is not None
        return Fact(event.seq, event.mono, _WORDS[event.event], event.job, event.run, reason, outcome, event.seconds,
                    has_error, event.data, event.attempt)  # fmt: skip
    written = event.get("reason")
    return Fact(
        event["seq"],
        event["mono"],
        event["event"],
        event.get("job"),
        event.get("run"),
        (written["kind"], written["text"]) if written is not None else None,
        event.get("outcome"),
        event.get("seconds"),
        event.get("error") is not None,
        event,
        event.get("attempt"),
    )


@dataclass(slots=True)
class RunFacts:
    """What the events said of one run so far; times are monotonic seconds."""

    run: str
    job: str
    queued: float
    attempt: int = 1
    started: float | None = None
    ready: float | None = None
    asked: float | None = None
    reason: tuple[str, str] | None = None
    overdue: float | None = None
    outcome: str | None = None
    ended: float | None = None
    is_blocking: bool = False
    unresponsive: float | None = None
    restart_at: float | None = None
    """Not before this second another run may follow it as a restart."""

    @property
    def is_awaited(self) -> bool:
        """Asked, and neither ended nor given up."""
        return self.asked is not None and self.ended is None and self.overdue is None


def differ(first: float | None, second: float) -> bool:
    """Tell whether two durations differ by more than their events were rounded."""
    return first is None or abs(first - second) > ROUNDING_SECONDS


def judge_end(run: RunFacts, fact: Fact) -> list[str]:
    """Return what does not fit between how a run ended and what was said of it before."""
    outcome, has_started = fact.outcome, run.started is not None
    seconds = fact.mono - run.started if run.started is not None else 0.0
    kind = fact.reason[0] if fact.reason is not None else ""
    was_stopped = outcome in _STOPPED
    complaints = (
        (differ(fact.seconds, seconds), "ended after {seconds}, not {fact.seconds}"),
        (outcome in _ENTERED and not has_started and kind != "watchdog", "ended {fact.outcome}, and never started"),
        (was_stopped and run.asked is None, "ended {fact.outcome}, and nobody had asked"),
        (was_stopped and fact.reason is None, "ended {fact.outcome} without its reason"),
        (outcome == "start_failed" and has_started, "failed to start, and had started"),
        (outcome in _FAILED and not fact.has_error and kind != "watchdog", "ended {fact.outcome} without an error"),
        (outcome == "succeeded" and (fact.has_error or fact.reason is not None),
         "succeeded with an error or a reason"),
        (outcome == "timed_out" and kind != "deadline", "timed out for another reason"),
        (outcome == "abandoned" and run.overdue is None, "was abandoned before it was overdue"),
        (fact.reason is not None and fact.reason != run.reason,
         "ended for {fact.reason}, first asked for {run.reason}"),
        (outcome not in _OUTCOMES, "ended with no known outcome: {fact.outcome}"),
    )  # fmt: skip
    return [text.format(fact=fact, run=run, seconds=duration(seconds)) for is_broken, text in complaints if is_broken]


_OUTCOMES = {"succeeded", "failed", "cancelled", "timed_out", "start_failed", "abandoned"}
_ENTERED, _FAILED, _STOPPED = (
    {"succeeded", "failed"},
    {"failed", "start_failed"},
    {"cancelled", "timed_out", "abandoned"},
)
