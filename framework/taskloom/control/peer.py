"""The process at the other end of a unix socket, as the kernel names it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Protocol

from taskloom.control.exchange import Caller

__all__ = ["Peers", "is_trusted_peer", "peer_of"]

# struct ucred of unix(7): pid, uid, gid.
_UCRED = struct.Struct("3i")

Peers = Callable[["_Socket"], Caller]
"""Returns the peer of a connected socket. Raises OSError."""


class _Socket(Protocol):
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        """Return the value of an option."""


def peer_of(sock: _Socket) -> Caller:
    """Return the process that has connected, or that listens. It may have passed the socket on. Raises OSError."""
    pid, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Caller(uid, pid)


def is_trusted_peer(uid: int, own: int) -> bool:
    """Return whether a user with this uid may steer a program of `own`, or answer in its name."""
    return uid in (own, 0)
