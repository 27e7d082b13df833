"""Our ends of all that one run is connected by: the channel to its supervisor, a control socket, and two pipes."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Protocol

from taskloom.runners.process.control_socket import ControlReader, ControlSocket
from taskloom.runners.process.output_pipes import OutputPipes, OutputReader
from taskloom.runners.process.supervisor_socket import SupervisorReader, SupervisorSocket

if TYPE_CHECKING:
    from taskloom.runners.process.io_thread import IoThread
    from taskloom.runners.process.launch import Launched
    from taskloom.runners.process.log_thread import RunLog
    from taskloom.runners.wire import Down

__all__ = ["RunDescriptors", "RunReader"]


class RunReader(SupervisorReader, ControlReader, OutputReader, Protocol):
    """Takes all that comes from a run."""


class RunDescriptors:
    """The descriptors of one run: from `open` until `close` the IO thread watches them. Belongs to that thread."""

    def __init__(self, io: IoThread, reader: RunReader, log: RunLog) -> None:
        self.launched: Launched | None = None
        """The owner of the descriptors. Set by the thread that has started the processes; None after `close`."""
        self._io = io
        self._reader = reader
        self._log = log
        self._supervisor: SupervisorSocket | None = None
        self._control: ControlSocket | None = None
        self._output: OutputPipes | None = None

    def open(self, launched: Launched) -> None:
        """Read what comes."""
        self._output = OutputPipes(self._io, self._reader, launched, self._log)
        self._supervisor = SupervisorSocket(self._io, self._reader, launched.channel)
        self._supervisor.watch()
        if launched.control is not None:
            self._control = ControlSocket(self._io, self._reader, launched.control)
            self._control.watch()
        self._output.watch()

    def send_order(self, line: str) -> None:
        """Send an order to the supervisor."""
        if self._supervisor is not None:
            self._supervisor.send_order(line)

    def can_order(self) -> bool:
        """Return whether orders reach the supervisor: a task may have closed all descriptors of the program."""
        return self._supervisor is not None and self._supervisor.is_ours

    def listen(self) -> None:
        """Watch the channel, whatever a strike has left undone."""
        if self._supervisor is not None:
            self._supervisor.watch()

    def send(self, message: Down) -> None:
        """Send a message to the worker, if there is one."""
        if self._control is not None:
            self._control.send(message)

    @property
    def unthrottle_at(self) -> float:
        """When `unthrottle` is due, in monotonic seconds; inf for never."""
        return inf if self._control is None else self._control.unthrottle_at

    def unthrottle(self) -> None:
        """Read a control socket again that was read too fast."""
        if self._control is not None:
            self._control.unthrottle()

    def resume_output(self) -> None:
        """Read the output again after a pause: the log has space."""
        if self._output is not None:
            self._output.resume()

    def stop(self) -> None:
        """Wait for nothing more: no process of the run is left, or its supervisor is gone."""
        if self._supervisor is not None:
            self._supervisor.unwatch()
        if self._output is not None:
            self._output.stop()

    def read_rest(self, now: float) -> None:
        """Read what is left in the pipes and in the control socket."""
        if self._control is not None:
            self._control.read_rest(now)
        if self._output is not None:
            self._output.read_rest(now)

    def close(self) -> None:
        """Close all, but for those that a task has closed. Idempotent, also if a strike has interrupted it."""
        launched = self.launched
        for sock in (self._supervisor, self._control):
            if sock is not None:
                sock.forget_foreign()
        if self._output is not None:
            self._output.forget()
        self._supervisor = self._control = self._output = None
        if launched is not None:
            numbers = [launched.channel.fileno(), launched.stdout, launched.stderr]
            if launched.control is not None:
                numbers.append(launched.control.fileno())
            for number in numbers:
                self._io.unwatch(number)
            launched.close()
            self.launched = None  # last: what a strike has left open is closed by the next call

    def leave_behind(self) -> None:
        """Close all without a word to the supervisor. Called in a forked child, on its only thread."""
        launched = self.launched
        if launched is not None:
            launched.close()
