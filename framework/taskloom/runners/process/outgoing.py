"""The bytes that are still to be written to a socket that does not block."""

from __future__ import annotations

import socket

from taskloom.sync.own_socket import OwnSocket

__all__ = ["Outgoing"]

# A child that never reads gets no more than this: the messages of one run take some hundred bytes each.
_MOST_UNSENT = 4 * 1024 * 1024


class Outgoing:
    """The bytes for one socket. Belongs to the IO thread."""

    __slots__ = ("_own", "_pending", "_socket")

    def __init__(self, to: socket.socket) -> None:
        self._socket = to
        self._own = OwnSocket(to)
        self._pending = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether everything was written, or the other end is closed."""
        return not self._pending

    @property
    def is_ours(self) -> bool:
        """Whether the descriptor is still that of our socket: a task may have closed all descriptors."""
        return self._own.is_ours()

    def put(self, data: bytes) -> bool:
        """Write the data now, or keep what does not fit; return False if it was dropped, as a whole."""
        if len(self._pending) + len(data) > _MOST_UNSENT:
            return False
        self._pending += data
        self.flush()
        return True

    def flush(self) -> None:
        """Write as much as fits. Drops everything if the other end is closed: its reader notices that as well."""
        if not self.is_ours:
            self._pending.clear()
            return
        try:
            while self._pending:
                del self._pending[: self._socket.send(self._pending)]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._pending.clear()
