"""Our end of a socket between one run and the IO thread: what it shares for the supervisor and for the worker."""

from __future__ import annotations

import select
import socket
from abc import ABC, abstractmethod

from taskloom.runners.process.io_thread import IoThread, Member
from taskloom.runners.process.outgoing import Outgoing

__all__ = ["MOST_LEFT", "READ_BYTES", "RunSocket"]

READ_BYTES = 64 * 1024
"""Read at once: the next descriptor is not delayed by one that is always full."""
MOST_LEFT = 1024 * 1024
"""Bytes. As much as a pipe or a socket holds at most, by the limits of the kernel for users, is read after the end."""


class RunSocket(ABC):
    """A socket that does not block. Belongs to the IO thread, which works for `member`; others own the socket."""

    def __init__(self, io: IoThread, member: Member, sock: socket.socket) -> None:
        self.outgoing = Outgoing(sock)
        self._io = io
        self._member = member
        self._socket = sock

    @property
    def is_ours(self) -> bool:
        """Whether the descriptor is still that of our socket: a task may have closed all descriptors."""
        return self.outgoing.is_ours

    def put(self, data: bytes) -> None:
        """Write the data, now or as soon as it fits."""
        self.outgoing.put(data)
        self.watch()

    def watch(self) -> None:
        """Be called by the IO thread when there is something to read, or room for what is left to write."""
        reading = select.EPOLLIN if self._is_read() else 0
        writing = 0 if self.outgoing.is_empty else select.EPOLLOUT
        if self.is_ours:
            self._io.watch(self._socket.fileno(), reading | writing, self._member, self._ready)

    def unwatch(self) -> None:
        """Be called no more. Idempotent; before the socket is closed."""
        if self.is_ours:
            self._io.unwatch(self._socket.fileno())

    def forget_foreign(self) -> None:
        """Forget the descriptor if a task has closed it: its number may be that of a file of the task by now."""
        if not self.is_ours:
            self._socket.detach()

    def _is_read(self) -> bool:
        """Return whether what arrives is to be read now."""
        return True

    @abstractmethod
    def _ready(self, events: int, now: float) -> None:
        """Called when the socket is ready for these events of epoll."""

    def _flush(self) -> None:
        self.outgoing.flush()
        self.watch()

    def _receive(self) -> bytes | None:
        """Return what has come through the socket; b"" at its end, None if nothing has come."""
        try:
            return self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""  # the other end was closed with something unread
