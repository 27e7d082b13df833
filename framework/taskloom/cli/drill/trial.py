"""A stop drill: one job after the other, each alone, is really started, asked to stop, and timed.

A job is drilled by its task and its join policy. What else decides when it starts, or whether it comes back, is taken
off: schedule, dependencies, delay, restart, replicas, deadlines. Its thread is a daemon, so that a run which does not
stop holds up neither the drill nor the end of the program.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from taskloom.cli.drill.poll_times import PollClock, timed
from taskloom.clock import mono
from taskloom.core.events import Event, EventName
from taskloom.core.model import (
    WAIT_FOR_EVER,
    ErrorInfo,
    JobSpec,
    JoinPolicy,
    Otherwise,
    Outcome,
    Reason,
    ReasonKind,
    StartMode,
    StartPolicy,
)
from taskloom.core.policies import RestartPolicy
from taskloom.core.report import StopReport
from taskloom.scheduler.facade import STOP_WITHIN_SECONDS, Scheduler
from taskloom.sync.latch import Latch

__all__ = ["DrillResult", "Drilled", "drill_job", "patience_for"]

# How often it is looked whether the run lets a long time pass without a poll, and what is long.
LOOK_SECONDS = 0.01
LONG_GAP_SECONDS = 0.05
# What a job gets whose `join: 0s` awaits nobody: it is timed out of interest.
UNAWAITED_SECONDS = 1.0
# Events come from a thread of their own, which needs a moment; far more than that would be a bug.
TELLING_SECONDS = 10.0
# Ctrl-C in the middle of a drill.
INTERRUPTED_SECONDS = 2.0


class DrillResult(Enum):
    """What a drill says of a job."""

    IN_TIME = "in time"
    """It stopped within its budget."""
    ENDED = "ended by itself"
    """It was over before it was asked to stop."""
    NOT_AWAITED = "not awaited"
    """It has `join: 0s`, so no stop ever waits for it, however long it takes."""
    OVER = "over budget"
    """It had not stopped when its budget was used up."""
    FAILED = "failed"
    """It failed, before the ask or after it."""


@dataclass(frozen=True, slots=True)
class Drilled:
    """How the drill of one job went. Seconds throughout."""

    job: str
    task: str
    verdict: DrillResult
    outcome: Outcome | None
    """None where the run was alive when the drill went on."""
    ready_after: float | None
    """From the order to start it; None where it never was ready."""
    stopped_in: float | None
    """From the ask to the end of the run; None where it was not asked, or did not end."""
    worst_gap: float | None
    """The longest time without a poll; None where it never polled, and has a `terminate` to wake it."""
    worst_at: str
    """`file:line in function` of where it was seen in that gap, or ""."""
    is_wakeable: bool
    """Whether a callback or a descriptor wakes it out of blocked I/O: then a long gap may be such a wait."""
    budget: float | None
    """What it had to stop in; None where it is not awaited."""
    where: str = ""
    """`file:line in function` of where it stood when its budget was used up."""
    has_seen_stop: bool = False
    """Whether it had looked by then, and so knew that it was asked to stop."""
    stack: str = ""
    error: ErrorInfo | None = None
    callbacks: tuple[str, ...] = ()
    """What went wrong when it was woken."""
    threads_left: tuple[str, ...] = ()
    """The names of the threads that came with the run, and were alive after it."""
    declared: str = ""
    """`file:line` of its declaration, where it has one."""

    @property
    def passes(self) -> bool:
        """Tell whether the job passes the drill."""
        return self.verdict not in (DrillResult.OVER, DrillResult.FAILED)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "job": self.job,
            "task": self.task,
            "verdict": self.verdict.value,
            "passes": self.passes,
            "outcome": self.outcome.value if self.outcome else None,
            "ready_after": _rounded(self.ready_after),
            "stopped_in": _rounded(self.stopped_in),
            "worst_gap": _rounded(self.worst_gap),
            "worst_at": self.worst_at,
            "wakeable": self.is_wakeable,
            "budget": _rounded(self.budget),
            "where": self.where,
            "has_seen_stop": self.has_seen_stop,
            "stack": self.stack,
            "error": str(self.error) if self.error else None,
            "callbacks": list(self.callbacks),
            "threads_left": list(self.threads_left),
            "declared": self.declared,
        }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def drill_job(
    spec: JobSpec,
    *,
    budget: float | None = None,
    warm_up: float = 1.0,
    listeners: Sequence[Callable[[Event], object]] = (),
) -> Drilled:
    """Drill one job, in a scheduler of its own, which is gone afterwards.

    It is asked to stop `warm_up` seconds after it is ready, or after its start where it is not ready by then; its own
    `ready_within`, if that is longer, is how long it may take to be ready. `budget`: seconds to stop in, instead of
    what its join policy gives. A run that does not stop is left behind, on a daemon thread.
    """
    trial = _Trial(spec, budget, listeners)
    try:
        trial.run(warm_up)
    except BaseException:
        trial.stop(INTERRUPTED_SECONDS)
        raise
    return trial.drilled()


def patience_for(spec: JobSpec, budget: float | None, warm_up: float) -> float:
    """Return the seconds that the drill of a job takes at most."""
    return max(warm_up, spec.ready_within or 0.0) + warm_up + (_own_budget(spec, budget) or UNAWAITED_SECONDS)


def _own_budget(spec: JobSpec, budget: float | None) -> float | None:
    """Return the seconds that a job has to stop in; None where nobody waits for it."""
    if budget is not None:
        return budget
    within = spec.join.within
    # `join: wait` means to the end of a whole shutdown.
    return (STOP_WITHIN_SECONDS if within == WAIT_FOR_EVER else within) or None


def _alone(spec: JobSpec, within: float, clock: PollClock) -> JobSpec:
    """Return the job with nothing about it that starts it or brings it back."""
    return replace(
        spec,
        binding=timed(spec.binding, clock),
        daemon=True,
        join=JoinPolicy(within, Otherwise.ABANDON),
        start=StartPolicy(StartMode.MANUAL),
        schedule=None,
        after=(),
        restart=RestartPolicy(),
        timeout=None,
        ready_within=None,
        watchdog=None,
        essential=False,
        replicas=1,
    )


class _Story:
    """What the scheduler told of the run; a listener."""

    def __init__(self) -> None:
        self.is_warm = Latch()
        """Opened when the run is ready, or has ended."""
        self.has_ended = Latch()
        self.first: dict[EventName, Event] = {}
        self.callbacks: list[str] = []

    def __call__(self, event: Event) -> None:
        self.first.setdefault(event.event, event)
        if event.event is EventName.CALLBACK_FAILED:
            self.callbacks.append(f"{event.data['callback']}: {event.error}")
        if event.event in (EventName.READY, EventName.ENDED):
            self.is_warm.open()
        if event.event is EventName.ENDED:
            self.has_ended.open()

    def seconds(self, since: EventName, until: EventName) -> float | None:
        """Return the time between two events, if both came."""
        first, last = self.first.get(since), self.first.get(until)
        return last.mono - first.mono if first is not None and last is not None else None


class _Trial:
    """One job in its scheduler."""

    def __init__(self, spec: JobSpec, budget: float | None, listeners: Sequence[Callable[[Event], object]]) -> None:
        self._spec = spec
        self._budget = _own_budget(spec, budget)
        self._within = self._budget or UNAWAITED_SECONDS
        self._clock = PollClock()
        self._story = _Story()
        self._scheduler = Scheduler()
        self._ear = self._scheduler.listen(self._story)
        for listener in listeners:
            self._scheduler.listen(listener)
        self._job = self._scheduler.add(_alone(spec, self._within, self._clock))
        self._is_wakeable = False
        self._threads = set(threading.enumerate())
        self._report: StopReport | None = None

    def run(self, warm_up: float) -> None:
        """Start it, let it warm up, and stop it."""
        begun = mono()
        self._job.start()
        self._watch(self._story.is_warm, begun + max(warm_up, self._spec.ready_within or 0.0))
        if self._story.is_warm.is_open:
            self._watch(self._story.has_ended, mono() + warm_up)
        self._is_wakeable = self._job.status().is_wakeable
        self._report = self.stop(self._within)
        self._ear.flush(TELLING_SECONDS)

    def stop(self, within: float) -> StopReport:
        """Stop everything; twice is once."""
        return self._scheduler.stop(within, reason=Reason(ReasonKind.USER, "stop drill"))

    def _watch(self, latch: Latch, until: float) -> None:
        """Wait for the latch, until that monotonic second; note where the run stands while it does not poll."""
        noticed = LONG_GAP_SECONDS
        while not latch.is_open and mono() < until:
            latch.wait(min(LOOK_SECONDS, max(0.0, until - mono())))
            since, gap = self._clock.open_gap()
            # Worse by half than what was looked at before: a long gap costs a few looks, not a hundred a second.
            if gap > noticed:
                noticed = 1.5 * gap
                self._clock.see(since, "".join(stack.where for _, stack in self._scheduler.stacks()))

    def drilled(self) -> Drilled:
        """Return how it went."""
        story, spec = self._story, self._spec
        ended = story.first.get(EventName.ENDED)
        survivor = next(iter(self._report.survivors if self._report else ()), None)
        late = story.first.get(EventName.STOP_OVERDUE)
        verdict = self._verdict(ended.outcome if ended else None, is_late=late is not None)
        is_asked = verdict is not DrillResult.ENDED
        gap, gap_at = self._clock.worst()
        return Drilled(
            job=spec.name,
            task=spec.task,
            verdict=verdict,
            outcome=ended.outcome if ended and late is None else None,
            ready_after=story.seconds(EventName.QUEUED, EventName.READY),
            stopped_in=story.seconds(EventName.CANCEL_REQUESTED, EventName.ENDED) if is_asked and not late else None,
            worst_gap=None if spec.binding.has_terminate and not self._clock.polls else gap,
            worst_at=gap_at,
            is_wakeable=self._is_wakeable,
            budget=self._budget,
            where=late.data["where"] if late else "",
            has_seen_stop=late is not None and self._clock.has_learned,
            stack=survivor.stack if survivor else "",
            error=ended.error if ended else None,
            callbacks=survivor.callbacks if survivor else tuple(story.callbacks),
            threads_left=self._threads_left(),
            declared=f"{spec.place.path}:{spec.place.line}" if spec.place else "",
        )

    def _threads_left(self) -> tuple[str, ...]:
        """Name the threads that are here since, the scheduler's own and that of the run left out."""
        alive = (thread.name for thread in threading.enumerate() if thread not in self._threads)
        return tuple(sorted(name for name in alive if name != self._spec.name and not name.startswith("taskloom-")))

    def _verdict(self, outcome: Outcome | None, *, is_late: bool) -> DrillResult:
        if is_late:
            return DrillResult.OVER if self._budget is not None else DrillResult.NOT_AWAITED
        if outcome is Outcome.SUCCEEDED:
            return DrillResult.ENDED
        if outcome is not Outcome.CANCELLED:
            return DrillResult.FAILED
        return DrillResult.IN_TIME if self._budget is not None else DrillResult.NOT_AWAITED
