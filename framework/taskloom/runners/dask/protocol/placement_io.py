"""The inputs and actions of `Placement`, the machine of one session in the program.

placement = Placement(session, lease)
actions = placement.handle(input, now)      # `now`: monotonic seconds of the program's host
placement.next_deadline()                   # inf for none
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from taskloom.core.endings import ErrorInfo, Reason
from taskloom.runners.dask.protocol.messages import Reply, Request

__all__ = [
    "Action", "CancelRequested", "ClusterBack", "ClusterLost", "CommandRequested", "DropTask", "Ended", "FutureEnded",
    "Input", "LinesDropped", "Lost", "PlaceRun", "Placed", "Reachable", "Released", "Replied", "Reported",
    "RequestFailed", "SendRequest", "SessionClosed", "StartFailed", "SubmitTask", "Tick", "Unreachable",
    "WithdrawTask", "Worker", "WorkerJoined", "WorkerLeft",
]  # fmt: skip


class Worker(NamedTuple):
    """A worker that has answered the hello and may be used."""

    address: str
    name: str
    host: str
    pid: int
    slots: int
    tasks: frozenset[str]
    """The names of the tasks that are installed there, as `task` of a job names them."""


# -- inputs


class WorkerJoined(NamedTuple):
    """A worker may be used from now on. Idempotent."""

    worker: Worker


class WorkerLeft(NamedTuple):
    """The Dask scheduler has removed the worker, and says why."""

    address: str
    why: str


class ClusterLost(NamedTuple):
    """The connection to the Dask scheduler is gone."""

    why: str


class ClusterBack(NamedTuple):
    """There is a connection to the Dask scheduler again."""


class PlaceRun(NamedTuple):
    """A run is to be executed. `spec`: JSON data, all that an execution needs; `attempt` is part of the Dask key."""

    run: str
    job: str
    task: str
    attempt: int
    spec: Mapping[str, Any]


class CancelRequested(NamedTuple):
    """The run is asked to stop; its first reason."""

    run: str
    reason: Reason


class CommandRequested(NamedTuple):
    """A command for the run, of a kind of `CommandKind` but GRANT, DENY and CANCEL."""

    run: str
    kind: str
    number: float = 0.0


class Replied(NamedTuple):
    """An agent has answered the request `seq`, or has published (`seq` 0)."""

    address: str
    seq: int
    reply: Reply


class RequestFailed(NamedTuple):
    """A request was not answered: it may have arrived or not."""

    address: str
    seq: int
    why: str


class FutureEnded(NamedTuple):
    """The Dask task of the run has ended. `verdict`: what our function returned, or `error`, `lost` or `cancelled`."""

    run: str
    verdict: str
    why: str = ""
    key: str = ""
    """The key of the task; "" means the latest task of the run."""


class SessionClosed(NamedTuple):
    """The program ends: nothing more is placed, and what has not ended is withdrawn."""


class Tick(NamedTuple):
    """The moment of `next_deadline` has come."""


Input = (
    WorkerJoined | WorkerLeft | ClusterLost | ClusterBack | PlaceRun | CancelRequested | CommandRequested | Replied
    | RequestFailed | FutureEnded | SessionClosed | Tick
)  # fmt: skip

# -- actions on Dask


class SubmitTask(NamedTuple):
    """Submit our function once, with this key, to any of these workers."""

    run: str
    key: str
    spec: Mapping[str, Any]
    workers: tuple[str, ...]


class WithdrawTask(NamedTuple):
    """Cancel the Dask task: it has not been granted, and never will be."""

    key: str


class DropTask(NamedTuple):
    """Release the future of a run that has ended, so that Dask does not execute it again when a worker dies."""

    key: str


class SendRequest(NamedTuple):
    """Call the agent at the address; answered by Replied or RequestFailed within `within` seconds."""

    address: str
    request: Request
    within: float


# -- actions for the scheduler: reports about a run


class Placed(NamedTuple):
    """The run was granted to an execution on this worker; `pid` is that of the run's main process, 0 if not known
    yet. Comes again when it is."""

    run: str
    worker: Worker
    pid: int = 0


class Reported(NamedTuple):
    """The run's processes have sent a message (JSON data of `taskloom.runners.dask.reports`). Each once, in order."""

    run: str
    data: Mapping[str, Any]


class LinesDropped(NamedTuple):
    """This number of log lines of runs on this worker was dropped there: the program did not take them in time."""

    worker: Worker
    lines: int


class Unreachable(NamedTuple):
    """Nothing was heard of the run's worker for a ttl; `since`: when the last was heard."""

    run: str
    since: float


class Reachable(NamedTuple):
    """The run's worker has answered again."""

    run: str


class StartFailed(NamedTuple):
    """The run was never granted, and never will be."""

    run: str
    error: ErrorInfo


class Ended(NamedTuple):
    """The run has ended, no process of it is left, and how is known: the last Reported said so, or it was never
    entered (`entered` is false)."""

    run: str
    entered: bool = True


class Lost(NamedTuple):
    """It cannot be confirmed that the run has ended. Whatever is left of it has stopped by `stopped_by`, in monotonic
    seconds of the program's host."""

    run: str
    why: str
    stopped_by: float


class Released(NamedTuple):
    """It is certain now that nothing is left of a lost run, before its `stopped_by`."""

    run: str


Action = (
    SubmitTask | WithdrawTask | DropTask | SendRequest | Placed | Reported | LinesDropped | Unreachable | Reachable
    | StartFailed | Ended | Lost | Released
)  # fmt: skip
