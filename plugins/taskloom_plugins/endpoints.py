"""Opens sockets: listening ones, and connected ones that a stop can interrupt at any point."""

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

# What a unix socket's path may take in bytes; the kernel's field is 108 with its closing NUL.
_LONGEST_PATH = 107
_BACKLOG = 1024
# What the kernel is asked to keep of datagrams while we write: a burst is lost beyond it. It grants what it allows.
_DATAGRAM_BUFFER = 4 << 20

_Resolved = tuple[int, Any]
"""Family and socket address."""


class EndpointError(TaskFailure):
    """An address cannot be used; the sentence names it."""


def explain(error: OSError) -> str:
    """Return what the system says of the error, as the end of a sentence."""
    text = error.strerror or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


def wait_for(ctx: Context, descriptor: int, events: int, seconds: float | None = None) -> bool:
    """Wait until poll() reports the events; return False when the seconds are over first.

    Raises Cancelled within a moment of a stop.
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
        # Rounded up: a wait cut to zero milliseconds would spin.
        ready = poll.poll(int(min(remaining, ctx.poll_interval) * 1000) + 1)
        if any(number == descriptor for number, _ in ready):
            return True


# -- looking up ------------------------------------------------------------------------------------


def _resolve(ctx: Context, address: Address, doing: str) -> list[_Resolved]:
    """Return the socket addresses to try, in order. Raises EndpointError, PermanentFailure or Cancelled."""
    if address.is_unix:
        size = len(os.fsencode(address.path))
        if size > _LONGEST_PATH:
            raise PermanentFailure(
                f"cannot {doing} {address}: the path has {size} bytes, and a unix socket takes {_LONGEST_PATH}"
            )
        return [(socket.AF_UNIX, address.path)]
    if not address.host:
        # One socket for both families where the machine has IPv6.
        return [(socket.AF_INET6, ("::", address.port)), (socket.AF_INET, ("0.0.0.0", address.port))]
    found = _read_literal(address) or _look_up(ctx, address, doing)
    return [(family, sockaddr) for family, _, _, _, sockaddr in found]


def _read_literal(address: Address) -> list[Any]:
    """Return what an address in digits means, without asking anyone; nothing for a name."""
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    try:
        return socket.getaddrinfo(address.host, address.port, type=address.kind, flags=flags)
    except (OSError, UnicodeError):
        return []


def _look_up(ctx: Context, address: Address, doing: str) -> list[Any]:
    """Ask the resolver on a thread of its own: nothing can interrupt it, and a stop must not wait for it."""
    answer: list[Any] = []
    ours, theirs = socket.socketpair()

    def ask() -> None:
        with theirs:  # closing it wakes the one who waits
            try:
                answer.extend(socket.getaddrinfo(address.host, address.port, type=address.kind))
            except (OSError, UnicodeError) as error:
                answer.append(error)

    helper = threading.Thread(target=ask, name=f"{ctx.job}-lookup", daemon=True)
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
    """Hold a bound, non-blocking socket, and its address with the real port.

    `mode` is for the file of a unix socket; the file goes at the end. Raises EndpointError when the address
    cannot be had, PermanentFailure for a path that is too long, Cancelled.
    """
    sock = _bound(ctx, address, mode)
    mine = _identity(address.path) if address.is_unix else None
    try:
        if address.is_stream:
            sock.listen(_BACKLOG)
        sock.setblocking(False)
        yield sock, str(address) if address.is_unix else address_of(address.scheme, sock.getsockname())
    finally:
        sock.close()
        # Not a file that another program has put there since.
        if mine is not None and _identity(address.path) == mine:
            with contextlib.suppress(OSError):
                Path(address.path).unlink()


def _bound(ctx: Context, address: Address, mode: int | None) -> socket.socket:
    """Return a socket bound to the first of the address's meanings that this machine has."""
    try:
        candidates = _resolve(ctx, address, "listen on")
    except ConnectionError as error:
        raise EndpointError(f"cannot listen on {address}: {error}") from None
    trouble = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    for family, sockaddr in candidates:
        try:
            return _bind(family, address, sockaddr, mode)
        except OSError as error:
            trouble = error
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                break
    raise EndpointError(f"cannot listen on {address}: {explain(trouble)}")


def _bind(family: int, address: Address, sockaddr: Any, mode: int | None) -> socket.socket:
    sock = socket.socket(family, address.kind)
    try:
        if address.scheme == "tcp":
            # A port whose last connections linger in TIME_WAIT is free to the next run.
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
    """Make the socket's file, in place of one that a killed program left behind."""
    if mode is not None:
        # Before the file exists: at no moment may it be open to more people than it shall be.
        os.fchmod(sock.fileno(), mode)
    try:
        sock.bind(address.path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not _is_stale(address):
            raise
        Path(address.path).unlink()
        sock.bind(address.path)
    if mode is not None:
        Path(address.path).chmod(mode)  # the bits that the umask took


def _is_stale(address: Address) -> bool:
    """Tell whether the path is a socket at which nobody answers. Raises EndpointError for another kind of file."""
    if not stat.S_ISSOCK(os.lstat(address.path).st_mode):
        raise EndpointError(f"cannot listen on {address}: a file that is no socket is in its place")
    with socket.socket(socket.AF_UNIX, address.kind) as probe:
        probe.setblocking(False)
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False  # full, or of another kind: somebody is there
    return False


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


# -- connecting ------------------------------------------------------------------------------------


def connect(ctx: Context, address: Address, timeout: float) -> socket.socket:
    """Return a connected, non-blocking socket; each meaning of a host name gets `timeout` seconds.

    Raises ConnectionError where another try may help, EndpointError or PermanentFailure where none will,
    and Cancelled within a moment of a stop.
    """
    trouble: OSError = ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    for family, sockaddr in _resolve(ctx, address, "connect to"):
        try:
            return _connect_one(ctx, family, address, sockaddr, timeout)
        except OSError as error:
            trouble = error
    raise ConnectionError(f"cannot connect to {address}: {explain(trouble)}")


def _connect_one(ctx: Context, family: int, address: Address, sockaddr: Any, timeout: float) -> socket.socket:
    sock = socket.socket(family, address.kind)
    try:
        sock.setblocking(False)
        if address.scheme == "unix-dgram":
            sock.bind("")  # a name of the kernel's choice, so that there can be answers
        code = sock.connect_ex(sockaddr)
        if code == errno.EINPROGRESS:
            if not wait_for(ctx, sock.fileno(), select.POLLOUT, timeout):
                raise TimeoutError(errno.ETIMEDOUT, f"no answer within {timeout:g} s")
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        if address.scheme == "tcp" and sock.getsockname() == sock.getpeername():
            # The kernel may choose the very port that is called, when nobody listens there, and answer itself.
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    except BaseException:
        sock.close()
        raise
    return sock


def send_all(ctx: Context, sock: socket.socket, data: bytes) -> None:
    """Hand all of it to the kernel. Raises OSError when the connection is lost, Cancelled at a stop.

    An empty datagram would be one too: nothing to send sends nothing.
    """
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[sock.send(rest) :]
        except BlockingIOError:
            wait_for(ctx, sock.fileno(), select.POLLOUT)
