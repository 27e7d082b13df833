"""Connects to a unix socket within a deadline, and names the process that listens there."""

from __future__ import annotations

import os
import socket
import struct
from typing import NamedTuple

from taskloom.clock import mono
from taskloom.control.peer import peer_of

__all__ = ["Peer", "connect", "seconds_left"]

# The kernel's field has 108 bytes, including the NUL at the end.
_MOST_PATH_BYTES = 107
_TIMEVAL = struct.Struct("ll")
# A wait of 0 would mean "no timeout" to the kernel, and "do not block" to Python.
_LEAST_SECONDS = 0.001


class Peer(NamedTuple):
    """A connection, and the process that listens at its other end. `pid` is 0 if it is in another pid namespace."""

    socket: socket.socket
    pid: int
    uid: int


def seconds_left(deadline: float) -> float:
    """Return the seconds until a deadline of the monotonic clock; a moment if it is over."""
    return max(deadline - mono(), _LEAST_SECONDS)


def connect(path: str, deadline: float) -> Peer:
    """Connect to the socket at `path`; the caller closes it. The path may have any length.

    Raises TimeoutError if the program accepts no connection before the deadline, in monotonic seconds; and OSError,
    FileNotFoundError or ConnectionRefusedError for example, if nothing listens there.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The kernel waits while the backlog is full, for so long. Python's own timeout would not: it takes EAGAIN for
        # an error.
        seconds, rest = divmod(seconds_left(deadline), 1.0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(int(seconds), int(rest * 1e6)))
        _connect(connection, path)
        listener = peer_of(connection)
    except BlockingIOError:
        connection.close()
        raise TimeoutError(f"no connection was accepted at {path}") from None
    except BaseException:
        connection.close()
        raise
    return Peer(connection, listener.pid, listener.uid)


def _connect(connection: socket.socket, path: str) -> None:
    raw = os.fsencode(path)
    if len(raw) <= _MOST_PATH_BYTES:
        connection.connect(raw)
        return
    # Through the folder, which is opened first: the path below it is short.
    folder, name = os.path.split(raw)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection.connect(b"/proc/self/fd/%d/%s" % (descriptor, name))
    finally:
        os.close(descriptor)
