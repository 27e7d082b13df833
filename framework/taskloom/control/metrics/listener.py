"""The listening socket for metrics: the one socket of Taskloom that other users, and other machines, may reach."""

from __future__ import annotations

import _socket
import errno
import os
import socket
import stat

from taskloom.diagnostics import quoted
from taskloom.jobfile.fields.metrics import MetricsAddress
from taskloom.sync.own_socket import OwnSocket

__all__ = ["MetricsListener"]

_BACKLOG = 16
# Every user who can reach the folder may connect, as every one of the machine may to a port of it.
_MODE = 0o666


class MetricsListener:
    """Listens from the construction until `close`. Raises OSError, also if the name of the host cannot be found."""

    kind = "metrics"
    watch = None
    # A socket file that was removed stays so: the folder is the user's, and nothing depends on it.
    needs_checks = False

    def __init__(self, address: MetricsAddress) -> None:
        self._address = address
        self._is_closed = False
        self._file: tuple[int, int] | None = None
        self._own = OwnSocket(self._open())
        # With port 0 the system has chosen one, and a socket that is made again has the same.
        if not address.path:
            self._address = address._replace(port=self._own.socket.getsockname()[1])

    @property
    def path(self) -> str:
        """Its address, as it is written."""
        return str(self._address)

    @property
    def url(self) -> str:
        """The URL of the metrics; for a unix socket its address."""
        return self.path if self._address.path else f"http://{self.path}/metrics"

    @property
    def listener(self) -> _socket.socket:
        """The listening socket."""
        return self._own.socket

    @property
    def is_listening(self) -> bool:
        """Whether the socket is open: code that closes all descriptors closes this one, too."""
        return self._own.is_ours()

    def check(self) -> bool:
        """Make the socket again if a task has closed it, and return whether that was so. Raises OSError."""
        if self._is_closed or self.is_listening:
            return False
        before, self._own = self._own, OwnSocket(self._open())
        before.close()
        if self._is_closed:  # by another thread meanwhile
            self.close()
        return True

    def close(self) -> None:
        """Stop listening, and remove the file of a unix socket. Idempotent; raises nothing. Any thread may call it."""
        self._is_closed = True
        file, self._file = self._file, None
        try:
            if file is not None and _file_id(self._address.path) == file:
                os.unlink(self._address.path)  # noqa: PTH108
        except OSError:
            pass  # the next start removes it
        self._own.close()

    def knock(self) -> None:
        """Connect to the socket, which ends a wait for clients. Any thread; never blocks, raises nothing."""
        try:
            sock = _socket.socket(self._own.socket.family, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
            try:
                sock.connect(self._own.socket.getsockname())
            finally:
                sock.close()
        except OSError:
            pass  # it is being connected, or nothing listens any more

    def forget(self) -> None:
        """Close the socket, in a forked child: the parent process goes on listening."""
        self._own.close()

    # -- opening

    def _open(self) -> _socket.socket:
        if self._address.path:
            return self._open_unix(self._address.path)
        found = socket.getaddrinfo(
            self._address.host, self._address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, place = found[0]
        listener = _socket.socket(family, socket.SOCK_STREAM)  # not of the module, which a job may have patched
        try:
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Inherited by the sockets of clients: head and body of a reply are sent one after the other.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.bind(place)
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
        return listener

    def _open_unix(self, path: str) -> _socket.socket:
        _remove_leftover(path)
        listener = _socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.bind(path)
            self._file = _file_id(path)
            os.chmod(path, _MODE)  # noqa: PTH101
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
        return listener


def _file_id(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def _remove_leftover(path: str) -> None:
    """Remove a socket at which nothing listens. Raises OSError for one that is in use, and for any other file."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise OSError(errno.EEXIST, f"there is a file at {quoted(path)} that is not a socket")
    probe = _socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)  # noqa: PTH108
        return
    except BlockingIOError:
        pass  # its queue is full, so it is in use
    finally:
        probe.close()
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
