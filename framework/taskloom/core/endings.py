"""Why a run is stopped, how its body ends, and with which error.

Apart from the model of jobs, so that the process of a run need not import that: its start-up is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from taskloom.core.enums import FastEnum, plain_members

__all__ = ["ErrorInfo", "How", "Reason", "ReasonKind"]


@plain_members
class ReasonKind(FastEnum):
    """Why something was stopped, skipped or blocked."""

    USER = "user"
    """A program requested it through the library, for example with `run.cancel()`."""
    SIGNAL = "signal"
    """The process received SIGINT or SIGTERM."""
    DEADLINE = "deadline"
    """The run was longer than its `timeout`."""
    FINISHED = "finished"
    """Nothing keeps the program alive any more, or the job's schedule has no further firings."""
    ESSENTIAL = "essential"
    """An essential job failed for good."""
    REPLACED = "replaced"
    """A newer firing of the same job replaced the run."""
    RELOAD = "reload"
    """Its declaration changed."""
    WATCHDOG = "watchdog"
    """The run did not poll for too long, or was not ready in time."""
    DEPENDENCY = "dependency"
    """A dependency can no longer be satisfied."""
    SHUTDOWN = "shutdown"
    """The scheduler was stopped."""


class Reason(NamedTuple):
    """Why something happened: a kind for programs and free text for people."""

    kind: ReasonKind
    text: str = ""
    signal: int | None = None
    """The number of the signal, for `ReasonKind.SIGNAL`: the exit code depends on it."""

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.text}" if self.text else self.kind.value


@plain_members
class How(FastEnum):
    """How a run's body ended; the outcome also depends on why it was stopped."""

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
    KILLED = "killed"
    """The stop ladder's TERM or KILL ended its processes."""
    LOST = "lost"
    """The runner has lost the run: its supervisor or its machine is gone."""


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An exception as text only, so that it keeps no frame and no object alive."""

    type: str
    message: str
    traceback: str
    is_explained: bool = False
    """Whether the message is enough for users and no traceback is shown."""

    def __str__(self) -> str:
        if not self.message:
            return self.type
        return self.message if self.is_explained else f"{self.type}: {self.message}"
