"""A worker process that a test drives through its control socket, without a supervisor and without a runner."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, TypeVar

from taskloom import __version__
from taskloom.core.model import Reason, ReasonKind
from taskloom.runners.process.worker_command import worker_command
from taskloom.runners.wire import Cancel, Down, Hello, LineReader, Spec, Up, decode_up, encode

__all__ = ["REASON", "DrivenWorker", "spec_for"]

Kind = TypeVar("Kind")

REASON = Reason(ReasonKind.USER, "the test")
# Bounds a failure alone.
_TIMEOUT_SECONDS = 30.0


def spec_for(target: Any, **fields: Any) -> Spec:
    """Return the spec of a run of a task of an importable module; `fields` replace those of the spec."""
    spec = Spec(
        __version__, list(sys.path), "job", "job#1", "task", 1, 0, False, 1.0, target.__module__, target.__qualname__,
        {}, None, f"{target.__module__}:{target.__qualname__}", {"": 10},
    )  # fmt: skip
    return Spec(**{**spec.data(), **fields})


class DrivenWorker:
    """The process; a context manager that kills it and what is left of its group. `received`: all messages so far."""

    def __init__(self, env: Mapping[str, str], first: Spec | bytes | None, *, cwd: str | None = None) -> None:
        self.control, theirs = socket.socketpair()
        self.control.settimeout(_TIMEOUT_SECONDS)
        with theirs:
            os.set_inheritable(theirs.fileno(), True)
            self.process = subprocess.Popen(
                worker_command(theirs.fileno(), "job"),
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        self.received: list[Up] = []
        self._lines = LineReader()
        self._unread: list[bytes] = []
        if first is not None:
            self.control.sendall(encode(first) if isinstance(first, Spec) else first)

    def __enter__(self) -> DrivenWorker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # all have ended
        self.process.communicate()
        self.control.close()

    def send(self, message: Down) -> None:
        """Send a message to the worker."""
        self.control.sendall(encode(message))

    def cancel(self) -> None:
        """Request the run to stop."""
        self.send(Cancel(REASON))

    def receive(self) -> Up | None:
        """Return the next message; None at the end of the stream."""
        while not self._unread:
            try:
                data = self.control.recv(65536)
            except ConnectionResetError:
                data = b""  # it has ended without reading all that was sent
            if not data:
                self._lines.end()
                return None
            self._unread += self._lines.feed(data)
        message = decode_up(self._unread.pop(0))
        self.received.append(message)
        return message

    def until(self, kind: type[Kind]) -> Kind:
        """Return the next message of a kind; the others before it are only recorded."""
        while True:
            message = self.receive()
            assert message is not None, f"the worker has ended; {self.received}; {self.output()}"
            if isinstance(message, kind):
                return message

    def all(self, kind: type[Kind]) -> list[Kind]:
        """Receive all messages until the worker ends; return those of a kind, of the whole run."""
        while self.receive() is not None:
            pass
        return [message for message in self.received if isinstance(message, kind)]

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    def terminate(self) -> None:
        """Send SIGTERM until the worker sends something, or ends.

        One that comes just before the thread enters a blocking call is handled after the call: so it is sent again.
        """
        is_silent = True
        while is_silent:
            self.signal(signal.SIGTERM)
            is_silent = not select.select([self.control], [], [], 0.2)[0]

    def output(self) -> tuple[str, str, int]:
        """Wait for the end; return standard output, standard error and the return code."""
        out, err = self.process.communicate(timeout=_TIMEOUT_SECONDS)
        return out.decode(), err.decode(), self.process.returncode

    def hello(self) -> Hello:
        """Return the first message."""
        hello = self.receive()
        assert isinstance(hello, Hello), hello
        return hello
