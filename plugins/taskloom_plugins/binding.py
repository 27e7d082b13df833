"""Opens the sockets to listen on: of a host and port, or of a unix socket."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from typing import NamedTuple

from taskloom import Context
from taskloom_plugins.addresses import Address, address_of
from taskloom_plugins.endpoints import EndpointError, Resolved, explain, resolve
from taskloom_plugins.multicast import group_of, join, share_port
from taskloom_plugins.passed import describe_passed, open_passed
from taskloom_plugins.unix_sockets import listening_on_path

__all__ = ["BACKLOG", "Listening", "listening"]

BACKLOG = 1024
"""How many connections may wait until they are accepted."""
# The receive buffer requested for datagrams, in bytes: a burst beyond it is lost. The kernel may grant less.
_DATAGRAM_BUFFER = 4 << 20
# How often to choose another free port if the one that is free in one family is taken in the other.
_PORT_ATTEMPTS = 20


class Listening(NamedTuple):
    """A bound, non-blocking socket, and its address as text: with the real port, a unix socket as configured."""

    sock: socket.socket
    name: str


@contextlib.contextmanager
def listening(
    ctx: Context, address: Address, *, mode: int | None = None, interface: str = ""
) -> Iterator[list[Listening]]:
    """Yield the sockets of the address, one for each IP address of a host; close them at the end.

    `mode`: permissions of the file of a unix socket, which is removed at the end. `interface`: where a multicast group
    is joined. Raises EndpointError if the address cannot be used, PermanentFailure for a path that is too long,
    Cancelled.
    """
    with contextlib.ExitStack() as opened:
        try:
            found = _open(ctx, opened, address, mode, interface)
        except OSError as error:
            raise EndpointError(f"cannot listen on {address}: {explain(error)}") from None
        yield found


def _open(
    ctx: Context, opened: contextlib.ExitStack, address: Address, mode: int | None, interface: str
) -> list[Listening]:
    if address.passed:
        passed = [opened.enter_context(sock) for sock in open_passed(address)]
        return [Listening(sock, describe_passed(address, sock)) for sock in passed]
    candidates = resolve(ctx, address, "listen on", interface)
    if address.is_unix and not address.is_abstract:
        sock = opened.enter_context(listening_on_path(ctx, address, mode, _prepare, BACKLOG))
        return [Listening(sock, str(address))]
    sockets = _bound_sockets(address, candidates, interface)
    for sock in sockets:
        opened.enter_context(sock)
    return [
        Listening(sock, str(address) if address.is_unix else address_of(address.scheme, sock.getsockname()))
        for sock in sockets
    ]


def _bound_sockets(address: Address, candidates: list[Resolved], interface: str) -> list[socket.socket]:
    """Return a socket for each of the addresses that this machine has. Raises OSError."""
    attempts = 1 if address.port else _PORT_ATTEMPTS
    while True:
        attempts -= 1
        try:
            return _bind_all(address, candidates, interface)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not attempts:
                raise


def _bind_all(address: Address, candidates: list[Resolved], interface: str) -> list[socket.socket]:
    bound: list[socket.socket] = []
    last_error = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    try:
        for family, sockaddr in candidates:
            if bound and address.is_every_interface:
                break  # the first one is for both families
            if bound and not address.port:
                sockaddr = (sockaddr[0], bound[0].getsockname()[1], *sockaddr[2:])
            try:
                bound.append(_bind(family, address, sockaddr, interface))
            except OSError as error:
                last_error = error
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
        if not bound:
            raise last_error
    except BaseException:
        for sock in bound:
            sock.close()
        raise
    return bound


def _bind(family: int, address: Address, sockaddr: object, interface: str) -> socket.socket:
    sock = socket.socket(family, address.kind)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not address.is_every_interface))
        group = None if address.is_unix else group_of(sockaddr)
        if group is not None:
            join(sock, group, interface or address.zone)
        elif address.many:
            share_port(sock)
        elif address.scheme == "tcp":
            # Lets the next run use a port whose last connections are still in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _prepare(sock)
        sock.bind(sockaddr)  # type: ignore[arg-type]
        if address.is_stream:
            sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _prepare(sock: socket.socket) -> None:
    sock.setblocking(False)
    if sock.type == socket.SOCK_DGRAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _DATAGRAM_BUFFER)
