"""The connection to a Dask scheduler, as a session needs it. `dask_client` has the real one; tests have others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from taskloom.runners.dask.options import Cluster

__all__ = ["CallFailed", "Connect", "Connection", "Listener", "SeenWorker"]


class SeenWorker(NamedTuple):
    """A worker as the Dask scheduler knows it."""

    address: str
    name: str
    host: str
    """An IP address or a name."""
    resources: Mapping[str, float] = MappingProxyType({})
    """The amounts with which it was started."""


class CallFailed(Exception):
    """A function could not be called on a worker, or has raised there; the message says why."""

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final
        """Whether the worker has answered, with an error: another call would fail, too."""


class Listener(Protocol):
    """Called on the cluster's thread with what happens on a connection. Must not raise or block."""

    def worker_joined(self, address: str) -> None:
        """Called when the Dask scheduler has a new worker."""

    def worker_left(self, address: str, why: str) -> None:
        """Called when the Dask scheduler has removed a worker."""

    def published(self, address: str, text: str) -> None:
        """Called when the worker at the address has published an event of the session's topic."""

    def task_ended(self, key: str, verdict: str, why: str) -> None:
        """Called when a task has ended, with what the function returned, or `error`, `lost` or `cancelled`."""

    def connection_lost(self, why: str) -> None:
        """Called when the Dask scheduler is gone. Nothing else comes from this connection."""


class Connection(Protocol):
    """One connection to a Dask scheduler. All methods are for the cluster's thread, in whose loop it was made."""

    async def open(self, within: float) -> None:
        """Connect, in at most `within` seconds. Raises CannotAttach, in words."""

    async def workers(self) -> list[SeenWorker]:
        """Return the workers of the Dask scheduler. Raises CallFailed."""

    async def hello_scheduler(self, text: str, within: float) -> str:
        """Return the hello of the Dask scheduler. Raises CallFailed."""

    async def hello(self, address: str, text: str, within: float) -> str:
        """Return the hello of a worker. Raises CallFailed."""

    async def request(self, address: str, text: str, within: float) -> str:
        """Call the agent of a worker and return its reply. Raises CallFailed."""

    def subscribe(self, topic: str) -> None:
        """Have the events of the topic passed to the listener."""

    def submit(self, key: str, text: str, workers: Sequence[str], resources: Sequence[tuple[str, float]]) -> None:
        """Submit `on_worker.execute`; `task_ended` follows, unless the task is dropped before."""

    def withdraw(self, key: str) -> None:
        """Cancel a task."""

    def drop(self, key: str) -> None:
        """Forget a task: the Dask scheduler may forget it as well."""

    async def close(self, within: float) -> None:
        """Close everything in at most `within` seconds. Raises nothing; idempotent."""

    def leave_behind(self) -> None:
        """Called in a forked child: close what the loop of the thread does not know."""


Connect = Callable[["Cluster", Listener], Connection]
"""Makes a connection that is not open yet. Raises CannotAttach."""
