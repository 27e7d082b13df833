"""The policies of a job, as values: join, start, restart, schedule, dependencies, watchdog.

Plain frozen records, all times in seconds. Nothing here decides anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from taskloom.core.enums import FastEnum, plain_members

__all__ = [
    "STOP_WITHIN_SECONDS",
    "WAIT_FOR_EVER",
    "Calendar",
    "Condition",
    "Dependency",
    "JoinPolicy",
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
]

WAIT_FOR_EVER = float("inf")
"""The `within` of `join: wait`."""

STOP_WITHIN_SECONDS = 30.0
"""The time for a whole shutdown, unless the caller sets another; .NET's host and Kubernetes allow 30 s as well."""


@plain_members
class Otherwise(FastEnum):
    """What happens to a run that outlived its join policy."""

    ABANDON = "abandon"
    """Leave its thread behind, in the ledger. For daemon jobs only: the process may end without them."""
    EXIT = "exit"
    """At the end of a whole shutdown the process leaves by a hard exit with code 3."""


@dataclass(frozen=True, slots=True)
class JoinPolicy:
    """How long a stop waits for a run, and what it does then."""

    within: float
    """Seconds; 0 asks and wakes without waiting, WAIT_FOR_EVER waits."""
    otherwise: Otherwise


@plain_members
class StartMode(FastEnum):
    """When a job's first run starts."""

    AUTO = "auto"
    """When the scheduler starts (after its dependencies, and `delay_seconds`)."""
    MANUAL = "manual"
    """When somebody starts it."""


@dataclass(frozen=True, slots=True)
class StartPolicy:
    """When a job's first run starts."""

    mode: StartMode = StartMode.AUTO
    delay_seconds: float = 0.0


@plain_members
class RestartWhen(FastEnum):
    """Which ends of a run are followed by another one."""

    NEVER = "never"
    """None."""
    ON_FAILURE = "on-failure"
    """Those that count as failure: failed, timed_out, start_failed, and a stop by the watchdog."""
    ALWAYS = "always"
    """A clean return as well. Never one that somebody asked for, and never a PermanentFailure."""


@dataclass(frozen=True, slots=True)
class RestartLimit:
    """More than so many restarts inside a sliding window, and the job gives up."""

    times: int
    within: float


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Whether and when a run follows one that ended.

    0.5 s, doubled up to 30 s, is pebble's delay; suture adds up to half of it at random, so that a thousand jobs
    that failed together do not come back together.
    """

    when: RestartWhen = RestartWhen.NEVER
    delay: float = 0.5
    """Seconds before the first restart."""
    factor: float = 2.0
    max_delay: float = 30.0
    """The delay grows up to this; jitter comes on top."""
    jitter: float = 0.5
    """The share of the delay that chance may add: 0.5 is up to half as much again."""
    limit: RestartLimit | None = None


class Calendar(Protocol):
    """Instants of the wall clock, in seconds since the epoch, at least a second apart.

    Asks no clock: the same question, the same answer. Two that mean the same are equal: a reload compares them.
    """

    def __hash__(self) -> int:
        """Return the same for equals."""

    def after(self, wall: float) -> float | None:
        """Return the first instant that is later, or None when there is none any more."""

    def latest(self, wall: float) -> float | None:
        """Return the last instant that is not later, or None when there was none."""


@plain_members
class Overlap(FastEnum):
    """What a firing does that finds the job's run alive."""

    SKIP = "skip"
    """It is missed, and counted."""
    QUEUE = "queue"
    """It waits for the end of that run; one waits, more are missed."""
    REPLACE = "replace"
    """It stops that run, and starts when it has ended."""


@plain_members
class Missed(FastEnum):
    """What becomes of instants that passed while nobody could start a run."""

    ONCE = "once"
    """The latest is made up for, if it is no older than `grace`; the others are missed."""
    SKIP = "skip"
    """All are missed."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job's runs start by themselves: every so many seconds, or at the instants of a calendar.

    Exactly one of `every` and `calendar` is set.
    """

    every: float | None = None
    """Seconds between two instants, on the monotonic clock."""
    calendar: Calendar | None = None
    text: str = ""
    """As it is written, for people: `every 5m`, `cron */5 * * * *`."""
    jitter: float = 0.0
    """Each firing comes up to so many seconds after its instant, by chance."""
    overlap: Overlap = Overlap.SKIP
    missed: Missed = Missed.ONCE
    grace: float = 3600.0
    """How late, in seconds, a missed instant may still be made up for."""
    immediately: bool = False
    """Whether a first run starts when the schedule is armed."""


@plain_members
class Condition(FastEnum):
    """What a job waits for in another one."""

    STARTED = "started"
    """It has a run that began, and did not fail since."""
    READY = "ready"
    """It has a run that is ready, or was and succeeded."""
    SUCCEEDED = "succeeded"
    """Its last run succeeded."""
    FINISHED = "finished"
    """Its last run ended in any way, and no other will follow by itself."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """A dependency: the name of a job, all of its replicas included, and the condition."""

    job: str
    condition: Condition = Condition.READY

    def __str__(self) -> str:
        return f"{self.job} ({self.condition.value})"


@plain_members
class WatchdogThen(FastEnum):
    """What the watchdog does with a run that has not polled for too long."""

    WARN = "warn"
    """It says so."""
    STOP = "stop"
    """It stops the run, which ends failed; no restart follows."""
    RESTART = "restart"
    """It stops the run; a restart follows, whatever `restart.when` says."""


@dataclass(frozen=True, slots=True)
class Watchdog:
    """How long a ready run may go without a poll, in seconds, and what happens then."""

    after: float
    then: WatchdogThen = WatchdogThen.WARN
