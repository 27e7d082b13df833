"""The stop drill of one job: it really runs, alone, is asked to stop, and is timed.

The drill uses the job's task and its join policy. Everything that decides when the job starts or restarts is removed:
schedule, dependencies, delay, restart policy, replicas, deadlines. The thread is a daemon thread, so that a run that
does not stop delays neither the drill nor the end of the program. A run that can be killed is killed.

The times of polls are measured in this process. Of a run in another one they are known to a second, as in any run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from taskloom.cli.drill.elsewhere import not_started, start_seconds
from taskloom.cli.drill.poll_times import PollClock, with_timed_polls
from taskloom.clock import mono
from taskloom.core.events import Event, EventName
from taskloom.core.model import WAIT_FOR_EVER, ErrorInfo, JobSpec, Outcome, Reason, ReasonKind
from taskloom.core.policies import JoinPolicy, Otherwise, RestartPolicy, StartMode, StartPolicy
from taskloom.core.report import StopReport
from taskloom.core.stopping import longest_kill
from taskloom.runners import Runner
from taskloom.runners.run_thread import RunThread
from taskloom.runners.thread import ThreadRunner
from taskloom.scheduler.facade import STOP_WITHIN_SECONDS, Scheduler
from taskloom.scheduler.memory import NoMemory
from taskloom.sync.latch import Latch
from taskloom.text import finite

__all__ = ["DrillResult", "DrilledJob", "drill_job", "max_drill_seconds"]

# How often to check for a long gap between polls, and the length from which a gap is long.
SAMPLE_SECONDS = 0.01
LONG_GAP_SECONDS = 0.05
# How long a job with `join: 0s` is timed, though no stop waits for it.
NOT_AWAITED_SECONDS = 1.0
# Events are delivered by another thread within milliseconds; taking longer than this would be a bug.
DELIVERY_SECONDS = 10.0
# The time limit of the stop after Ctrl-C in the middle of a drill.
INTERRUPTED_SECONDS = 2.0


class DrillResult(StrEnum):
    """The verdict of a drill on a job."""

    IN_TIME = "in time"
    """It stopped within its budget."""
    ENDED_BY_ITSELF = "ended by itself"
    """It ended before it was asked to stop."""
    NOT_AWAITED = "not awaited"
    """It has `join: 0s`, so no stop waits for it, however long it takes."""
    OVER_BUDGET = "over budget"
    """It had not stopped when its budget was used up."""
    KILLED = "killed"
    """It had not stopped when its budget was used up, and was killed, as its job says."""
    FAILED = "failed"
    """It failed, before or after it was asked to stop."""


@dataclass(frozen=True, slots=True)
class DrilledJob:
    """The result of the drill of one job. All times in seconds."""

    job: str
    task: str
    verdict: DrillResult
    outcome: Outcome | None
    """None if the run was still alive at the end of its drill; `abandoned` if no stop waits for it, as in a run."""
    ready_after: float | None
    """From the request to start it; None if it was never ready."""
    stopped_in: float | None
    """From the request to stop to the end of the run; None if it ended before, or did not end."""
    worst_gap: float | None
    """The longest time without a poll; None if it never polled but has a `terminate`."""
    worst_at: str
    """`file:line in function` where it was during that gap, or ""."""
    is_wakeable: bool
    """Whether a callback or a descriptor can wake it from blocked I/O: then a long gap may be such a wait."""
    budget: float | None
    """The time that it had to stop; None if no stop waits for it."""
    where: str = ""
    """`file:line in function` where it was when its budget was used up."""
    has_seen_stop: bool = False
    """Whether it had seen by then that it was asked to stop."""
    stack: str = ""
    killed: str = ""
    """How it was killed, such as `SIGTERM after 8.0 s`; "" if it ended by itself."""
    error: ErrorInfo | None = None
    callbacks: tuple[str, ...] = ()
    """The failures of its `terminate` and its callbacks."""
    threads_left: tuple[str, ...] = ()
    """The names of the threads that began during the run and were alive after it."""
    declared: str = ""
    """`file:line` of its declaration, if it has one."""

    @property
    def passes(self) -> bool:
        """Whether the job passes the drill."""
        return self.verdict not in (DrillResult.OVER_BUDGET, DrillResult.KILLED, DrillResult.FAILED)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as in the JSON output."""
        return {
            "job": self.job,
            "task": self.task,
            "verdict": self.verdict.value,
            "passes": self.passes,
            "outcome": self.outcome.value if self.outcome else None,
            "ready_after": finite(self.ready_after),
            "stopped_in": finite(self.stopped_in),
            "worst_gap": finite(self.worst_gap),
            "worst_at": self.worst_at,
            "wakeable": self.is_wakeable,
            "budget": finite(self.budget),
            "where": self.where,
            "has_seen_stop": self.has_seen_stop,
            "stack": self.stack,
            "killed": self.killed or None,
            "error": str(self.error) if self.error else None,
            "callbacks": list(self.callbacks),
            "threads_left": list(self.threads_left),
            "declared": self.declared,
        }


def drill_job(
    spec: JobSpec,
    *,
    budget: float | None = None,
    warm_up: float = 1.0,
    listeners: Sequence[Callable[[Event], object]] = (),
    runners: Mapping[str, Runner] | None = None,
) -> DrilledJob:
    """Drill one job in its own scheduler, which is stopped afterwards.

    The job is asked to stop `warm_up` seconds after it is ready. If it is not ready within `warm_up` seconds, or within
    its own `ready_within` if that is longer, it is asked then. `budget`: seconds that it has to stop, instead of those
    of its join policy. A run that does not stop is killed, or else left behind on a daemon thread. `runners`: those
    that several drills use, by name.
    """
    drill = _Drill(spec, budget, listeners, runners or {})
    try:
        drill.run(warm_up)
    except BaseException:
        drill.stop(INTERRUPTED_SECONDS)
        raise
    return drill.result()


def max_drill_seconds(spec: JobSpec, budget: float | None, warm_up: float) -> float:
    """Return how many seconds the drill of a job can take at most."""
    stop = (_own_budget(spec, budget) or NOT_AWAITED_SECONDS) + longest_kill(spec)
    return start_seconds(spec) + max(warm_up, spec.ready_within or 0.0) + warm_up + stop


def _own_budget(spec: JobSpec, budget: float | None) -> float | None:
    """Return how many seconds a job has to stop; None if no stop waits for it."""
    if budget is not None:
        return budget
    within = spec.join.within
    # `join: wait` waits until the end of a whole shutdown.
    return (STOP_WITHIN_SECONDS if within == WAIT_FOR_EVER else within) or None


def _isolated(spec: JobSpec, within: float, clock: PollClock) -> JobSpec:
    """Return the job without anything that starts, restarts or limits it."""
    return replace(
        spec,
        binding=spec.binding if spec.join.kills else with_timed_polls(spec.binding, clock),
        daemon=True,
        join=JoinPolicy(within, Otherwise.KILL if spec.join.kills else Otherwise.ABANDON),
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


class _RunEvents:
    """A listener that keeps the events of the run."""

    def __init__(self) -> None:
        self.ready_or_ended = Latch()
        """Opened when the run is ready or has ended."""
        self.begun_or_ended = Latch()
        self.ended = Latch()
        self.first_events: dict[EventName, Event] = {}
        self.callbacks: list[str] = []

    def __call__(self, event: Event) -> None:
        self.first_events.setdefault(event.event, event)
        if event.event is EventName.CALLBACK_FAILED:
            self.callbacks.append(f"{event.data['callback']}: {event.error}")
        if event.event in (EventName.STARTED, EventName.ENDED):
            self.begun_or_ended.open()
        if event.event in (EventName.READY, EventName.ENDED):
            self.ready_or_ended.open()
        if event.event is EventName.ENDED:
            self.ended.open()

    def seconds_between(self, since: EventName, until: EventName) -> float | None:
        """Return the time between the first events of two names, or None if one is missing."""
        first, last = self.first_events.get(since), self.first_events.get(until)
        return last.mono - first.mono if first is not None and last is not None else None


class _Drill:
    """The drill of one job, with its own scheduler."""

    def __init__(
        self,
        spec: JobSpec,
        budget: float | None,
        listeners: Sequence[Callable[[Event], object]],
        runners: Mapping[str, Runner],
    ) -> None:
        self._spec = spec
        self._budget = _own_budget(spec, budget)
        self._within = self._budget or NOT_AWAITED_SECONDS
        self._clock = PollClock()
        self._events = _RunEvents()
        self._scheduler = Scheduler(runners={"thread": ThreadRunner(), **runners}, log=False, memory=NoMemory())
        self._subscription = self._scheduler.listen(self._events)
        for listener in listeners:
            self._scheduler.listen(listener)
        self._job = self._scheduler.add(_isolated(spec, self._within, self._clock))
        self._is_wakeable = False
        # As the scheduler knows it, to a second.
        self._known_gap: float | None = None
        self._threads_before = set(threading.enumerate())
        self._report: StopReport | None = None

    def run(self, warm_up: float) -> None:
        """Start the job, let it warm up, and stop it."""
        self._job.start()
        self._events.begun_or_ended.wait(start_seconds(self._spec))
        self._wait_and_sample(self._events.ready_or_ended, mono() + max(warm_up, self._spec.ready_within or 0.0))
        if self._events.ready_or_ended.is_open:
            self._wait_and_sample(self._events.ended, mono() + warm_up)
        status = self._job.status()
        self._is_wakeable, self._known_gap = status.is_wakeable, status.worst_gap or None
        self._report = self.stop(self._within)
        self._subscription.flush(DELIVERY_SECONDS)

    def stop(self, within: float) -> StopReport:
        """Stop the scheduler. Idempotent."""
        return self._scheduler.stop(within, reason=Reason(ReasonKind.USER, "stop drill"))

    def _wait_and_sample(self, latch: Latch, until: float) -> None:
        """Wait for the latch until the monotonic second `until`; record where the run is in long gaps between polls."""
        threshold = LONG_GAP_SECONDS
        while not latch.is_open and mono() < until:
            latch.wait(min(SAMPLE_SECONDS, max(0.0, until - mono())))
            since, gap = self._clock.current_gap()
            # Only when the gap has grown by half: a long gap costs a few stack captures, not a hundred per second.
            if gap > threshold:
                threshold = 1.5 * gap
                self._clock.record_place(since, "".join(stack.where for _, stack in self._scheduler.stacks()))

    def result(self) -> DrilledJob:
        """Return the result, after `run`."""
        events, spec = self._events, self._spec
        ended = events.first_events.get(EventName.ENDED)
        survivor = next(iter(self._report.survivors if self._report else ()), None)
        late = events.first_events.get(EventName.STOP_OVERDUE)
        killed = next((each.how or "killed" for each in (self._report.killed if self._report else ())), "")
        verdict = self._verdict(ended.outcome if ended else None, is_late=late is not None, is_killed=bool(killed))
        was_cancelled = verdict is not DrillResult.ENDED_BY_ITSELF
        stopped_in = events.seconds_between(EventName.CANCEL_REQUESTED, EventName.ENDED)
        gap, gap_at = self._gap()
        return DrilledJob(
            job=spec.name,
            task=spec.task,
            verdict=verdict,
            outcome=ended.outcome if ended and (late is None or self._budget is None or killed) else None,
            ready_after=events.seconds_between(EventName.QUEUED, EventName.READY),
            stopped_in=stopped_in if was_cancelled and (not late or killed) else None,
            worst_gap=gap,
            worst_at=gap_at,
            is_wakeable=self._is_wakeable,
            budget=self._budget,
            where=late.data["where"] if late else "",
            has_seen_stop=late is not None and self._clock.has_seen_stop,
            stack=survivor.stack if survivor else "",
            killed=killed,
            error=self._error(ended),
            callbacks=survivor.callbacks if survivor else tuple(events.callbacks),
            threads_left=self._threads_left(),
            declared=f"{spec.place.path}:{spec.place.line}" if spec.place else "",
        )

    def _has_begun(self) -> bool:
        """Return whether the run was entered. One on a cluster may have waited until the drill gave up."""
        return EventName.STARTED in self._events.first_events or not start_seconds(self._spec)

    def _error(self, ended: Event | None) -> ErrorInfo | None:
        if ended is not None and ended.outcome is Outcome.CANCELLED and not self._has_begun():
            return not_started(self._spec)
        return ended.error if ended else None

    def _gap(self) -> tuple[float | None, str]:
        """Return the longest time without a poll, and where the run was; None if the run has no polls to measure."""
        if self._spec.join.kills:
            return self._known_gap, ""
        gap, at = self._clock.longest_gap()
        return (None if self._spec.binding.has_terminate and not self._clock.polls else gap), at

    def _threads_left(self) -> tuple[str, ...]:
        """Return the names of the threads that began since, except for the scheduler's and the run's own."""
        if self._spec.join.kills:
            return ()  # the task was not in this process; a client of a cluster has threads of its own
        # By its type, not by its name: a task may name a thread like the job.
        alive = (
            thread.name
            for thread in threading.enumerate()
            if thread not in self._threads_before and not isinstance(thread, RunThread)
        )
        return tuple(sorted(name for name in alive if not name.startswith("taskloom-")))

    def _verdict(self, outcome: Outcome | None, *, is_late: bool, is_killed: bool) -> DrillResult:
        if is_late and self._budget is None:
            return DrillResult.NOT_AWAITED
        if is_late:
            return DrillResult.KILLED if is_killed else DrillResult.OVER_BUDGET
        if outcome is Outcome.SUCCEEDED:
            return DrillResult.ENDED_BY_ITSELF
        if outcome is not Outcome.CANCELLED or not self._has_begun():
            return DrillResult.FAILED
        return DrillResult.IN_TIME if self._budget is not None else DrillResult.NOT_AWAITED
