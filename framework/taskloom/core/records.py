"""What the core remembers of each job and run. Only the lifecycle changes a record."""

from __future__ import annotations

from dataclasses import dataclass, field

from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.inputs import StackCaptured
from taskloom.core.model import (
    ErrorInfo,
    JobSpec,
    JobState,
    Moment,
    Outcome,
    Reason,
    WaitingFor,
)
from taskloom.core.policies import Otherwise, StartMode
from taskloom.core.restart import Backoff
from taskloom.errors import AlreadyRunning, JobBlocked, JobDisabled, JobStopping, UsageError

__all__ = ["FollowUp", "JobRecord", "NextFiring", "RunRecord"]

_NEVER = float("inf")
_ACTIVE = (JobState.RUNNING, JobState.STOPPING)


@plain_members
class FollowUp(FastEnum):
    """What follows the end of a job's run, as far as it is known before that end."""

    POLICY = "policy"
    """What the restart policy says."""
    NOTHING = "nothing"
    """No restart: somebody stopped the run. A schedule goes on unless the job was stopped."""
    RETRY = "retry"
    """A restart after its delay, counted."""
    RESTART = "restart"
    """Another run at once, not counted: somebody asked for it, or its declaration changed."""
    FIRING = "firing"
    """Another run at once: its schedule fired meanwhile."""
    REMOVAL = "removal"
    """The job goes: a reload took it away."""


@dataclass(slots=True, eq=False)
class NextFiring:
    """The next firing of an armed schedule."""

    instant: float
    """Monotonic seconds for an interval, seconds since the epoch for a calendar."""
    jitter: float
    """Seconds that it comes after its instant."""
    due_at: float
    """Monotonic seconds, by what is known of the wall clock."""


@dataclass(slots=True, eq=False)
class RunRecord:
    """One run, from queued to over. Moments are None until they come."""

    id: str
    job: JobRecord
    attempt: int
    queued: Moment
    spec: JobSpec
    """The declaration that it keeps: that of its job when it was queued, unless a reload applied a newer one."""
    started: Moment | None = None
    ready: Moment | None = None
    requested: Moment | None = None
    ended: Moment | None = None
    reason: Reason | None = None
    # Monotonic seconds, inf where there is no such deadline.
    timeout_at: float = _NEVER
    unready_at: float = _NEVER
    # When the join policy decides; inf where it waits for ever.
    overdue_at: float = _NEVER
    # Set at `within`: where it stood then.
    captured: StackCaptured | None = None
    # Since when the watchdog misses a poll.
    unresponsive: Moment | None = None
    is_urgent: bool = False
    outcome: Outcome | None = None
    error: ErrorInfo | None = None
    failed_callbacks: tuple[str, ...] = ()

    @property
    def is_overdue(self) -> bool:
        """Tell whether it outlived its `within`."""
        return self.captured is not None

    @property
    def seconds(self) -> float:
        """How long it ran, or 0.0 when it never began or has not ended."""
        if self.started is None or self.ended is None:
            return 0.0
        return self.ended.mono - self.started.mono

    @property
    def ready_seconds(self) -> float:
        """How long it was ready, or 0.0 when it never was or has not ended."""
        if self.ready is None or self.ended is None:
            return 0.0
        return self.ended.mono - self.ready.mono

    @property
    def may_be_abandoned(self) -> bool:
        """Tell whether its join policy leaves it behind when it is overdue."""
        return self.spec.join.otherwise is Otherwise.ABANDON


@dataclass(slots=True, eq=False)
class JobRecord:
    """One declared job and where it stands."""

    spec: JobSpec
    state: JobState
    waiting_for: WaitingFor | None
    # Monotonic seconds at which a delay or a backoff is over.
    due_at: float | None = None
    # The run that is running or stopping, or was abandoned and lives.
    run: RunRecord | None = None
    last_run: RunRecord | None = None
    follow_up: FollowUp = FollowUp.POLICY
    # None while its schedule is not armed.
    next_firing: NextFiring | None = None
    backoff: Backoff | None = None
    number: int = 0
    """The number in the name of its newest run."""
    runs: int = 0
    restarts: int = 0
    missed: int = 0
    has_failed: bool = False
    """Whether it failed for good: its last run failed and no restart was to follow, or it gave up."""
    has_given_up: bool = False
    reason: Reason | None = None
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    """How many of its runs ended in each way."""

    @classmethod
    def declared(cls, spec: JobSpec) -> JobRecord:
        """Return the record of a job that nothing has happened to yet."""
        if not spec.enabled:
            return cls(spec, JobState.DISABLED, None)
        return cls(spec, JobState.WAITING, WaitingFor.START)

    @property
    def is_active(self) -> bool:
        """Tell whether it has a run that is not given up, or will get one by itself."""
        if self.state is JobState.WAITING:
            return self.waiting_for is not WaitingFor.START
        return self.state in _ACTIVE

    @property
    def may_autostart(self) -> bool:
        """Tell whether the scheduler's start has to start it."""
        return (
            self.state is JobState.WAITING
            and self.waiting_for is WaitingFor.START
            and self.spec.start.mode is StartMode.AUTO
        )

    def refused_start(self) -> UsageError:
        """Return the error that says why a START is refused in this state."""
        name, run = self.spec.name, self.run.id if self.run is not None else ""
        if self.state is JobState.DISABLED:
            return JobDisabled(name)
        if self.state is JobState.STOPPING:
            return JobStopping(name, run)
        if self.state is JobState.BLOCKED:
            return JobBlocked(name, run)
        return AlreadyRunning(name, run)
