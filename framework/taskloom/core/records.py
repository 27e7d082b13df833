"""The records of jobs and runs. Only the lifecycle changes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.inputs import StackCaptured
from taskloom.core.model import ErrorInfo, Hold, How, JobSpec, JobState, Moment, Outcome, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import StartMode
from taskloom.core.restart import Backoff
from taskloom.core.run_reports import Whereabouts
from taskloom.errors import AlreadyRunning, JobBlocked, JobDisabled, JobStopping, UsageError

if TYPE_CHECKING:
    from taskloom.core.changeover import Changeover
    from taskloom.core.requirements import Dependents, Family

__all__ = ["FAILURES", "DueInstant", "FollowUp", "HoldBeginning", "JobRecord", "NextFiring", "Recording", "RunRecord"]

FAILURES = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.START_FAILED, Outcome.LOST)
_NEVER = float("inf")
_NO_HOLDS: Mapping[Hold, Reason] = MappingProxyType({})
_NO_BEGINNINGS: Mapping[Hold, HoldBeginning] = MappingProxyType({})
_ACTIVE = (JobState.RUNNING, JobState.STOPPING)


@plain_members
class FollowUp(FastEnum):
    """The decision about what follows a job's run, as far as it is made before the run ends."""

    POLICY = "policy"
    """Decided by the restart policy when the run ends."""
    NOTHING = "nothing"
    """No restart, because the run was stopped. Its schedule goes on unless the job was stopped."""
    RETRY = "retry"
    """A restart after the restart delay; counted."""
    RESTART = "restart"
    """Another run at once, not counted: a user requested it, or the declaration changed."""
    FIRING = "firing"
    """Another run at once, because the schedule fired meanwhile."""
    REMOVAL = "removal"
    """None, and the job is removed, as a reload decided."""


class HoldBeginning(NamedTuple):
    """When a user held a job back, and how many firings it had missed until then."""

    at: Moment
    missed: int


@dataclass(slots=True, eq=False)
class NextFiring:
    """The next firing of an armed schedule."""

    instant: float
    """Monotonic seconds for an interval, seconds since the epoch for a calendar."""
    jitter: float
    """Seconds that it is delayed after its instant."""
    due_at: float
    """Monotonic seconds, by the last known offset of the wall clock."""
    down_until: float = -_NEVER
    """The instants up to this one passed while the program was down; seconds since the epoch."""


class DueInstant(NamedTuple):
    """An instant of a schedule that has come, and for which a run starts."""

    wall: float
    """Seconds since the epoch."""
    is_made_up: bool = False
    """Whether it passed while the program was down."""


_NO_INSTANT = DueInstant(0.0)


class Recording(NamedTuple):
    """The record of an instant for which a job waits before its run starts."""

    due: DueInstant
    until: float
    """When the run starts without the record, in monotonic seconds."""


@dataclass(slots=True, eq=False)
class RunRecord:
    """One run, from queued to ended. A moment is None until it is reached."""

    id: str
    job: JobRecord
    attempt: int
    queued: Moment
    spec: JobSpec
    """The declaration of its job when it was queued, or a newer one that a reload applied."""
    started: Moment | None = None
    ready: Moment | None = None
    requested: Moment | None = None
    ended: Moment | None = None
    reason: Reason | None = None
    # In monotonic seconds; inf if there is no such deadline.
    timeout_at: float = _NEVER
    unready_at: float = _NEVER
    # When the join policy decides; inf if it waits for ever.
    overdue_at: float = _NEVER
    # The instant of the schedule for which it starts, if it starts for one, and whether that is recorded.
    due: DueInstant | None = None
    is_recorded: bool = True
    # The place of its thread when `within` was over; set then.
    captured: StackCaptured | None = None
    # When it was reported as overdue; not if no stop waits for it.
    overdue: Moment | None = None
    # When its processes got TERM, and when they were killed.
    terminated: Moment | None = None
    killed: Moment | None = None
    # When the watchdog found that the run does not poll.
    unresponsive: Moment | None = None
    # If it executes elsewhere: the place, whether its process there is known, and since when nothing is heard of it.
    whereabouts: Whereabouts | None = None
    is_process_known: bool = False
    unreachable: Moment | None = None
    # When all that may be left of a lost run has stopped; None if nothing was left.
    stopped_by: Moment | None = None
    is_urgent: bool = False
    how: How | None = None
    outcome: Outcome | None = None
    error: ErrorInfo | None = None
    failed_callbacks: tuple[str, ...] = ()
    # Those that wait for its end.
    changeovers: tuple[Changeover, ...] = ()

    @property
    def is_overdue(self) -> bool:
        """Whether it outlived its `within`, and no stop waits for it: one that is being killed is still waited for."""
        return self.captured is not None and (self.killed is None or self.outcome is not None)

    def has_met(self, deadline: float, ended: Mapping[str, float]) -> bool:
        """Return whether its body had ended by a deadline, as `ended` says of runs whose report has not come yet."""
        at = ended.get(self.id)
        if at is None:
            return False
        # A stop does not wait for a run with `join: 0s`, so there the report counts, not when the stop was requested.
        return at <= deadline or (self.requested is not None and not self.spec.join.is_awaited)

    @property
    def was_stopped_for_failure(self) -> bool:
        """Whether its `timeout`, its `ready_within` or the watchdog stopped it. The first cause counts."""
        return self.reason is not None and self.reason.kind in (ReasonKind.DEADLINE, ReasonKind.WATCHDOG)

    @property
    def has_failed(self) -> bool:
        """Whether it ended in a failure. An abandoned run failed if it was stopped for a limit or by the watchdog."""
        return self.was_stopped_for_failure if self.outcome is Outcome.ABANDONED else self.outcome in FAILURES

    @property
    def seconds(self) -> float:
        """How long it ran; 0.0 if it never began or has not ended."""
        if self.started is None or self.ended is None:
            return 0.0
        return self.ended.mono - self.started.mono

    @property
    def ready_seconds(self) -> float:
        """How long it was ready; 0.0 if it never was or has not ended."""
        if self.ready is None or self.ended is None:
            return 0.0
        return self.ended.mono - self.ready.mono


@dataclass(slots=True, eq=False)
class JobRecord:
    """One declared job and its current state."""

    spec: JobSpec
    state: JobState
    waiting_for: WaitingFor | None
    # Both are set when the job is declared, before anything else happens to it.
    family: Family = field(init=False, repr=False)
    """The jobs of its declared name."""
    dependencies: Dependents = field(init=False, repr=False)
    """The jobs that start after the same jobs as this one."""
    order: int = 0
    """Its place in the order of the declarations."""
    # When a start delay or a restart delay is over, in monotonic seconds.
    due_at: float | None = None
    # The reload that added it, while runs that it stopped have not ended.
    changeover: Changeover | None = None
    # Since when the job waits for them.
    held_since: Moment | None = None
    # The run that is running or stopping, or that was abandoned or lost and may still be executing.
    run: RunRecord | None = None
    last_run: RunRecord | None = None
    follow_up: FollowUp = FollowUp.POLICY
    # None if its schedule is not armed.
    next_firing: NextFiring | None = None
    # The latest instant of a calendar that came, in seconds since the epoch.
    latest_instant: float | None = None
    # The firing that waits for the end of the run (`FollowUp.FIRING`).
    queued_instant: DueInstant = _NO_INSTANT
    # None unless it waits for the record of an instant.
    recording: Recording | None = None
    # Its schedule makes up for what has passed since then, in seconds since the epoch, when it is armed. None if it
    # remembers nothing, or was armed or stopped in this start of the program.
    catches_up_since: float | None = None
    holds: Mapping[Hold, Reason] = field(default_factory=lambda: _NO_HOLDS)
    """How users hold it back, and why. Never changed in place: reports share it."""
    hold_beginnings: Mapping[Hold, HoldBeginning] = field(default_factory=lambda: _NO_BEGINNINGS)
    backoff: Backoff | None = None
    number: int = 0
    """The number in the name of its latest run."""
    runs: int = 0
    restarts: int = 0
    missed: int = 0
    # The last instant that was missed, in seconds since the epoch, and the cause.
    missed_last: tuple[float, str] | None = None
    has_failed: bool = False
    """Whether it failed for good: its last run failed and no run followed, or it gave up."""
    has_given_up: bool = False
    # Counts while `has_given_up` is set.
    gave_up_because: str = ""
    reason: Reason | None = None
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    """How many of its runs ended in each way."""

    @property
    def is_active(self) -> bool:
        """Whether it has a run that was not abandoned, or will get one by itself."""
        if self.state is JobState.WAITING:
            return self.waiting_for is not WaitingFor.START
        if self.state is JobState.BLOCKED:
            return self._goes_on_after_blocked
        return self.state in _ACTIVE

    @property
    def _goes_on_after_blocked(self) -> bool:
        """Whether the job counts as active while the thread of its abandoned run lives.

        A schedule goes on: it never ends by itself. A pending restart is less: that thread may never exit, so a
        program does not stay for it, unless it has daemons only and runs until a signal anyway. A lost run blocks its
        job for a known time only.
        """
        if self.next_firing is not None:
            return True
        is_awaited = self.spec.daemon or self.lost_run is not None
        return is_awaited and self.follow_up in (FollowUp.RETRY, FollowUp.RESTART, FollowUp.FIRING)

    @property
    def lost_run(self) -> RunRecord | None:
        """The run of a blocked job, if it was lost: it blocks the job until its `stopped_by`."""
        # Not `run`, which a release resets before the state changes.
        last = self.last_run
        return last if self.state is JobState.BLOCKED and last is not None and last.outcome is Outcome.LOST else None

    @property
    def is_paused(self) -> bool:
        """Whether a user paused its schedule."""
        return Hold.PAUSED in self.holds

    @property
    def is_stopped(self) -> bool:
        """Whether a user stopped it, so that nothing but a user starts it."""
        return Hold.STOPPED in self.holds

    @property
    def starts_at_once(self) -> bool:
        """Whether it starts with the program: by itself, without a delay and without a schedule."""
        start = self.spec.start
        return start.mode is StartMode.AUTO and not start.delay_seconds and self.spec.schedule is None

    @property
    def is_ready(self) -> bool:
        """Whether its run is ready."""
        run = self.last_run
        return run is not None and run.ready is not None and run.ended is None

    @property
    def waits_for_dependencies(self) -> bool:
        """Whether it waits for the jobs that it starts after."""
        return self.waiting_for is WaitingFor.DEPENDENCY

    @property
    def awaits_removal(self) -> bool:
        """Whether runs that a reload stopped have to end before the job begins by itself."""
        return self.changeover is not None and self.changeover.is_pending

    @property
    def may_autostart(self) -> bool:
        """Whether the start of the scheduler starts it."""
        return (
            self.state is JobState.WAITING
            and self.waiting_for is WaitingFor.START
            and self.spec.start.mode is StartMode.AUTO
            and not self.is_stopped
        )

    def refused_start(self, now: float) -> UsageError:
        """Return the error for a START that is refused in this state. `now`: in monotonic seconds."""
        name, run = self.spec.name, self.run.id if self.run is not None else ""
        if self.state is JobState.DISABLED:
            return JobDisabled(name)
        if self.state is JobState.STOPPING:
            return JobStopping(name, run)
        if self.state is JobState.BLOCKED:
            until = self.run.stopped_by if self.run is not None else None
            return JobBlocked(name, run, until.mono - now if until is not None else None)
        return AlreadyRunning(name, run)
