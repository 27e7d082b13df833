"""The same for sockets, without giving up the GIL: the kernel has a number for each socket that is never used again."""

from __future__ import annotations

import _socket

__all__ = ["OwnSocket"]

# From <asm-generic/socket.h>; the module `socket` has no name for it.
_SO_COOKIE = 57


class OwnSocket:
    """A socket that is closed only if its descriptor still means this socket."""

    __slots__ = ("_cookie", "socket")

    def __init__(self, sock: _socket.socket) -> None:
        self.socket = sock
        self._cookie = self._read_cookie()

    def is_ours(self) -> bool:
        """Return whether the descriptor still means this socket; True if the kernel is too old to tell."""
        return self._cookie == self._read_cookie()

    def close(self) -> None:
        """Close it, or forget its descriptor if that belongs to another file by now. Idempotent; raises nothing."""
        if not self.is_ours():
            self.socket.detach()
        try:
            self.socket.close()
        except OSError:
            self.socket.detach()

    def _read_cookie(self) -> bytes:
        try:
            return self.socket.getsockopt(_socket.SOL_SOCKET, _SO_COOKIE, 8)
        except OSError:
            return b""
