"""What the core is told: commands from people, reports from runners, and that time has passed."""

from __future__ import annotations

from typing import NamedTuple

from taskloom.core.model import ErrorInfo, How, JobSpec, Reason

__all__ = [
    "AddJob",
    "ArmJob",
    "CallbackFailed",
    "HurryShutdown",
    "Input",
    "Reload",
    "RestartJob",
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


class AddJob(NamedTuple):
    """Declare a job."""

    spec: JobSpec


class StartAll(NamedTuple):
    """Start every enabled job with `start: auto` that was not started yet."""


class StartJob(NamedTuple):
    """Start one job now: it waits for no delay or schedule; for its dependencies, unless `is_now`, it is refused."""

    job: str
    is_now: bool = False


class ArmJob(NamedTuple):
    """Start one job as the start of all does: after its dependencies and its delay, by its schedule."""

    job: str


class RestartJob(NamedTuple):
    """Stop the job's run, if it has one, and start another at once. No delay, and not counted."""

    job: str
    reason: Reason


class Reload(NamedTuple):
    """Put these declarations, replicas and all, in the place of those that there are."""

    specs: tuple[JobSpec, ...]


class StopJob(NamedTuple):
    """Stop one job; with `run` only if that is still the job's run."""

    job: str
    reason: Reason
    run: str | None = None


class Shutdown(NamedTuple):
    """Stop everything, for good. `within`: seconds for all of it, inf for no deadline."""

    reason: Reason
    within: float


class HurryShutdown(NamedTuple):
    """Give a shutdown that goes on at most so many more seconds."""

    within: float


class Tick(NamedTuple):
    """Time has passed: look at the deadlines."""


class RunStarted(NamedTuple):
    """The run's body is about to be entered; `is_ready` unless its task announces readiness."""

    run: str
    is_ready: bool


class RunStartFailed(NamedTuple):
    """The runner could not begin the run."""

    run: str
    error: ErrorInfo


class RunUnresponsive(NamedTuple):
    """The run has not polled for longer than its watchdog allows; `poll_age` in seconds."""

    run: str
    poll_age: float


class RunResponsive(NamedTuple):
    """The run polled again."""

    run: str


class RunReady(NamedTuple):
    """The task said that it is ready."""

    run: str


class RunEnded(NamedTuple):
    """The run's body came back.

    `was_asked` is read on the run's own thread right after that: it, not the order of messages, tells
    whether the cancel came first. `was_woken`: its `terminate` or a callback of it had begun.
    """

    run: str
    how: How
    error: ErrorInfo | None
    was_requested: bool
    callback_ran: bool


class StackCaptured(NamedTuple):
    """Where an overdue run stands: the answer to the action CaptureStack."""

    run: str
    where: str
    stack: str
    poll_age: float | None
    callbacks: tuple[str, ...] = ()


class CallbackFailed(NamedTuple):
    """A `terminate` or `on_cancel` callback raised."""

    run: str
    callback: str
    error: ErrorInfo


Input = (
    AddJob
    | StartAll
    | StartJob
    | ArmJob
    | RestartJob
    | StopJob
    | Reload
    | Shutdown
    | HurryShutdown
    | Tick
    | RunStarted
    | RunStartFailed
    | RunReady
    | RunUnresponsive
    | RunResponsive
    | RunEnded
    | StackCaptured
    | CallbackFailed
)
