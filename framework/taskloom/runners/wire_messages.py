"""The messages between a runner of processes and its workers, as records; `taskloom.runners.wire` has the rules."""

from __future__ import annotations

from typing import Any, NamedTuple

from taskloom.core.model import ErrorInfo, How, Reason
from taskloom.runners.gauges import Progress

__all__ = [
    "CallbackFailed", "Cancel", "Down", "Ended", "Gauged", "Hello", "Logged", "PollInterval", "Polled", "Ready", "Spec",
    "StackAnswer", "StackRequest", "StartFailed", "Started", "Up", "Urgent",
]  # fmt: skip


# -- down


class Spec(NamedTuple):
    """The run that the worker is to execute."""

    version: str
    """The version of Taskloom that the runner has; the worker must have the same."""
    sys_path: list[str]
    job: str
    run: str
    task: str
    attempt: int
    replica: int
    daemon: bool
    poll_interval: float
    """Seconds."""
    module: str
    qualname: str
    params: dict[str, Any]
    label: str
    log_levels: dict[str, int]
    """The level of each logger that has one in the program, by name; "" is the root."""


class Cancel(NamedTuple):
    """The run is requested to stop."""

    reason: Reason


class Urgent(NamedTuple):
    """Most of the time for the stop is over."""


class PollInterval(NamedTuple):
    """A reload has changed the poll interval."""

    seconds: float


class StackRequest(NamedTuple):
    """Asks where the run is; `id` comes back with the answer."""

    id: int


# -- up


class Hello(NamedTuple):
    """The worker is there.

    `dump` is a file of the worker in memory, by its descriptor there, to which the signal DUMP_SIGNAL makes it write
    the stacks of all threads, even while a thread holds the GIL; -1 if it has none. `thread`: the id of the thread of
    the run, as it is written there. `taskloom.runners.process.stack_dump` reads it.
    """

    version: str
    pid: int
    dump: int = -1
    thread: int = 0


class Started(NamedTuple):
    """The body is about to be called; `is_ready` unless its task announces readiness."""

    is_ready: bool


class StartFailed(NamedTuple):
    """The task cannot be imported, or its body cannot be made. Nothing follows but Logged."""

    error: ErrorInfo


class Ready(NamedTuple):
    """The task announced that it is ready."""


class Polled(NamedTuple):
    """The heartbeat: the polls so far, whether the run waits on its token, and whether a callback would wake it."""

    n: int
    waiting: bool
    wakeable: bool


class Gauged(NamedTuple):
    """The progress, None if there is none, and the counters that have changed, with their totals."""

    progress: Progress | None
    counts: dict[str, int]


class Logged(NamedTuple):
    """A log record. `exc` and `stack` are texts, "" for none."""

    level: int
    name: str
    message: str
    created: float
    """Seconds since the epoch."""
    exc: str = ""
    stack: str = ""
    thread: str = ""
    path: str = ""
    line: int = 0
    function: str = ""
    extra: dict[str, Any] = {}
    """What the caller gave as `extra`, as JSON data; other values as text."""


class CallbackFailed(NamedTuple):
    """A callback of the run raised."""

    name: str
    error: ErrorInfo


class StackAnswer(NamedTuple):
    """Where the run is, as `taskloom.runners.Stack` has it."""

    id: int
    where: str
    text: str


class Ended(NamedTuple):
    """How the body ended, as RunEnded has it. The process exits with 0 soon after."""

    how: How
    error: ErrorInfo | None
    was_requested: bool
    callback_ran: bool


Down = Spec | Cancel | Urgent | PollInterval | StackRequest
Up = Hello | Started | StartFailed | Ready | Polled | Gauged | Logged | CallbackFailed | StackAnswer | Ended
