"""The reports of a runner about a run, which are inputs of the core.

Apart from the other inputs, so that the process of a run need not import the model of jobs: its start-up is measured.
"""

from __future__ import annotations

from typing import NamedTuple

from taskloom.core.endings import ErrorInfo, How

__all__ = [
    "CallbackFailed",
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
    "Whereabouts",
]


class Whereabouts(NamedTuple):
    """The place of a run that executes in another process than the program's or its children."""

    host: str
    worker: str
    """The name of the worker there, as its cluster knows it."""
    pid: int
    """The pid of the run's main process on that host; 0 while it is not known."""


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


class RunPlaced(NamedTuple):
    """A worker elsewhere has accepted the run. Comes again if the place is known more exactly."""

    run: str
    whereabouts: Whereabouts


class RunUnreachable(NamedTuple):
    """Nothing was heard of the run's worker since `since`, in monotonic seconds. The run may still be executing."""

    run: str
    since: float


class RunReachable(NamedTuple):
    """The run's worker was heard of again."""

    run: str


class RunReleased(NamedTuple):
    """It is certain that nothing is left of a lost run, before the `stopped_by` of its RunEnded."""

    run: str


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
    stopped_by: float = 0.0
    """For `How.LOST`: the monotonic second by which whatever is left of the run has stopped. No run of its job begins
    before, unless RunReleased comes earlier."""


class CallbackFailed(NamedTuple):
    """A `terminate` or `on_cancel` callback raised, or `terminate` did not begin in time. The run may have ended."""

    run: str
    callback: str
    error: ErrorInfo
