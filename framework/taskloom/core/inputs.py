"""The inputs of the core: commands of users, reports of runners, and ticks of the timer."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from taskloom.core.changes import Plan
from taskloom.core.model import ErrorInfo, How, JobSpec, Reason

__all__ = [
    "NO_RUNS",
    "AddJob",
    "AddJobs",
    "ArmJob",
    "CallbackFailed",
    "HurryShutdown",
    "Input",
    "PauseJob",
    "Reload",
    "ResetJob",
    "RestartJob",
    "ResumeJob",
    "RunEnded",
    "RunReady",
    "RunResponsive",
    "RunStartFailed",
    "RunStarted",
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


class RunStarted(NamedTuple):
    """The run's body is about to be called; `is_ready` unless its task announces readiness."""

    run: str
    is_ready: bool


class RunStartFailed(NamedTuple):
    """The runner could not begin the run."""

    run: str
    error: ErrorInfo


class RunUnresponsive(NamedTuple):
    """The run has not polled for longer than its watchdog allows; `poll_age` is in seconds.

    `because`: how the runner found out, if not by the polls, such as `3 checks failed`; "" for the polls. Has no effect
    on a job without a watchdog.
    """

    run: str
    poll_age: float
    because: str = ""


class RunResponsive(NamedTuple):
    """The run polled again."""

    run: str


class RunReady(NamedTuple):
    """The task announced that it is ready."""

    run: str


class RunEnded(NamedTuple):
    """The run's body has ended.

    `was_requested` is read on the run's own thread right after that. It decides whether the request to stop came first;
    the order of the messages does not. `callback_ran`: the wake-up may have caused its error, since its task has
    `terminate`, it used `ctx.fileno()`, or one of its callbacks had begun.
    """

    run: str
    how: How
    error: ErrorInfo | None
    was_requested: bool
    callback_ran: bool


class StackCaptured(NamedTuple):
    """The place and the stack of an overdue run: the answer to the action CaptureStack."""

    run: str
    where: str
    stack: str
    poll_age: float | None
    callbacks: tuple[str, ...] = ()


class CallbackFailed(NamedTuple):
    """A `terminate` or `on_cancel` callback raised, or `terminate` did not begin in time. The run may have ended."""

    run: str
    callback: str
    error: ErrorInfo


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
RunReport = RunStarted | RunStartFailed | RunReady | RunUnresponsive | RunResponsive | RunEnded
Input = Command | Tick | RunReport | StackCaptured | CallbackFailed
