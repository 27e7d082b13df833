"""The words of the house as values: jobs, reasons, outcomes, states. Policies are in `policies`.

Plain frozen records, all times in seconds. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.policies import (
    WAIT_FOR_EVER,
    Dependency,
    JoinPolicy,
    Otherwise,
    RestartPolicy,
    Schedule,
    StartMode,
    StartPolicy,
    Watchdog,
)
from taskloom.diagnostics import Place

__all__ = [
    "WAIT_FOR_EVER",
    "ErrorInfo",
    "How",
    "JobSpec",
    "JobState",
    "JoinPolicy",
    "Moment",
    "Otherwise",
    "Outcome",
    "Phase",
    "Reason",
    "ReasonKind",
    "RunnerSpec",
    "StartMode",
    "StartPolicy",
    "WaitingFor",
]


class Moment(NamedTuple):
    """One reading of both clocks."""

    mono: float
    """Seconds of the monotonic clock: what deadlines and durations are counted in."""
    wall: float
    """Seconds since the epoch: what people and calendars read."""


@plain_members
class ReasonKind(FastEnum):
    """Why something was stopped, skipped or blocked."""

    USER = "user"
    """A program requested it through the library, for example with `run.cancel()`."""
    SIGNAL = "signal"
    """The process got INT or TERM."""
    DEADLINE = "deadline"
    """The run was longer than its `timeout`."""
    FINISHED = "finished"
    """All that kept the program alive has ended."""
    ESSENTIAL = "essential"
    """An essential job failed for good."""
    REPLACED = "replaced"
    """A newer firing of the same job took its place."""
    RELOAD = "reload"
    """Its declaration changed."""
    WATCHDOG = "watchdog"
    """It did not poll for too long, or was not ready in time."""
    DEPENDENCY = "dependency"
    """A job that it needs can no longer give what it waits for."""
    SHUTDOWN = "shutdown"
    """The scheduler stops."""


class Reason(NamedTuple):
    """Why something happened: a kind for programs and free text for people."""

    kind: ReasonKind
    text: str = ""
    signal: int | None = None
    """The number of the signal, for `ReasonKind.SIGNAL`: the exit code depends on it."""

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.text}" if self.text else self.kind.value


@plain_members
class Outcome(FastEnum):
    """How a run ended."""

    SUCCEEDED = "succeeded"
    """It returned, and nobody had asked it to stop."""
    FAILED = "failed"
    """Something escaped from it."""
    CANCELLED = "cancelled"
    """It was asked to stop, and stopped."""
    TIMED_OUT = "timed_out"
    """It was stopped because it was longer than its `timeout`."""
    START_FAILED = "start_failed"
    """It never began: no thread or no instance could be made."""
    ABANDONED = "abandoned"
    """It outlived its join policy; its thread lives on in the ledger."""
    LOST = "lost"
    """The process ended before it did."""


@plain_members
class JobState(FastEnum):
    """Where a job stands."""

    DISABLED = "disabled"
    """Declared with `enabled: false`: cannot be started."""
    WAITING = "waiting"
    """Has no run and may get one; `WaitingFor` says what it waits for."""
    RUNNING = "running"
    """Has a run that nobody asked to stop."""
    STOPPING = "stopping"
    """Has a run that was asked to stop."""
    BLOCKED = "blocked"
    """Cannot get a run while the thread of its abandoned run lives."""
    FINISHED = "finished"
    """Its last run ended and nothing will start it but a person."""
    SKIPPED = "skipped"
    """Never started: what it waited for can no longer come true."""


@plain_members
class WaitingFor(FastEnum):
    """What a waiting job waits for."""

    START = "start"
    """Somebody's start."""
    DELAY = "delay"
    """The end of its start delay."""
    DEPENDENCY = "dependency"
    """Another job."""
    BACKOFF = "backoff"
    """The end of its restart delay."""
    FIRING = "next firing"
    """Its schedule."""


@plain_members
class Phase(FastEnum):
    """Where the scheduler as a whole stands."""

    OPEN = "open"
    """Runs may start."""
    STOPPING = "stopping"
    """Everything is being stopped; no run starts any more."""
    STOPPED = "stopped"
    """The stop is over; only late exits still come."""


@dataclass(frozen=True, slots=True)
class RunnerSpec:
    """Where the job's runs execute: a runner's name and its options."""

    name: str = "thread"
    options: Mapping[str, Any] = field(default_factory=dict)


_JOIN, _START, _RUNNER, _RESTART = JoinPolicy(10.0, Otherwise.EXIT), StartPolicy(), RunnerSpec(), RestartPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A validated job: everything that its declaration says, in final form.

    `task` is the name for people; `binding` is what makes the runs' bodies: the core passes it on to the
    runner and never looks inside.
    """

    name: str
    task: str
    params: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    labels: tuple[str, ...] = ()
    enabled: bool = True
    daemon: bool = False
    poll_interval: float = 1.0
    join: JoinPolicy = _JOIN
    start: StartPolicy = _START
    runner: RunnerSpec = _RUNNER
    schedule: Schedule | None = None
    after: tuple[Dependency, ...] = ()
    restart: RestartPolicy = _RESTART
    timeout: float | None = None
    """Seconds that a run may take, from the order to begin it."""
    ready_within: float | None = None
    """Seconds that a run may take to be ready, from the order to begin it."""
    watchdog: Watchdog | None = None
    essential: bool = False
    replicas: int = 1
    replica: int = 1
    """Which of its replicas this is, from 1."""
    declared: str = ""
    """The name that it was declared under, where that is another: `web` of the replica `web.2`."""
    place: Place | None = None
    binding: Any = field(default=None, repr=False, compare=False)

    @property
    def family(self) -> str:
        """The name that other jobs know it by: its own, or that of the job that it is a replica of."""
        return self.declared or self.name

    def replicated(self) -> tuple[JobSpec, ...]:
        """Return the jobs that this declaration stands for: itself, or its replicas `name.1` to `name.n`."""
        if self.replicas == 1 or self.declared:
            return (self,)
        return tuple(
            replace(self, name=f"{self.name}.{number}", replica=number, declared=self.name)
            for number in range(1, self.replicas + 1)
        )


@plain_members
class How(FastEnum):
    """How a run's body came back, before anyone asks what that means."""

    RETURNED = "returned"
    """`run` returned."""
    CANCELLED = "cancelled"
    """`Cancelled` escaped from `run`."""
    RAISED = "raised"
    """Another exception escaped from `run`."""
    PERMANENT = "permanent"
    """`PermanentFailure` escaped from `run`."""
    NOT_ENTERED = "not entered"
    """The run was cancelled before `run` was called."""


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """What is kept of an exception: text only, so that no frame and no object stays alive."""

    type: str
    message: str
    traceback: str
    is_explained: bool = False
    """Whether the message says it all, and people need no traceback."""

    def __str__(self) -> str:
        if not self.message:
            return self.type
        return self.message if self.is_explained else f"{self.type}: {self.message}"
