"""What one event says, and what the events said of one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from taskloom.core.events import Event

__all__ = ["Fact", "RunFacts", "Violation", "differ", "fact_of", "judge_end"]

# Events are written with microseconds; a difference of two and a third may be off by each one's rounding.
ROUNDING_SECONDS = 3e-6


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
        reason = (event.reason.kind.value, event.reason.text) if event.reason is not None else None
        outcome = event.outcome.value if event.outcome is not None else None
        has_error = event.error is not None
        return Fact(event.seq, event.mono, event.event.value, event.job, event.run, reason, outcome, event.seconds,
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
    outcome = fact.outcome
    was_asked, has_started = run.asked is not None, run.started is not None
    seconds = fact.mono - run.started if run.started is not None else 0.0
    complaints = {
        f"ended after {seconds:g} s, not {fact.seconds}": differ(fact.seconds, seconds),
        f"ended {outcome}, and never started": outcome in ("succeeded", "failed") and not has_started
                                                 and (fact.reason or ("",))[0] != "watchdog",
        f"ended {outcome}, and nobody had asked": outcome in ("cancelled", "timed_out", "abandoned") and not was_asked,
        f"ended {outcome} without its reason": outcome in ("cancelled", "timed_out", "abandoned") and not fact.reason,
        "failed to start, and had started": outcome == "start_failed" and has_started,
        f"ended {outcome} without an error": outcome in ("failed", "start_failed") and not fact.has_error
                                             and (fact.reason or ("",))[0] != "watchdog",
        "succeeded with an error or a reason": outcome == "succeeded" and (fact.has_error or fact.reason is not None),
        "timed out for another reason": outcome == "timed_out" and (fact.reason or ("",))[0] != "deadline",
        "was abandoned before it was overdue": outcome == "abandoned" and run.overdue is None,
        f"ended for {fact.reason}, first asked for {run.reason}": fact.reason is not None and fact.reason != run.reason,
        f"ended with no known outcome: {outcome}": outcome not in _OUTCOMES,
    }  # fmt: skip
    return [text for text, is_broken in complaints.items() if is_broken]


_OUTCOMES = {"succeeded", "failed", "cancelled", "timed_out", "start_failed", "abandoned"}
