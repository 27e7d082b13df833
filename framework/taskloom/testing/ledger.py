"""What a stream of events may look like: a fold that knows nothing of the lifecycle, and objects.

The rules are the invariants of the design, by their numbers: I1 one end for each run, I3 one live thread for each job,
I4 the order within a run and the gapless numbers, I7 who outlived the stop is named, I8 the ledger of the abandoned,
I9 nothing starts once everything stops.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from taskloom.core.events import Event

__all__ = ["Fact", "Ledger", "Violation", "fact_of"]

# Events are written with microseconds; a difference of two and a third may be off by each one's rounding.
ROUNDING_SECONDS = 3e-6

# What may still come once the stop is over: words of those who outlived it.
LATE = {"ready", "ended", "late_exit", "callback_failed", "started"}


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


def fact_of(event: Event | Mapping[str, Any]) -> Fact:
    """Read an event record or its JSON object. Raises KeyError or TypeError for what is no event."""
    if isinstance(event, Event):
        reason = (event.reason.kind.value, event.reason.text) if event.reason is not None else None
        outcome = event.outcome.value if event.outcome is not None else None
        has_error = event.error is not None
        return Fact(event.seq, event.mono, event.event.value, event.job, event.run, reason, outcome, event.seconds,
                    has_error, event.data)  # fmt: skip
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
    )


@dataclass(slots=True)
class RunFacts:
    """What the events said of one run so far; times are monotonic seconds."""

    run: str
    job: str
    queued: float
    started: float | None = None
    ready: float | None = None
    asked: float | None = None
    reason: tuple[str, str] | None = None
    overdue: float | None = None
    outcome: str | None = None
    ended: float | None = None
    is_blocking: bool = False

    @property
    def is_awaited(self) -> bool:
        """Asked, and neither ended nor given up."""
        return self.asked is not None and self.ended is None and self.overdue is None


@dataclass(slots=True)
class Ledger:
    """Folds events, one after another, and notes what breaks a rule."""

    violations: list[Violation] = field(default_factory=list)
    jobs: set[str] = field(default_factory=set)
    live: dict[str, RunFacts] = field(default_factory=dict)
    """Runs whose thread may be alive, abandoned ones among them."""
    live_of_job: dict[str, RunFacts] = field(default_factory=dict)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each (job, outcome) came."""
    runs: Counter[str] = field(default_factory=Counter)
    stopping: float | None = None
    stopped: float | None = None
    _seen: set[str] = field(default_factory=set)
    _seq: int = 0
    _mono: float = float("-inf")
    _has_started: bool = False

    def enter(self, fact: Fact) -> None:
        """Take in the next event."""
        self._check_numbers(fact)
        handler = _HANDLERS.get(fact.event)
        if handler is None:
            self._broken("I4", fact, f"no event is named {fact.event!r}")
        else:
            if self.stopped is not None and fact.event not in LATE:
                self._broken("I9", fact, f"{fact.event} after scheduler_stopped")
            handler(self, fact)

    def close(self) -> None:
        """Judge what only the end can tell: call it when the stream is whole, from first event to last."""
        last = Fact(self._seq, self._mono, "the end", None, None, None, None, None, False, {})
        if self.stopped is None:
            self._broken("I7", last, "the stop was never over")
        for run in self.live.values():
            if run.ended is None and run.overdue is None:
                self._broken("I1", last, f"{run.run} neither ended nor was found overdue")
            if run.outcome == "abandoned" and not run.is_blocking:
                self._broken("I8", last, f"{run.run} was abandoned, and its job was not blocked")

    def _broken(self, rule: str, fact: Fact, text: str) -> None:
        self.violations.append(Violation(rule, fact.seq, text))

    def _check_numbers(self, fact: Fact) -> None:
        if fact.seq != self._seq + 1:
            self._broken("I4", fact, f"seq {fact.seq} follows {self._seq}")
        if fact.mono < self._mono:
            self._broken("I4", fact, f"the monotonic clock went back by {self._mono - fact.mono:g} s")
        self._seq, self._mono = fact.seq, max(fact.mono, self._mono)

    def _run_of(self, fact: Fact) -> RunFacts | None:
        run = self.live.get(fact.run or "")
        if run is None:
            self._broken("I1", fact, f"{fact.event} of {fact.run}, which is not live")
        elif run.job != fact.job:
            self._broken("I4", fact, f"{fact.event} of {fact.run} names job {fact.job}")
        return run

    # -- jobs

    def _job_added(self, fact: Fact) -> None:
        if fact.job is None or fact.job in self.jobs:
            self._broken("I9", fact, f"job {fact.job} was added twice")
        if self.stopping is not None:
            self._broken("I9", fact, f"job {fact.job} was added while everything stops")
        self.jobs.add(fact.job or "")

    def _skipped(self, fact: Fact) -> None:
        if fact.reason is None:
            self._broken("I4", fact, f"job {fact.job} was skipped without a reason")
        if fact.job in self.live_of_job:
            self._broken("I9", fact, f"job {fact.job} was skipped while it has a run")

    def _blocked(self, fact: Fact) -> None:
        run = self._run_of(fact)
        if run is not None:
            if run.outcome != "abandoned" or run.is_blocking:
                self._broken("I8", fact, f"job {fact.job} was blocked by {fact.run}, which was not just abandoned")
            run.is_blocking = True

    # -- runs

    def _queued(self, fact: Fact) -> None:
        name, job = fact.run or "", fact.job or ""
        if job not in self.jobs:
            self._broken("I4", fact, f"{name} was queued before its job was added")
        if self.stopping is not None:
            self._broken("I9", fact, f"{name} was queued while everything stops")
        if name in self._seen:
            self._broken("I1", fact, f"{name} was queued twice")
        if job in self.live_of_job:
            self._broken("I3", fact, f"{name} was queued while {self.live_of_job[job].run} is live")
        self._seen.add(name)
        self.runs[job] += 1
        self.live[name] = self.live_of_job[job] = RunFacts(name, job, fact.mono)

    def _started(self, fact: Fact) -> None:
        run = self._run_of(fact)
        if run is not None:
            if run.started is not None or run.ready is not None or run.ended is not None:
                self._broken("I4", fact, f"{fact.run} started after it had started, was ready or ended")
            run.started = fact.mono

    def _ready(self, fact: Fact) -> None:
        run = self._run_of(fact)
        if run is not None:
            if run.started is None or run.ready is not None or run.ended is not None:
                self._broken("I4", fact, f"{fact.run} was ready before it started, twice or after its end")
            run.ready = fact.mono

    def _cancel_requested(self, fact: Fact) -> None:
        run = self._run_of(fact)
        if run is not None:
            if run.asked is not None or run.ended is not None:
                self._broken("I4", fact, f"{fact.run} was asked to stop twice or after its end")
            if fact.reason is None:
                self._broken("I4", fact, f"{fact.run} was asked to stop without a reason")
            run.asked, run.reason = fact.mono, fact.reason

    def _stop_overdue(self, fact: Fact) -> None:
        run = self._run_of(fact)
        if run is None:
            return
        if run.asked is None or run.overdue is not None or run.ended is not None:
            self._broken("I7", fact, f"{fact.run} was found overdue unasked, twice or after its end")
        within = fact.data.get("within", -1.0)
        # The event's `within` is written with milliseconds.
        if run.asked is not None and not 0 <= within <= fact.mono - run.asked + 0.001:
            self._broken("I7", fact, f"{fact.run} was overdue after {fact.mono - run.asked:g} s, within was {within:g}")
        run.overdue = fact.mono

    def _ended(self, fact: Fact) -> None:
        run = self._run_of(fact)
        if run is None:
            return
        if run.ended is not None:
            self._broken("I1", fact, f"{fact.run} ended twice")
        for text in _judge_end(run, fact):
            self._broken("I1", fact, f"{fact.run} {text}")
        run.outcome, run.ended = fact.outcome, fact.mono
        self.outcomes[run.job, fact.outcome or ""] += 1
        if fact.outcome != "abandoned":
            self._forget(run)

    def _late_exit(self, fact: Fact) -> None:
        run = self._run_of(fact)
        if run is None:
            return
        if run.outcome != "abandoned" or run.ended is None:
            self._broken("I8", fact, f"{fact.run} exited late, and was not abandoned")
        elif _differ(fact.seconds, fact.mono - run.ended):
            self._broken("I8", fact, f"{fact.run} exited {fact.mono - run.ended:g} s late, not {fact.seconds}")
        self._forget(run)

    def _callback_failed(self, fact: Fact) -> None:
        if self._run_of(fact) is not None and not fact.has_error:
            self._broken("I4", fact, f"a callback of {fact.run} failed without an error")

    def _forget(self, run: RunFacts) -> None:
        del self.live[run.run]
        if self.live_of_job.get(run.job) is run:
            del self.live_of_job[run.job]

    # -- the scheduler

    def _scheduler_started(self, fact: Fact) -> None:
        if self._has_started or self.stopping is not None:
            self._broken("I9", fact, "the scheduler started twice, or after its stop")
        self._has_started = True

    def _scheduler_stopping(self, fact: Fact) -> None:
        if self.stopping is not None:
            self._broken("I9", fact, "everything was stopped twice")
        if fact.reason is None:
            self._broken("I4", fact, "everything was stopped without a reason")
        self.stopping = fact.mono

    def _scheduler_stopped(self, fact: Fact) -> None:
        if self.stopping is None or self.stopped is not None:
            self._broken("I9", fact, "the stop was over before it began, or twice")
        self.stopped = fact.mono
        for run in self.live.values():
            if run.ended is None and run.overdue is None:
                self._broken("I7", fact, f"the stop was over while {run.run} was still awaited or not even asked")
        if fact.data.get("survivors") != len(self.live):
            self._broken("I8", fact, f"{fact.data.get('survivors')} survivors were counted, {len(self.live)} live")


def _differ(first: float | None, second: float) -> bool:
    return first is None or abs(first - second) > ROUNDING_SECONDS


def _judge_end(run: RunFacts, fact: Fact) -> list[str]:
    """Return what does not fit between how a run ended and what was said of it before."""
    outcome = fact.outcome
    was_asked, has_started = run.asked is not None, run.started is not None
    seconds = fact.mono - run.started if run.started is not None else 0.0
    complaints = {
        f"ended after {seconds:g} s, not {fact.seconds}": _differ(fact.seconds, seconds),
        f"ended {outcome}, and never started": outcome in ("succeeded", "failed", "timed_out") and not has_started,
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

_HANDLERS: dict[str, Callable[[Ledger, Fact], None]] = {
    "scheduler_started": Ledger._scheduler_started,
    "scheduler_stopping": Ledger._scheduler_stopping,
    "scheduler_stopped": Ledger._scheduler_stopped,
    "job_added": Ledger._job_added,
    "queued": Ledger._queued,
    "started": Ledger._started,
    "ready": Ledger._ready,
    "cancel_requested": Ledger._cancel_requested,
    "stop_overdue": Ledger._stop_overdue,
    "ended": Ledger._ended,
    "late_exit": Ledger._late_exit,
    "skipped": Ledger._skipped,
    "blocked": Ledger._blocked,
    "callback_failed": Ledger._callback_failed,
}
