"""Our end of the control socket of one worker: messages to it and from it, one a line."""

from __future__ import annotations

import select
import socket
from math import inf
from typing import TYPE_CHECKING, Protocol

from taskloom.runners.process.io_thread import IoThread, Member
from taskloom.runners.process.run_socket import MOST_LEFT, RunSocket
from taskloom.runners.wire import LineReader, ProtocolError, decode_up, encode

if TYPE_CHECKING:
    from taskloom.runners.wire import Down, Up

__all__ = ["ControlReader", "ControlSocket"]

# So much may one run send through its control socket in such a time; the rest waits, and so does its sender.
_BURST_SECONDS = 0.1
_BURST_BYTES = 512 * 1024


class ControlReader(Member, Protocol):
    """Takes what a worker says."""

    def worker_said(self, message: Up, now: float) -> None:
        """Take one message. May raise ProtocolError."""

    def worker_closed(self, half_line: str, now: float) -> None:
        """Called once, when nothing more will come; `half_line` says so if that is within a line, else ""."""

    def worker_broke_protocol(self, error: ProtocolError) -> None:
        """Called after `worker_closed` if the worker has sent something that is not a message."""


class ControlSocket(RunSocket):
    """The control socket of one run."""

    def __init__(self, io: IoThread, reader: ControlReader, sock: socket.socket) -> None:
        super().__init__(io, reader, sock)
        self.unthrottle_at = inf
        """When a socket that was read too fast is read again, in monotonic seconds; inf if it is read."""
        self._reader = reader
        self._lines = LineReader()
        self._is_closed = False
        self._burst_bytes = 0
        self._burst_until = 0.0

    def send(self, message: Down) -> None:
        """Send a message. Dropped if the worker does not read, or has closed its end."""
        if not self._is_closed:
            self.put(encode(message))

    def unthrottle(self) -> None:
        """Read again."""
        self.unthrottle_at = inf
        if not self._is_closed:
            self.watch()

    def read_rest(self, now: float) -> None:
        """Read what is left, after the end of the run."""
        left = MOST_LEFT if self.is_ours else 0
        while not self._is_closed and left > 0 and (data := self._receive()) is not None:
            left -= len(data)
            self._take(data, now)

    def _is_read(self) -> bool:
        return self.unthrottle_at == inf

    def _ready(self, events: int, now: float) -> None:
        if events & select.EPOLLOUT:
            self._flush()
        data = self._receive()
        if data is not None:
            self._take(data, now)
            self._throttle(len(data), now)

    def _throttle(self, size: int, now: float) -> None:
        """Let a worker wait that sends much more than any task has to say."""
        if now >= self._burst_until:
            self._burst_until, self._burst_bytes = now + _BURST_SECONDS, 0
        self._burst_bytes += size
        if self._burst_bytes > _BURST_BYTES and not self._is_closed:
            self.unthrottle_at = self._burst_until
            self.watch()

    def _take(self, data: bytes, now: float) -> None:
        try:
            if not data:
                self._close(self._half_line(), now)
                return
            for line in self._lines.feed(data):
                self._reader.worker_said(decode_up(line), now)
        except ProtocolError as error:
            self._close("", now)
            self._reader.worker_broke_protocol(error)

    def _half_line(self) -> str:
        try:
            self._lines.end()
        except ProtocolError as error:
            return str(error)
        return ""

    def _close(self, half_line: str, now: float) -> None:
        """Read and send nothing more. The socket stays open until the end: its number must not change its meaning."""
        if not self._is_closed:
            self.unwatch()
            self._is_closed = True
            self._reader.worker_closed(half_line, now)
