"""What the core wants done. The shell carries the actions out in their order; an Event among them is told on."""

from __future__ import annotations

from typing import NamedTuple

from taskloom.core.events import Event
from taskloom.core.model import JobSpec, Reason

__all__ = [
    "Action",
    "ApplySpec",
    "CancelRun",
    "CaptureStack",
    "ForgetJob",
    "MarkUrgent",
    "ReleaseRun",
    "ReportStopProgress",
    "ShutdownFinished",
    "StartRun",
    "WorkFinished",
]


class StartRun(NamedTuple):
    """Have the runner begin the run; RunStarted or RunStartFailed will come."""

    run: str
    spec: JobSpec
    attempt: int
    replica: int


class CancelRun(NamedTuple):
    """Set the run's token and wake it. Neighbouring AskRuns are one stop: all flags first, then the waking."""

    run: str
    reason: Reason


class MarkUrgent(NamedTuple):
    """Tell the run that little time is left."""

    run: str


class CaptureStack(NamedTuple):
    """Find out where the overdue run stands; answer StackCaptured."""

    run: str


class ReportStopProgress(NamedTuple):
    """Say who is still awaited: up to five runs, how many more there are, seconds left (inf: no deadline)."""

    runs: tuple[str, ...]
    more: int


class ReleaseRun(NamedTuple):
    """Release who joins the run: its thread has left the body for good."""

    run: str


class ApplySpec(NamedTuple):
    """Have the live run keep its job's new declaration, as far as it can while it runs."""

    run: str
    spec: JobSpec


class ForgetJob(NamedTuple):
    """Drop what is kept of a job that was removed."""

    job: str


class WorkFinished(NamedTuple):
    """Release who waits for the end of the work: nothing keeps the program alive any more."""


class ShutdownFinished(NamedTuple):
    """Release who waits for the end of the shutdown."""


Action = (
    Event
    | StartRun
    | CancelRun
    | MarkUrgent
    | CaptureStack
    | ReportStopProgress
    | ReleaseRun
    | ApplySpec
    | ForgetJob
    | WorkFinished
    | ShutdownFinished
)
