"""The handle of one run in a process, which the scheduler keeps after the end of the run as well."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from taskloom.clock import mono
from taskloom.runners import ProcessInfo
from taskloom.runners.gauges import Gauges
from taskloom.sync.latch import Latch

if TYPE_CHECKING:
    from taskloom.runners.process.connection import Connection
    from taskloom.runners.process.io_thread import IoThread

__all__ = ["ProcessHandle"]


class ProcessHandle:
    """One run. Any thread may call any method; none blocks, but for `join` and `process`."""

    __slots__ = ("_connection", "_ended", "_io", "gauges", "main", "supervisor")

    def __init__(self, io: IoThread) -> None:
        self.gauges = Gauges()
        self.supervisor = 0
        """The pid of the supervisor; 0 before it is there."""
        self.main = 0
        """The pid of the main process; 0 before it is there."""
        self._io = io
        # Empty after the end: the connection has much that the handle does not need.
        self._connection: list[Connection] = []
        self._ended = Latch()

    def connect(self, connection: Connection) -> None:
        """Set what executes the run. Called once."""
        self._connection = [connection]

    def has_ended(self) -> None:
        """Release those that wait for the end, and forget what executed the run. Idempotent."""
        self._ended.open()
        self._connection = []

    def is_alive(self) -> bool:
        """Return whether any process of the run may be left."""
        return not self._ended.is_open

    def is_gone(self) -> bool:
        """Return the same: no process is kept for another run."""
        return self._ended.is_open

    def join(self, timeout: float | None = None) -> bool:
        """Wait until no process of the run is left; return False after `timeout` seconds."""
        return self._ended.wait(timeout)

    def terminate(self) -> None:
        """Send TERM to the process group of the run."""
        for connection in self._connection:
            self._io.post(connection, connection.commands.terminate, mono())

    def kill(self) -> None:
        """Kill every process of the run."""
        for connection in self._connection:
            self._io.post(connection, connection.commands.kill, mono())

    def signal(self, number: int) -> None:
        """Send a signal to the main process."""
        for connection in self._connection:
            self._io.post(connection, connection.commands.signal, number)

    def reload(self) -> None:
        """Let the run know that the job files were read again, and that it goes on: a program may want a signal."""
        for connection in self._connection:
            self._io.post(connection, connection.commands.reload)

    def set_urgent(self) -> None:
        """Let the run know that little time is left."""
        for connection in self._connection:
            self._io.post(connection, connection.commands.set_urgent, mono())

    def set_poll_interval(self, seconds: float) -> None:
        """Let the run know its new poll interval."""
        for connection in self._connection:
            self._io.post(connection, connection.commands.set_poll_interval, seconds)

    def renew(self, until: float) -> None:
        """Let the lease of the run end at this second of `taskloom.clock.boottime`, but not earlier than before.

        Has no effect on a run that was started without a lease.
        """
        for connection in self._connection:
            self._io.post(connection, connection.commands.renew, until)

    @property
    def connection(self) -> Connection | None:
        """The connection that executes the run; None after its end."""
        found = self._connection
        return found[0] if found else None

    @property
    def process(self) -> ProcessInfo | None:
        """Read what the kernel says of the processes; None if there are none. Reads files: about a millisecond."""
        main, supervisor = self.main, self.supervisor
        if not main or self._ended.is_open:
            return None
        from taskloom.runners.process_tree import info_of

        return info_of(main, supervisor)

    def __repr__(self) -> str:
        return f"<ProcessHandle of pid {self.main or None} in {os.getpid()}>"
