"""The messages between a runner of processes and its workers, as records; `taskloom.runners.wire` has the rules.

Each worker imports this module, and a run starts only after that: so no NamedTuple and no dataclass, whose classes take
twenty times as long to make.
"""

from __future__ import annotations

from typing import Any, dataclass_transform

from taskloom.core.endings import ErrorInfo, How, Reason
from taskloom.runners.gauges import Progress

__all__ = [
    "CallbackFailed", "Cancel", "Down", "Ended", "Gauged", "Hello", "Logged", "PollInterval", "Polled", "Ready", "Spec",
    "StackAnswer", "StackRequest", "StartFailed", "Started", "Up", "Urgent",
]  # fmt: skip


@dataclass_transform()
class Message:
    """A record of its annotated attributes, in their order. Do not change it."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *values: Any, **named: Any) -> None:
        # Fewer values than attributes: the others are named, or have a default.
        vars(self).update(zip(type(self).__annotations__, values, strict=False), **named)

    def data(self) -> dict[str, Any]:
        """Return the attributes by name, with the defaults."""
        return {name: getattr(self, name) for name in type(self).__annotations__}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and other.data() == self.data()

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.data().items())
        return f"{type(self).__name__}({shown})"


# -- down


class Spec(Message):
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
    """As they were written: what is checked against the types of the task, unless there are values."""
    values: dict[str, Any] | None
    """The checked values of all params, if they are plain data: then nothing is checked again."""
    label: str
    log_levels: dict[str, int]
    """The level of each logger that has one in the program, by name; "" is the root."""


class Cancel(Message):
    """The run is requested to stop."""

    reason: Reason


class Urgent(Message):
    """Most of the time for the stop is over."""


class PollInterval(Message):
    """A reload has changed the poll interval."""

    seconds: float


class StackRequest(Message):
    """Asks where the run is; `id` comes back with the answer."""

    id: int


# -- up


class Hello(Message):
    """The worker is there.

    `dump` is a file of the worker in memory, by its descriptor there, to which the signal DUMP_SIGNAL makes it write
    the stacks of all threads, even while a thread holds the GIL; -1 if it has none. `thread`: the id of the thread of
    the run, as it is written there. `taskloom.runners.process.stack_dump` reads it.
    """

    version: str
    pid: int
    dump: int = -1
    thread: int = 0


class Started(Message):
    """The body is about to be called, at a second of the monotonic clock; `is_ready` unless its task announces that."""

    is_ready: bool
    at: float = 0.0


class StartFailed(Message):
    """The task cannot be imported, or its body cannot be made. Nothing follows but Logged."""

    error: ErrorInfo


class Ready(Message):
    """The task announced that it is ready."""


class Polled(Message):
    """The heartbeat: the polls so far, whether the run waits on its token, and whether a callback would wake it."""

    n: int
    waiting: bool
    wakeable: bool


class Gauged(Message):
    """The progress, None if there is none, and the counters that have changed, with their totals."""

    progress: Progress | None
    counts: dict[str, int]


class Logged(Message):
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
    """The `extra` of the caller: JSON data as it is, other values as text."""


class CallbackFailed(Message):
    """A callback of the run raised."""

    name: str
    error: ErrorInfo


class StackAnswer(Message):
    """The place at which the run is, as `taskloom.runners.Stack` has it."""

    id: int
    where: str
    text: str


class Ended(Message):
    """How the body ended, as RunEnded has it. The process exits with 0 soon after."""

    how: How
    error: ErrorInfo | None
    was_requested: bool
    callback_ran: bool


Down = Spec | Cancel | Urgent | PollInterval | StackRequest
Up = Hello | Started | StartFailed | Ready | Polled | Gauged | Logged | CallbackFailed | StackAnswer | Ended
