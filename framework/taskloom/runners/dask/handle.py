"""The handle of one run on a cluster, which the scheduler keeps after the end of the run as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskloom.core.run_reports import Whereabouts
from taskloom.runners import ProcessInfo
from taskloom.runners.dask.protocol.messages import CommandKind
from taskloom.runners.gauges import Gauges
from taskloom.sync.latch import Latch

if TYPE_CHECKING:
    from taskloom.runners.process.stack_requests import StackSlot

__all__ = ["DaskHandle", "Steering"]


class Steering(Protocol):
    """The cluster, as a handle needs it: any thread may call it, and it never blocks."""

    def command(self, run: str, kind: str, number: float = 0.0) -> None:
        """Pass a command on to where the run executes."""

    def ask_stack(self, run: str, slot: StackSlot) -> None:
        """Have the run asked where it is."""


class DaskHandle:
    """One run. Any thread may call any method; none blocks, but for `join`."""

    __slots__ = ("_ended", "_steering", "gauges", "process", "run", "whereabouts")

    def __init__(self, run: str, steering: Steering) -> None:
        self.run = run
        self.gauges = Gauges()
        self.whereabouts: Whereabouts | None = None
        """The place of the run; None while it waits for a slot of the cluster."""
        self.process: ProcessInfo | None = None
        """The processes there, as they were reported last; some seconds old."""
        # Empty after the end: the cluster has much that the handle does not need.
        self._steering = [steering]
        self._ended = Latch()

    def has_ended(self) -> None:
        """Release those that wait for the end, and forget the cluster. Idempotent."""
        self._ended.open()
        self._steering = []
        self.process = None

    def is_alive(self) -> bool:
        """Return whether any process of the run may be left. A lost run is not alive, since that is unknown."""
        return not self._ended.is_open

    def is_gone(self) -> bool:
        """Return the same: no process is kept for another run."""
        return self._ended.is_open

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end of the run; return False after `timeout` seconds."""
        return self._ended.wait(timeout)

    def terminate(self) -> None:
        """Send TERM to the process group of the run."""
        self.command(CommandKind.TERMINATE)

    def kill(self) -> None:
        """Kill every process of the run."""
        self.command(CommandKind.KILL)

    def signal(self, number: int) -> None:
        """Send a signal to the main process."""
        self.command(CommandKind.SIGNAL, number)

    def set_urgent(self) -> None:
        """Let the run know that little time is left."""
        self.command(CommandKind.URGENT)

    def set_poll_interval(self, seconds: float) -> None:
        """Let the run know its new poll interval."""
        self.command(CommandKind.POLL_INTERVAL, seconds)

    def command(self, kind: str, number: float = 0.0) -> None:
        """Pass a command on, unless the run has ended."""
        for steering in self._steering:
            steering.command(self.run, kind, number)

    def ask_stack(self, slot: StackSlot) -> bool:
        """Have the run asked where it is; return False if it has ended."""
        for steering in self._steering:
            steering.ask_stack(self.run, slot)
            return True
        return False

    def __repr__(self) -> str:
        return f"<DaskHandle of run {self.run} at {self.whereabouts}>"
