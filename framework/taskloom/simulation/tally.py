"""Counts per job of a simulation. Each event is counted when it occurs, and not kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from taskloom.core.events import Event, EventName
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import JobSpec, JobState, Moment, Outcome, Reason, WaitingFor
from taskloom.core.records import FAILURES, FollowUp

__all__ = ["KILLED", "JobStats", "StatsCollector"]

KILLED = "ProcessKilled"
"""The type of the error of a run that a stop killed."""


@dataclass(slots=True)
class JobStats:
    """The counts of one job. All times in seconds."""

    spec: JobSpec
    runs: int = 0
    restarts: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    """How many instants of its schedule were missed, by cause: `overlap`, `late` or `blocked`."""
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    longest_run: float = 0.0
    longest_stop: float = 0.0
    """From the request to stop until the end of the run, or until the run was abandoned."""
    overdue: int = 0
    """How many of its runs did not stop within their join policy's time."""
    killed: int = 0
    """How many of its runs a stop killed."""
    unended: int = 0
    """How many of its runs were alive at the end of the simulation."""
    flapping: int = 0
    """How often it was marked as flapping."""
    unresponsive: int = 0
    """How often the watchdog found a run unresponsive."""
    unreachable: int = 0
    """How often nothing was heard of a run's worker."""
    longest_block: float = 0.0
    """How long it was blocked at most, because something of a lost run might be left."""
    gave_up: int = 0
    gave_up_why: str = ""
    skipped: Reason | None = None
    """Why it was not started, or can no longer start."""
    has_given_up: bool = False
    """Whether it had given up before everything was stopped."""
    pending: int = 0
    """1 if a firing was waiting for the end of a run when everything was stopped, else 0."""
    state: JobState = JobState.WAITING
    """Its state right before everything was stopped."""
    waiting_for: WaitingFor | None = None
    next_firing: float | None = None
    """Seconds since the epoch; None if no firing was scheduled."""

    @property
    def firings(self) -> int:
        """How many instants of its schedule came: each began a run, waited for a run to end, or was missed."""
        schedule = self.spec.schedule
        if schedule is None:
            return 0
        at_once = min(self.runs, int(schedule.immediately))
        return self.runs - self.restarts - at_once + self.pending + self.missed.total()

    @property
    def succeeded(self) -> int:
        """How many runs succeeded."""
        return self.outcomes[Outcome.SUCCEEDED]

    @property
    def failed(self) -> int:
        """How many runs ended as failures: failed, timed out or could not be started."""
        return sum(self.outcomes[outcome] for outcome in FAILURES)


class StatsCollector:
    """Collects the counts of all jobs from events."""

    def __init__(self, specs: Iterable[JobSpec]) -> None:
        self.jobs = {spec.name: JobStats(spec) for spec in specs}
        self.events = 0
        self.stopping: Event | None = None
        """The `scheduler_stopping` event, which has the reason."""
        self.stopped: Event | None = None
        self._cancel_events: dict[str, Event] = {}
        # An event is counted by the method of its name, if there is one.
        handlers = ((name, getattr(self, f"_{name.value}", None)) for name in EventName)
        self._handlers: dict[EventName, Callable[[Event], None]] = {name: do for name, do in handlers if do is not None}

    def count(self, event: Event) -> None:
        """Count an event."""
        self.events += 1
        handler = self._handlers.get(event.event)
        if handler is not None:
            handler(event)

    def record_states(self, core: Lifecycle, now: Moment) -> None:
        """Record the state of every job, right before everything is stopped."""
        for name, record in core.jobs.items():
            job = self.jobs[name]
            job.state, job.waiting_for = record.state, record.waiting_for
            job.has_given_up = record.has_given_up
            job.next_firing = None if record.next_firing is None else now.wall + record.next_firing.due_at - now.mono

    def finish(self, core: Lifecycle, now: Moment) -> None:
        """Record what is only known at the end: runs that never ended, and firings that still waited."""
        for event in self._cancel_events.values():
            job = self._job_of(event)
            job.longest_stop = max(job.longest_stop, now.mono - event.mono)
        for run in core.runs.values():
            self.jobs[run.job.spec.name].unended += 1
        for name, record in core.jobs.items():
            self.jobs[name].pending = int(record.follow_up is FollowUp.FIRING)

    def _job_of(self, event: Event) -> JobStats:
        return self.jobs[event.job or ""]

    def _queued(self, event: Event) -> None:
        job = self.jobs[event.job or ""]
        job.runs += 1
        if event.attempt != 1:
            job.restarts += 1

    def _ended(self, event: Event) -> None:
        job = self.jobs[event.job or ""]
        if event.outcome is not None:
            job.outcomes[event.outcome] += 1
        if event.error is not None and event.error.type == KILLED:
            job.killed += 1
        if event.seconds is not None and event.seconds > job.longest_run:
            job.longest_run = event.seconds
        if event.run in self._cancel_events:
            job.longest_stop = max(job.longest_stop, event.mono - self._cancel_events.pop(event.run).mono)

    def _cancel_requested(self, event: Event) -> None:
        self._cancel_events[event.run or ""] = event

    def _stop_overdue(self, event: Event) -> None:
        self._job_of(event).overdue += 1

    def _missed(self, event: Event) -> None:
        self._job_of(event).missed[event.data["why"]] += event.data["count"]

    def _gave_up(self, event: Event) -> None:
        job = self._job_of(event)
        job.gave_up += 1
        job.gave_up_why = event.data["why"]

    def _flapping(self, event: Event) -> None:
        self._job_of(event).flapping += 1

    def _unresponsive(self, event: Event) -> None:
        self._job_of(event).unresponsive += 1

    def _unreachable(self, event: Event) -> None:
        self._job_of(event).unreachable += 1

    def _released(self, event: Event) -> None:
        job = self._job_of(event)
        job.longest_block = max(job.longest_block, event.seconds or 0.0)

    def _skipped(self, event: Event) -> None:
        if self.stopping is None:  # after it, every waiting job is skipped
            self._job_of(event).skipped = event.reason

    def _scheduler_stopping(self, event: Event) -> None:
        self.stopping = event

    def _scheduler_stopped(self, event: Event) -> None:
        self.stopped = event
