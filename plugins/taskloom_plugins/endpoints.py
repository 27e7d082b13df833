"""Opens listening and connected sockets. A stop can interrupt every step of it."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from taskloom import Context, PermanentFailure, TaskFailure
from taskloom_plugins.addresses import Address, address_of

__all__ = ["EndpointError", "connect", "explain", "listening", "send_all", "wait_for"]

# The longest path of a unix socket, in bytes: the kernel's field has 108, including the NUL at the end.
_MAX_PATH_BYTES = 107
_BACKLOG = 1024
# The receive buffer requested for datagrams, in bytes: a burst beyond it is lost. The kernel may grant less.
_DATAGRAM_BUFFER = 4 << 20

_Resolved = tuple[int, Any]
"""Family and socket address."""


class EndpointError(TaskFailure):
    """An address cannot be used; the message names it."""


def explain(error: OSError) -> str:
    """Return the system's text for the error, in lower case for the end of a sentence."""
    text = error.strerror or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


def wait_for(ctx: Context, descriptor: int, events: int, seconds: float | None = None) -> bool:
    """Wait until poll() reports the events; return False if they do not come within `seconds`.

    Raises Cancelled as soon as the run is cancelled.
    """
    poll = select.poll()
    poll.register(descriptor, events)
    poll.register(ctx.fileno(), select.POLLIN)
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        ctx.raise_if_cancelled()
        remaining = ctx.poll_interval if deadline is None else deadline - time.monotonic()
        if remaining <= 0:
            return False
        # Rounded up: a wait of zero milliseconds would be a busy loop.
        ready = poll.poll(int(min(remaining, ctx.poll_interval) * 1000) + 1)
        if any(number == descriptor for number, _ in ready):
            return True


# -- resolving -------------------------------------------------------------------------------------


def _resolve(ctx: Context, address: Address, doing: str) -> list[_Resolved]:
    """Return the socket addresses to try, in order. Raises EndpointError, PermanentFailure or Cancelled."""
    if address.is_unix:
        size = len(os.fsencode(address.path))
        if size > _MAX_PATH_BYTES:
            raise PermanentFailure(
                f"cannot {doing} {address}: the path has {size} bytes; a unix socket allows {_MAX_PATH_BYTES}"
            )
        return [(socket.AF_UNIX, address.path)]
    if not address.host:
        # One socket for both families if the machine has IPv6.
        return [(socket.AF_INET6, ("::", address.port)), (socket.AF_INET, ("0.0.0.0", address.port))]
    found = _read_literal(address) or _look_up(ctx, address, doing)
    return [(family, sockaddr) for family, _, _, _, sockaddr in found]


def _read_literal(address: Address) -> list[Any]:
    """Return the resolved form of an IP address, without a resolver; an empty list for a host name."""
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    try:
        return socket.getaddrinfo(address.host, address.port, type=address.kind, flags=flags)
    except (OSError, UnicodeError):
        return []


def _look_up(ctx: Context, address: Address, doing: str) -> list[Any]:
    """Call the resolver on a helper thread, because nothing can interrupt it and a stop must not wait for it."""
    answer: list[Any] = []
    ours, theirs = socket.socketpair()

    def resolve() -> None:
        with theirs:  # closing it wakes the run's thread
            try:
                answer.extend(socket.getaddrinfo(address.host, address.port, type=address.kind))
            except (OSError, UnicodeError) as error:
                answer.append(error)

    helper = threading.Thread(target=resolve, name=f"{ctx.job}-lookup", daemon=True)
    with ours:
        helper.start()
        wait_for(ctx, ours.fileno(), select.POLLIN)
    helper.join()
    if isinstance(answer[0], socket.gaierror) and answer[0].errno == socket.EAI_AGAIN:
        raise ConnectionError(f"cannot look up {address.host!r} now: {explain(answer[0])}")
    if isinstance(answer[0], Exception):
        why = explain(answer[0]) if isinstance(answer[0], OSError) else str(answer[0])
        raise EndpointError(f"cannot {doing} {address}: cannot find host {address.host!r}: {why}")
    return answer


# -- listening -------------------------------------------------------------------------------------


@contextlib.contextmanager
def listening(ctx: Context, address: Address, mode: int | None = None) -> Iterator[tuple[socket.socket, str]]:
    """Yield a bound, non-blocking socket, and its address with the real port; close it at the end.

    `mode`: permissions of the file of a unix socket, which is removed at the end. Raises EndpointError if the address
    cannot be used, PermanentFailure for a path that is too long, Cancelled.
    """
    sock = _bound_socket(ctx, address, mode)
    own_file = _file_id(address.path) if address.is_unix else None
    try:
        if address.is_stream:
            sock.listen(_BACKLOG)
        sock.setblocking(False)
        yield sock, str(address) if address.is_unix else address_of(address.scheme, sock.getsockname())
    finally:
        sock.close()
        # Only our own file: another program may have replaced it since.
        if own_file is not None and _file_id(address.path) == own_file:
            with contextlib.suppress(OSError):
                Path(address.path).unlink()


def _bound_socket(ctx: Context, address: Address, mode: int | None) -> socket.socket:
    """Return a socket bound to the first of the resolved addresses that this machine has."""
    try:
        candidates = _resolve(ctx, address, "listen on")
    except ConnectionError as error:
        raise EndpointError(f"cannot listen on {address}: {error}") from None
    last_error = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    for family, sockaddr in candidates:
        try:
            return _bind(family, address, sockaddr, mode)
        except OSError as error:
            last_error = error
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                break
    raise EndpointError(f"cannot listen on {address}: {explain(last_error)}")


def _bind(family: int, address: Address, sockaddr: Any, mode: int | None) -> socket.socket:
    sock = socket.socket(family, address.kind)
    try:
        if address.scheme == "tcp":
            # Lets the next run use a port whose last connections are still in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(bool(address.host)))
        if not address.is_stream:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _DATAGRAM_BUFFER)
        if address.is_unix:
            _bind_path(sock, address, mode)
        else:
            sock.bind(sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_path(sock: socket.socket, address: Address, mode: int | None) -> None:
    """Create the socket's file, and replace a file that a killed program left behind."""
    if mode is not None:
        # Set before the file exists, so that it never has wider permissions, not even for a moment.
        os.fchmod(sock.fileno(), mode)
    try:
        sock.bind(address.path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not _is_stale(address):
            raise
        Path(address.path).unlink()
        sock.bind(address.path)
    if mode is not None:
        Path(address.path).chmod(mode)  # sets the bits that the umask removed


def _is_stale(address: Address) -> bool:
    """Return whether the path is a socket without a listener. Raises EndpointError for another kind of file."""
    if not stat.S_ISSOCK(os.lstat(address.path).st_mode):
        raise EndpointError(f"cannot listen on {address}: the file at this path is not a socket")
    with socket.socket(socket.AF_UNIX, address.kind) as probe:
        probe.setblocking(False)
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False  # its backlog is full, or it has another type: there is a listener
    return False


def _file_id(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


# -- connecting ------------------------------------------------------------------------------------


def connect(ctx: Context, address: Address, timeout: float) -> socket.socket:
    """Return a connected, non-blocking socket; each resolved address of a host gets `timeout` seconds.

    Raises ConnectionError if another attempt may succeed, EndpointError or PermanentFailure if none will,
    and Cancelled as soon as the run is cancelled.
    """
    last_error: OSError = ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    for family, sockaddr in _resolve(ctx, address, "connect to"):
        try:
            return _connect_one(ctx, family, address, sockaddr, timeout)
        except OSError as error:
            last_error = error
    raise ConnectionError(f"cannot connect to {address}: {explain(last_error)}")


def _connect_one(ctx: Context, family: int, address: Address, sockaddr: Any, timeout: float) -> socket.socket:
    sock = socket.socket(family, address.kind)
    try:
        sock.setblocking(False)
        if address.scheme == "unix-dgram":
            sock.bind("")  # the kernel picks a name, so that the peer can answer
        code = sock.connect_ex(sockaddr)
        if code == errno.EINPROGRESS:
            if not wait_for(ctx, sock.fileno(), select.POLLOUT, timeout):
                raise TimeoutError(errno.ETIMEDOUT, f"no answer within {timeout:g} s")
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        if address.scheme == "tcp" and sock.getsockname() == sock.getpeername():
            # If nothing listens on a local port, the kernel may pick this port for our side and connect the socket to
            # itself.
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    except BaseException:
        sock.close()
        raise
    return sock


def send_all(ctx: Context, sock: socket.socket, data: bytes) -> None:
    """Pass all data to the kernel. Raises OSError if the connection is lost, Cancelled if the run is cancelled.

    Sends nothing if `data` is empty; an empty send would create an empty datagram.
    """
    remaining = memoryview(data)
    while remaining:
        try:
            remaining = remaining[sock.send(remaining) :]
        except BlockingIOError:
            wait_for(ctx, sock.fileno(), select.POLLOUT)
