"""The inputs of the core: commands of users, reports of runners, and ticks of the timer."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from taskloom.core.changes import Plan
from taskloom.core.model import JobSpec, Reason
from taskloom.core.remembered import NOTHING_REMEMBERED, Recollection
from taskloom.core.run_reports import (
    CallbackFailed,
    RunEnded,
    RunPlaced,
    RunReachable,
    RunReady,
    RunReleased,
    RunResponsive,
    RunStarted,
    RunStartFailed,
    RunUnreachable,
    RunUnresponsive,
)

__all__ = [
    "NO_RUNS",
    "AddJob",
    "AddJobs",
    "ArmJob",
    "CallbackFailed",
    "HurryShutdown",
    "Input",
    "InstantRecorded",
    "PauseJob",
    "Reload",
    "ResetJob",
    "RestartJob",
    "ResumeJob",
    "RunEnded",
    "RunPlaced",
    "RunReachable",
    "RunReady",
    "RunReleased",
    "RunResponsive",
    "RunStartFailed",
    "RunStarted",
    "RunUnreachable",
    "RunUnresponsive",
    "Shutdown",
    "StackCaptured",
    "StartAll",
    "StartJob",
    "StopJob",
    "Tick",
]

NO_RUNS: Mapping[str, float] = MappingProxyType({})


class AddJob(NamedTuple):
    """Declare a job."""

    spec: JobSpec


class AddJobs(NamedTuple):
    """Declare several jobs, replicas included: all of them, or none if one is refused."""

    specs: tuple[JobSpec, ...]
    memory: Recollection = NOTHING_REMEMBERED


class StartAll(NamedTuple):
    """Start every enabled job with `start: auto` that was not started yet."""


class StartJob(NamedTuple):
    """Start one job now, without its delay or schedule. Refused if dependencies are pending, unless `is_now`.

    `reason`: who starts it and why, for the event of the run.
    """

    job: str
    is_now: bool = False
    reason: Reason | None = None


class ArmJob(NamedTuple):
    """Start one job as StartAll does: after its dependencies and its delay, by its schedule."""

    job: str


class RestartJob(NamedTuple):
    """Stop the job's run, if it has one, and start another at once, without a delay and not counted.

    Without a run it is a StartJob: refused if dependencies are pending, unless `is_now`.
    """

    job: str
    reason: Reason
    is_now: bool = False


class ResetJob(NamedTuple):
    """Forget the failures of the job, and begin the run that they delayed or prevented."""

    job: str
    reason: Reason


class PauseJob(NamedTuple):
    """Have each firing of the job's schedule missed, until a ResumeJob. Refused without a schedule; idempotent."""

    job: str
    reason: Reason


class ResumeJob(NamedTuple):
    """End all holds of the job, and arm the schedule of one that was stopped. No run begins; idempotent.

    Refused without a schedule. For a stopped job also refused while its dependencies are not satisfied.
    """

    job: str
    reason: Reason


class Reload(NamedTuple):
    """Replace all declarations by these, which include the replicas.

    `plan`: made from these and the present declarations, on the thread that requests the reload; else it is made here.
    """

    specs: tuple[JobSpec, ...]
    plan: Plan | None = None
    memory: Recollection = NOTHING_REMEMBERED
    """Jobs that are new are restored from it."""


class StopJob(NamedTuple):
    """Stop one job, which nothing but a user starts from then on. With `run`, stop only that run, if it is still the
    job's run: its schedule goes on."""

    job: str
    reason: Reason
    run: str | None = None


class Shutdown(NamedTuple):
    """Stop all jobs for good. `within`: seconds for the whole shutdown; inf for no deadline."""

    reason: Reason
    within: float


class HurryShutdown(NamedTuple):
    """Limit the shutdown that is under way to `within` more seconds."""

    within: float


class Tick(NamedTuple):
    """Handle the deadlines that are due.

    `ended`: the runs whose body has ended but whose RunEnded was not handed in yet, and when they ended, in monotonic
    seconds. A deadline that such a run has met is left to its report, however late that comes.

    `steady_until`: the wall clock was not set until then, in monotonic seconds. In virtual time that is known without
    a check.
    """

    ended: Mapping[str, float] = NO_RUNS
    steady_until: float = 0.0


class InstantRecorded(NamedTuple):
    """The answer to the action RecordInstant. `is_recorded`: whether the record will survive a crash."""

    job: str
    instant: float
    is_recorded: bool


class StackCaptured(NamedTuple):
    """The place and the stack of an overdue run: the answer to the action CaptureStack."""

    run: str
    where: str
    stack: str
    poll_age: float | None
    callbacks: tuple[str, ...] = ()


Command = (
    AddJob
    | AddJobs
    | StartAll
    | StartJob
    | ArmJob
    | RestartJob
    | ResetJob
    | PauseJob
    | ResumeJob
    | StopJob
    | Reload
    | Shutdown
    | HurryShutdown
)
RunReport = (
    RunStarted
    | RunStartFailed
    | RunReady
    | RunUnresponsive
    | RunResponsive
    | RunPlaced
    | RunUnreachable
    | RunReachable
    | RunEnded
    | RunReleased
)
Input = Command | Tick | RunReport | StackCaptured | CallbackFailed | InstantRecorded
