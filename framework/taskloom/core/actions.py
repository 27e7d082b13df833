"""The actions of the core. The engine performs them in order; an Event among them goes to the listeners."""

from __future__ import annotations

from typing import NamedTuple

from taskloom.core.events import Event
from taskloom.core.model import JobSpec, Reason
from taskloom.core.waits import Wait

__all__ = [
    "Action",
    "ApplySpec",
    "CancelRun",
    "CaptureStack",
    "ForgetJob",
    "KillRun",
    "MarkUrgent",
    "RecordInstant",
    "ReleaseRun",
    "ReportStopProgress",
    "ShutdownFinished",
    "StartRun",
    "TerminateRun",
    "WorkFinished",
]


class StartRun(NamedTuple):
    """Have the runner begin the run, and answer with RunStarted or RunStartFailed."""

    run: str
    spec: JobSpec
    attempt: int
    replica: int


class CancelRun(NamedTuple):
    """Set the run's cancel token and wake it. For adjacent CancelRuns all tokens are set before any run is woken."""

    run: str
    reason: Reason


class MarkUrgent(NamedTuple):
    """Tell the run that little time is left to stop."""

    run: str


class TerminateRun(NamedTuple):
    """Send TERM to the processes of the run, shortly before its `within` is over. Only with `otherwise: kill`."""

    run: str


class KillRun(NamedTuple):
    """Kill the processes of the overdue run, all of them; the runner then reports its end as `How.KILLED`."""

    run: str


class CaptureStack(NamedTuple):
    """Find out where the overdue run is, and answer with StackCaptured."""

    run: str


class ReportStopProgress(NamedTuple):
    """Report which runs a stop still waits for: up to five by name, and how many more there are."""

    runs: tuple[str, ...]
    more: int


class ReleaseRun(NamedTuple):
    """Release the threads that join the run: its thread has left the body for good."""

    run: str


class ApplySpec(NamedTuple):
    """Apply the job's new declaration to the live run, as far as that is possible while it runs."""

    run: str
    spec: JobSpec


class RecordInstant(NamedTuple):
    """Have the history record that a run starts for this instant, and answer with InstantRecorded.

    The run starts when the answer comes, or after a second without one.
    """

    job: str
    instant: float
    """Seconds since the epoch."""


class ForgetJob(NamedTuple):
    """Drop what is kept about a job that was removed."""

    job: str


class WorkFinished(NamedTuple):
    """Release the threads that wait for the end of the work: nothing keeps the program alive any more."""


class ShutdownFinished(NamedTuple):
    """Release the threads that wait for the end of the shutdown."""


RunAction = StartRun | CancelRun | MarkUrgent | TerminateRun | CaptureStack | KillRun | ReleaseRun | ApplySpec
Action = Event | Wait | RunAction | RecordInstant | ReportStopProgress | ForgetJob | WorkFinished | ShutdownFinished
