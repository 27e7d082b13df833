"""The facts that answer why a job is, or is not, running, as records: of the job, and of the jobs that hold it up.

Seconds are counted from the moment at which they were taken: an age is how long ago something happened, and a time left
is never negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from taskloom.core.events import format_wall
from taskloom.core.model import ErrorInfo, Hold, JobSpec, JobState, Moment, Outcome, Phase, Reason, ReasonKind
from taskloom.core.policies import Condition
from taskloom.core.records import FollowUp
from taskloom.core.report import JobReport
from taskloom.core.run_reports import Whereabouts
from taskloom.core.waits import RestartWait
from taskloom.text import finite, plain

__all__ = [
    "MOST_NAMES",
    "Blocker",
    "HoldFacts",
    "JobFacts",
    "Link",
    "ProcessFacts",
    "ProgramFacts",
    "RunFacts",
    "RunNumbers",
    "Some",
    "WhyFacts",
]

# A longer list of names has its first MOST_NAMES names and their number.
MOST_NAMES = 20


class Some(NamedTuple):
    """The first of some names, and how many there are in all."""

    names: tuple[str, ...] = ()
    total: int = 0


_NONE = Some()


class Link(NamedTuple):
    """One unsatisfied condition, and the first job because of which it is not satisfied."""

    name: str
    """The declared name."""
    condition: Condition
    job: str
    """The job: one of its replicas, if it has some; the declared name if there is no such job."""
    jobs: int
    """How many of its replicas have not satisfied it."""
    is_declared: bool

    def __str__(self) -> str:
        return f"{self.name} ({self.condition.value})"


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run of a job. None: it has not happened, or there is no such limit."""

    id: str
    attempt: int
    queued_ago: float
    started_ago: float | None
    ready_ago: float | None
    asked_ago: float | None
    """Since when it is requested to stop."""
    ended_ago: float | None
    seconds: float
    """How long it ran; so far, if it has not ended."""
    reason: Reason | None
    """Why it was requested to stop."""
    outcome: Outcome | None
    error: ErrorInfo | None
    has_failed: bool
    unresponsive_ago: float | None
    is_overdue: bool
    killed_ago: float | None
    """Since when its processes are being killed."""
    captured: str
    """The place of its thread when it became overdue; "" if it did not, or if that is unknown."""
    allowed: float | None
    """How long the stop waits for it, counted from its request; None before, and without a limit."""
    stop_left: float | None
    timeout_left: float | None
    ready_left: float | None
    instant: float | None = None
    """The instant of the schedule for which it started, in seconds since the epoch; None if a firing did not."""
    is_made_up: bool = False
    """Whether that instant passed while the program was down."""
    is_recorded: bool = True
    """Whether the history has that instant, so that it starts no second run after a crash."""
    whereabouts: Whereabouts | None = None
    """Its place, if it executes elsewhere and that is known."""
    unreachable_ago: float | None = None
    """Since when nothing is heard of its worker."""
    lost_left: float | None = None
    """How long it blocks its job at most: something of the lost run may still be executing."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "run": self.id,
            "attempt": self.attempt,
            "queued_ago": finite(self.queued_ago),
            "started_ago": finite(self.started_ago),
            "ready_ago": finite(self.ready_ago),
            "stop_requested_ago": finite(self.asked_ago),
            "ended_ago": finite(self.ended_ago),
            "seconds": finite(self.seconds),
            "reason": str(self.reason) if self.reason else None,
            "outcome": self.outcome.value if self.outcome else None,
            "error": str(self.error) if self.error else None,
            "unresponsive_ago": finite(self.unresponsive_ago),
            "overdue": self.is_overdue,
            "killed_ago": finite(self.killed_ago),
            "stop_left": finite(self.stop_left),
            "timeout_left": finite(self.timeout_left),
            "ready_left": finite(self.ready_left),
            "instant": format_wall(self.instant) if self.instant is not None else None,
            "made_up": self.is_made_up,
            "unrecorded": not self.is_recorded,
            "whereabouts": self.whereabouts._asdict() if self.whereabouts is not None else None,
            "unreachable_ago": finite(self.unreachable_ago),
            "lost_left": finite(self.lost_left),
        }


class HoldFacts(NamedTuple):
    """How a user holds a job back."""

    hold: Hold
    reason: Reason
    ago: float
    """Seconds since it began."""
    missed: int
    """How many firings the job has missed since then."""


@dataclass(frozen=True, slots=True)
class JobFacts:
    """One job and its latest run."""

    report: JobReport
    spec: JobSpec = field(repr=False)
    run: RunFacts | None
    follow_up: FollowUp
    restart: RestartWait | None
    """About the restart that it waits for."""
    reason: Reason | None
    """Why its wait was ended."""
    gave_up_because: str
    recent_restarts: int
    failures: int
    """How many of its runs failed."""
    missed_last: tuple[float, str] | None
    """The last instant of its schedule that was missed, in seconds since the epoch, and the cause."""
    holds: tuple[HoldFacts, ...] = ()
    unmet: tuple[Link, ...] = ()
    """The conditions of other jobs for which it does not start now; all of them, even if it does not wait for them."""
    is_impossible: bool = False
    """Whether one of these cannot become true unless a user intervenes."""
    awaited_runs: Some = _NONE
    """The runs that a reload has stopped and that it waits for."""

    @property
    def name(self) -> str:
        """The job's name."""
        return self.report.job

    @property
    def state(self) -> JobState:
        """The job's state."""
        return self.report.state

    def held(self, hold: Hold) -> HoldFacts | None:
        """Return how a user holds it back in this way; None if no user does."""
        return next((each for each in self.holds if each.hold is hold), None)

    @property
    def was_skipped(self) -> bool:
        """Whether it was skipped because of its dependencies."""
        return self.state is JobState.SKIPPED and self.reason is not None and self.reason.kind is ReasonKind.DEPENDENCY

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        report = self.report.as_dict()
        kept = ("job", "state", "waiting_for", "runs", "restarts", "missed", "due_in", "next_firing", "failed", "marks")
        return {
            **{name: report[name] for name in kept},
            "reason": str(self.reason) if self.reason else None,
            "failures": self.failures,
            "follow_up": self.follow_up.value,
            "gave_up_because": self.gave_up_because or None,
            "missed_last": _missed(self.missed_last),
            "holds": [
                {"hold": each.hold.value, "reason": str(each.reason), "ago": finite(each.ago), "missed": each.missed}
                for each in self.holds
            ],
            "unmet": [str(link) for link in self.unmet[:MOST_NAMES]],
            "unmet_count": len(self.unmet),
            "last_run": self.run.as_dict() if self.run else None,
        }


@dataclass(frozen=True, slots=True)
class Blocker:
    """One root cause for which a job does not start."""

    path: tuple[Link, ...]
    """The conditions from that of the job that is asked about to the one that the root cause keeps unsatisfied."""
    cause: JobFacts | None
    """The job at the end of the path; None if it is not declared."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "path": [str(link) for link in self.path],
            "job": self.path[-1].job,
            "cause": self.cause.as_dict() if self.cause else None,
        }


@dataclass(frozen=True, slots=True)
class ProgramFacts:
    """The scheduler as a whole."""

    phase: Phase
    reason: Reason | None = None
    """Why everything is stopping or was stopped."""
    asked_ago: float | None = None
    left: float | None = None
    """Until the deadline of the stop; None before, after, and without a limit."""
    awaited: Some = _NONE
    """The jobs that the stop waits for."""


@dataclass(frozen=True, slots=True)
class RunNumbers:
    """The things that a live run reports, and how it polls. All times are in seconds."""

    poll_age: float | None = None
    """Since its last poll; None if it is not observed."""
    worst_gap: float = 0.0
    is_wakeable: bool = False
    would_meet_join: bool | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    progress: tuple[float, float | None, str] | None = None


class ProcessFacts(NamedTuple):
    """The processes of a run, as its runner shows them."""

    pid: int
    processes: int
    memory: int
    cpu: float
    state: str


@dataclass(frozen=True, slots=True)
class WhyFacts:
    """All facts about one job at one moment."""

    now: Moment
    job: JobFacts
    blockers: tuple[Blocker, ...]
    more_blockers: int
    """How many further root causes there are."""
    program: ProgramFacts
    waiting: Some
    """The jobs that wait for this one."""
    dependents: Some
    """The jobs with a run that a stop of the whole program stops before this one."""
    numbers: RunNumbers | None = None
    """None without a live run."""
    places: Mapping[str, str] = field(default_factory=dict)
    """The current places of live runs, by their names: `file:line in function`."""
    processes: Mapping[str, ProcessFacts] = field(default_factory=dict)
    """The processes of the live runs that are in some, by their names."""

    @property
    def live_runs(self) -> tuple[str, ...]:
        """The names of the runs whose place helps."""
        jobs = [self.job, *(blocker.cause for blocker in self.blockers if blocker.cause is not None)]
        alive = (JobState.RUNNING, JobState.STOPPING, JobState.BLOCKED)
        return tuple(job.run.id for job in jobs if job.run is not None and job.state in alive)

    def as_dict(self) -> dict[str, Any]:
        """Return them as a JSON object."""
        program, numbers = self.program, self.numbers
        return {
            "at": format_wall(self.now.wall),
            **self.job.as_dict(),
            "blockers": [blocker.as_dict() for blocker in self.blockers],
            "more_blockers": self.more_blockers,
            "waited_for_by": list(self.waiting.names),
            "dependents": list(self.dependents.names),
            "program": {
                "phase": program.phase.value,
                "reason": str(program.reason) if program.reason else None,
                "stop_left": finite(program.left),
                "awaited": list(program.awaited.names),
            },
            "join": finite(self.job.spec.join.within),
            "otherwise": self.job.spec.join.otherwise.value,
            "poll_age": finite(numbers.poll_age) if numbers else None,
            "worst_gap": finite(numbers.worst_gap) if numbers else None,
            "wakeable": numbers.is_wakeable if numbers else None,
            "would_meet_join": numbers.would_meet_join if numbers else None,
            "counts": dict(numbers.counts) if numbers else {},
            "progress": plain(list(numbers.progress)) if numbers and numbers.progress else None,
            "places": dict(self.places),
            "runner": self.job.spec.runner.name,
            "processes": {run: {**found._asdict(), "cpu": finite(found.cpu)} for run, found in self.processes.items()},
        }


def _missed(missed: tuple[float, str] | None) -> dict[str, Any] | None:
    return {"instant": format_wall(missed[0]), "why": missed[1]} if missed is not None else None
