"""The policies of a job, as values: join, start, restart, schedule, dependencies, watchdog.

Plain frozen records, all times in seconds. Nothing here decides anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from taskloom.core.enums import FastEnum, plain_members

__all__ = [
    "HELD_BACK_SECONDS",
    "STOP_WITHIN_SECONDS",
    "WAIT_FOR_EVER",
    "Calendar",
    "Condition",
    "Dependency",
    "JoinPolicy",
    "LogLevel",
    "LogPolicy",
    "Missed",
    "Otherwise",
    "Overlap",
    "RestartLimit",
    "RestartPolicy",
    "RestartWhen",
    "Schedule",
    "StartMode",
    "StartPolicy",
    "Watchdog",
    "WatchdogThen",
    "repeats_after",
]

WAIT_FOR_EVER = float("inf")
"""The `within` of `join: wait`."""

STOP_WITHIN_SECONDS = 30.0
"""The time for a whole shutdown, unless the caller sets another; .NET's host and Kubernetes allow 30 s as well."""

HELD_BACK_SECONDS = 3 * 3600.0
"""If the clock is set back by more than this, every calendar uses the new time: cron(8) takes it for a correction."""


@plain_members
class Otherwise(FastEnum):
    """The treatment of a run that outlived its join policy."""

    ABANDON = "abandon"
    """Leave its thread alone and report it. For daemon jobs only: the process may end without them."""
    EXIT = "exit"
    """At the end of a whole shutdown, the process exits immediately with code 3."""
    KILL = "kill"
    """Kill the processes of the run. For runners that can, such as `process`; there it is the default."""


@dataclass(frozen=True, slots=True)
class JoinPolicy:
    """How long a stop waits for a run, and what happens to a run that takes longer."""

    within: float
    """Seconds; 0 requests the stop without waiting for the run, WAIT_FOR_EVER waits without a limit."""
    otherwise: Otherwise
    """A run that is not awaited is killed or abandoned: EXIT has no effect on it."""

    @property
    def is_awaited(self) -> bool:
        """Whether a stop waits for the run at all. If not, the run is never overdue."""
        return self.within > 0

    @property
    def abandons(self) -> bool:
        """Whether a run that outlived the policy is abandoned."""
        return self.otherwise is Otherwise.ABANDON or not (self.is_awaited or self.kills)

    @property
    def kills(self) -> bool:
        """Whether a run that outlived the policy is killed. The stop then waits until it is gone."""
        return self.otherwise is Otherwise.KILL


@plain_members
class StartMode(FastEnum):
    """When a job's first run starts."""

    AUTO = "auto"
    """When the scheduler starts (after its dependencies, and `delay_seconds`)."""
    MANUAL = "manual"
    """When a user starts it."""


@dataclass(frozen=True, slots=True)
class StartPolicy:
    """When a job's first run starts."""

    mode: StartMode = StartMode.AUTO
    delay_seconds: float = 0.0


@plain_members
class RestartWhen(FastEnum):
    """The ends of a run that are followed by a restart."""

    NEVER = "never"
    """None."""
    ON_FAILURE = "on-failure"
    """Failures: failed, timed_out, start_failed, and a stop by the watchdog."""
    ALWAYS = "always"
    """Failures and returns. Never an end that was requested, and never a PermanentFailure."""


@dataclass(frozen=True, slots=True)
class RestartLimit:
    """The job gives up if there are more than `times` restarts in a sliding window of `within` seconds."""

    times: int
    within: float


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Whether and when a run follows one that ended.

    0.5 s, doubled up to 30 s, is pebble's delay. suture adds up to half of it at random, so that a thousand jobs that
    failed together do not restart together.
    """

    when: RestartWhen = RestartWhen.NEVER
    delay: float = 0.5
    """Seconds before the first restart."""
    factor: float = 2.0
    max_delay: float = 30.0
    """The delay grows up to this; jitter is added to it."""
    jitter: float = 0.5
    """The share of the delay that is added at most, at random: 0.5 adds up to half of it."""
    limit: RestartLimit | None = None


class Calendar(Protocol):
    """Instants of the wall clock, in seconds since the epoch, at least a second apart.

    Reads no clock: equal arguments give equal results. Calendars with the same instants are equal, because a reload
    compares them. A calendar that is not at fixed times also has `repeats_after`, see the function of that name.
    """

    def __hash__(self) -> int:
        """Return the same number for equal calendars."""

    def after(self, wall: float) -> float | None:
        """Return the first instant after `wall`, or None if there is none."""

    def latest(self, wall: float) -> float | None:
        """Return the last instant at or before `wall`, or None if there is none."""


def repeats_after(calendar: Calendar) -> float:
    """Return by how many seconds the clock may be set back without the calendar's instants coming again.

    Up to that, its next instant waits until the clock has caught up. A calendar at fixed times, which has no such
    attribute, waits up to HELD_BACK_SECONDS. Calendars with wildcards follow the clock if it is set back by more than
    their resolution.
    """
    return float(getattr(calendar, "repeats_after", HELD_BACK_SECONDS))


@plain_members
class Overlap(FastEnum):
    """The effect of a firing while the job's previous run is still running."""

    SKIP = "skip"
    """The firing is missed, and counted as such."""
    QUEUE = "queue"
    """The firing waits for the end of that run. One can wait; further ones are missed."""
    REPLACE = "replace"
    """That run is stopped, and a new run starts when it has ended."""


@plain_members
class Missed(FastEnum):
    """The treatment of instants that passed while no run could be started."""

    ONCE = "once"
    """A run starts for the latest one if it is no older than `grace`; the others are missed."""
    SKIP = "skip"
    """All of them are missed."""
    CATCH_UP = "catch-up"
    """As `once`, also for the instants that passed while the program was down. Needs a history."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job's runs start by themselves: every `every` seconds, or at the instants of a calendar.

    Exactly one of `every` and `calendar` is set.
    """

    every: float | None = None
    """Seconds between two instants, on the monotonic clock."""
    calendar: Calendar | None = None
    text: str = ""
    """As shown to users: `every 5m`, `cron */5 * * * *`."""
    jitter: float = 0.0
    """Each firing is delayed by up to `jitter` seconds after its instant, at random."""
    overlap: Overlap = Overlap.SKIP
    missed: Missed = Missed.ONCE
    grace: float = 3600.0
    """How late, in seconds, a run may still start for a missed instant."""
    immediately: bool = False
    """Whether a first run starts when the schedule is armed."""

    @property
    def catches_up(self) -> bool:
        """Whether each instant is recorded before its run starts, so that it never starts two."""
        return self.missed is Missed.CATCH_UP


@plain_members
class Condition(FastEnum):
    """The condition of another job that a dependency waits for."""

    STARTED = "started"
    """Its latest run has begun, and has not failed or been stopped since."""
    READY = "ready"
    """Its latest run is ready, or was ready and succeeded."""
    SUCCEEDED = "succeeded"
    """Its last run succeeded."""
    FINISHED = "finished"
    """Its last run ended in any way, and no further run starts by itself."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """A dependency: the name of a job, all of its replicas included, and the condition."""

    job: str
    condition: Condition = Condition.READY

    def __str__(self) -> str:
        return f"{self.job} ({self.condition.value})"


@plain_members
class WatchdogThen(FastEnum):
    """The action of the watchdog for a run that has not polled for too long."""

    WARN = "warn"
    """It reports the run as unresponsive."""
    STOP = "stop"
    """It stops the run, which ends as failed; no restart follows."""
    RESTART = "restart"
    """It stops the run, and a restart follows whatever `restart.when` says."""


@dataclass(frozen=True, slots=True)
class Watchdog:
    """How long a ready run may go without a poll, in seconds, and what happens if it takes longer."""

    after: float
    then: WatchdogThen = WatchdogThen.WARN


@plain_members
class LogLevel(FastEnum):
    """The least level of the messages in a log."""

    DEBUG = "debug"
    """All messages."""
    INFO = "info"
    """Messages about what happens, and all that is worse."""
    WARNING = "warning"
    """Warnings and errors."""
    ERROR = "error"
    """Errors alone."""


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """What of a job's output is logged, and where."""

    level: LogLevel | None = None
    """None: that of the program."""
    file: str | None = ""
    """The path of its log file; "" for one in the folder of the program's log files, None for no file."""
