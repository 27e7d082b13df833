"""The values that the whole package uses: jobs, reasons, outcomes, states. Policies are in `policies`.

Plain frozen records, all times in seconds. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from taskloom.core.endings import ErrorInfo, How, Reason, ReasonKind
from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.policies import (
    WAIT_FOR_EVER,
    Dependency,
    JoinPolicy,
    LogPolicy,
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
    "Hold",
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
    """Seconds of the monotonic clock, used for deadlines and durations."""
    wall: float
    """Seconds since the epoch, used for calendars and shown to users."""


@plain_members
class Outcome(FastEnum):
    """How a run ended."""

    SUCCEEDED = "succeeded"
    """It returned without having been requested to stop."""
    FAILED = "failed"
    """It raised an exception, or the watchdog stopped it."""
    CANCELLED = "cancelled"
    """It was requested to stop, and stopped or was killed."""
    TIMED_OUT = "timed_out"
    """It was stopped because it exceeded its `timeout`."""
    START_FAILED = "start_failed"
    """It never began: its thread or its task instance could not be created."""
    ABANDONED = "abandoned"
    """It outlived its join policy; its thread may still be alive and is reported until it exits."""
    LOST = "lost"
    """The runner lost it: the process or the machine in which it executed is gone. A failure."""


@plain_members
class JobState(FastEnum):
    """The state of a job."""

    DISABLED = "disabled"
    """Declared with `enabled: false`: cannot be started."""
    WAITING = "waiting"
    """Has no run and may get one; `WaitingFor` names what it waits for."""
    RUNNING = "running"
    """Has a run that was not requested to stop."""
    STOPPING = "stopping"
    """Has a run that was requested to stop."""
    BLOCKED = "blocked"
    """Cannot get a run while the thread of its abandoned run is alive."""
    FINISHED = "finished"
    """Its last run ended, or its schedule is over, and no further run will start by itself."""
    SKIPPED = "skipped"
    """Will not start: its wait was stopped, or its dependencies can no longer be satisfied."""


@plain_members
class WaitingFor(FastEnum):
    """The next thing that a waiting job waits for."""

    START = "start"
    """A start: by the scheduler if `start: auto`, else by a user."""
    DELAY = "delay"
    """The end of its start delay."""
    DEPENDENCY = "dependency"
    """Its dependencies on other jobs."""
    BACKOFF = "backoff"
    """The end of its restart delay."""
    FIRING = "next firing"
    """The next firing of its schedule."""
    REMOVAL = "removal"
    """The end of the runs that a reload stopped when it added the job."""
    RECORD = "record"
    """The record, in the history, of the instant for which its run starts; a second at most."""


@plain_members
class Hold(FastEnum):
    """The part of a job that a user holds back. A job may be held in both ways at once."""

    PAUSED = "paused"
    """Its schedule: each firing is missed, until a user resumes the job."""
    STOPPED = "stopped"
    """Every run that would begin by itself, until a user starts or resumes the job."""


@plain_members
class Phase(FastEnum):
    """The phase of the scheduler as a whole."""

    OPEN = "open"
    """Runs may start."""
    STOPPING = "stopping"
    """All jobs are being stopped; no run starts any more."""
    STOPPED = "stopped"
    """The shutdown is over; only abandoned threads may still exit."""


THREAD = "thread"
"""The name of the runner of jobs that name none."""
CLUSTER = "dask"
"""The name of the runner whose runs execute elsewhere, once they have a slot."""


@dataclass(frozen=True, slots=True)
class RunnerSpec:
    """The runner that executes the job's runs, by name, and its options.

    Those of `process`: `env` (names and values), `cwd` (a path), `nice` (a number), `user` (the text `NAME`, `UID`,
    `NAME:GROUP` or `UID:GID`), `memory_limit` (bytes). An option that is not written is not there.
    """

    name: str = THREAD
    options: Mapping[str, Any] = field(default_factory=dict)


_JOIN, _START, _RUNNER, _RESTART = JoinPolicy(10.0, Otherwise.EXIT), StartPolicy(), RunnerSpec(), RestartPolicy()
_LOG = LogPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A validated job: its whole declaration, in final form.

    `task` is the name shown to users. `binding` makes the bodies of the runs; the core passes it on to the runner
    without using it.
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
    """Seconds that a run may take, counted from when it was queued."""
    ready_within: float | None = None
    """Seconds until a run has to be ready, counted from when it was queued."""
    watchdog: Watchdog | None = None
    essential: bool = False
    log: LogPolicy = _LOG
    replicas: int = 1
    replica: int = 1
    """The number of this replica, from 1."""
    declared: str = ""
    """The name in the declaration if it differs from `name`: `web` for the replica `web.2`."""
    place: Place | None = None
    binding: Any = field(default=None, repr=False, compare=False)

    @property
    def family(self) -> str:
        """The name that dependencies use: its own, or that of the job whose replica it is."""
        return self.declared or self.name

    def replicated(self) -> tuple[JobSpec, ...]:
        """Return the jobs that are declared: this one, or its replicas `name.1` to `name.n`."""
        if self.replicas == 1 or self.declared:
            return (self,)
        return tuple(
            replace(self, name=f"{self.name}.{number}", replica=number, declared=self.name)
            for number in range(1, self.replicas + 1)
        )
