"""Our end of the channel to the supervisor of one run: orders to it, and its messages."""

from __future__ import annotations

import select
import socket
from typing import Protocol

from taskloom.runners.process.channel import SupervisorMessage, parse_message
from taskloom.runners.process.io_thread import IoThread, Member
from taskloom.runners.process.run_socket import RunSocket

__all__ = ["SupervisorReader", "SupervisorSocket"]


class SupervisorReader(Member, Protocol):
    """Takes what a supervisor says."""

    def supervisor_said(self, message: SupervisorMessage, now: float) -> None:
        """Take one message."""

    def supervisor_was_read(self, now: float, *, is_end: bool) -> None:
        """Called when all messages that have come were given to `supervisor_said`. `is_end`: no other will come."""


class SupervisorSocket(RunSocket):
    """The channel of one run."""

    def __init__(self, io: IoThread, reader: SupervisorReader, sock: socket.socket) -> None:
        super().__init__(io, reader, sock)
        self._reader = reader
        self._unfinished = b""

    def send_order(self, line: str) -> None:
        """Send an order, without its newline."""
        self.put(line.encode("ascii") + b"\n")

    def _ready(self, events: int, now: float) -> None:
        if events & select.EPOLLOUT:
            self._flush()
        data = self._receive()
        if data is not None:
            *lines, self._unfinished = (self._unfinished + data).split(b"\n")
            for line in lines:
                self._reader.supervisor_said(parse_message(line.decode("utf-8", "backslashreplace")), now)
            self._reader.supervisor_was_read(now, is_end=not data)
