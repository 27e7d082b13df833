"""The two ways to listen: accepting connections, and receiving datagrams."""

from __future__ import annotations

import errno
import itertools
import math
import operator
import socket
import struct
import time
from collections.abc import Callable
from typing import TypeVar

from taskloom import Context
from taskloom_plugins.addresses import Address, address_of
from taskloom_plugins.endpoints import EndpointError, explain
from taskloom_plugins.intake import Intake
from taskloom_plugins.loop import Loop
from taskloom_plugins.notices import Notices
from taskloom_plugins.peers import Peers

__all__ = ["Acceptor", "DatagramReader", "InterfaceWatch"]

Arrived = TypeVar("Arrived")

_ACCEPTS_PER_CALL = 64
_SHORTEST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
# Errors of a machine that is short of descriptors or memory; they are temporary.
_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
# Errors of one connection, not of the listening socket: it was lost before it was accepted, or a firewall or a security
# module refuses it (accept(2), "Error handling" and EPERM).
_LOST = {
    errno.ECONNABORTED,
    errno.ECONNRESET,
    errno.EACCES,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENONET,
    errno.ENOPROTOOPT,
    errno.ENOSR,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EPROTO,
    errno.EPROTONOSUPPORT,
    errno.ESOCKTNOSUPPORT,
    errno.ETIMEDOUT,
}

_DATAGRAMS_PER_CALL = 256
_UDP_MAX_BYTES = 64 * 1024
_UNIX_MIN_BYTES = 256 * 1024

# getsockopt(SO_MEMINFO) of Linux: nine counters; the last one counts datagrams lost because the buffer was full.
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("9I")
_LOSS_INTERVAL_SECONDS = 1.0
# An interface that is removed may be back at once, so a run that is restarted should not be late.
_INTERFACE_INTERVAL_SECONDS = 1.0


class Acceptor:
    """Accepts connections, up to a limit, and pauses if the machine has no descriptor left."""

    def __init__(
        self,
        ctx: Context,
        loop: Loop,
        peers: Peers,
        sock: socket.socket,
        *,
        scheme: str,
        max_peers: int,
        notices: Notices,
    ) -> None:
        self._ctx, self._loop, self._peers, self._notices = ctx, loop, peers, notices
        self._sock, self._scheme, self._max_peers = sock, scheme, max_peers
        self._pause = _SHORTEST_PAUSE_SECONDS
        self.deadline = math.inf
        loop.watch(sock, self._accept)

    def tick(self, now: float) -> None:
        """Called when a pause is over: accept connections again."""
        self.deadline = math.inf
        self._loop.watch(self._sock, self._accept)

    def _accept(self) -> None:
        lost: OSError | None = None
        for _ in range(_ACCEPTS_PER_CALL):
            try:
                sock, sockaddr = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _SHORTAGES:
                    self._pause_accepting(error)
                    return
                if error.errno not in _LOST:
                    raise EndpointError(f"cannot accept connections: {explain(error)}") from None
                lost = error
                self._ctx.count("resets")
                self._notices.warn(
                    "lost connections", "a connection was lost before it was accepted: %s", explain(error)
                )
            else:
                lost = None
                self._pause = _SHORTEST_PAUSE_SECONDS
                self._add_peer(sock, address_of(self._scheme, sockaddr))
        if lost is not None:  # a security module may refuse every connection, and leave it in the queue
            self._pause_accepting(lost)

    def _add_peer(self, sock: socket.socket, source: str) -> None:
        if len(self._peers) >= self._max_peers:
            sock.close()
            self._ctx.count("refused")
            self._notices.warn("refused peers", "refused %s: %d peers are connected", source, self._max_peers)
            return
        sock.setblocking(False)
        self._peers.add(sock, source)

    def _pause_accepting(self, error: OSError) -> None:
        """Stop accepting for a while: trying again at once would be a busy loop."""
        if self._pause == _SHORTEST_PAUSE_SECONDS:  # said once, until a connection is accepted again
            self._notices.warn("accept", "cannot accept connections for now: %s", explain(error))
        self._loop.unwatch(self._sock)
        self.deadline = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)


class InterfaceWatch:
    """Ends the run when the interface that its address names is removed, or removed and made again.

    The kernel then receives nothing more for the socket, and does not report it.
    """

    def __init__(self, address: Address, interface: str) -> None:
        """`interface`: its name, or another description of it, which is not watched."""
        self._address, self._interface = address, interface
        self._index = self._find()
        self.deadline = time.monotonic() + _INTERFACE_INTERVAL_SECONDS if self._index else math.inf

    def tick(self, now: float) -> None:
        """Called now and then. Raises EndpointError."""
        self.deadline = now + _INTERFACE_INTERVAL_SECONDS
        if self._find() != self._index:
            raise EndpointError(f"cannot read from {self._address}: interface {self._interface!r} was removed")

    def _find(self) -> int | None:
        try:
            return socket.if_nametoindex(self._interface)
        except (OSError, ValueError):
            return None


class DatagramReader:
    """Reads a datagram socket, and counts the datagrams that the kernel lost because the buffer was full."""

    def __init__(
        self,
        ctx: Context,
        loop: Loop,
        intake: Intake,
        sock: socket.socket,
        *,
        address: Address,
        max_frame: int,
        is_connected: bool,
        wants_source: bool,
        idle_seconds: float,
    ) -> None:
        """`max_frame` sets the buffer size, so that a datagram over the limit is recognized as too long."""
        self._ctx, self._intake, self._sock, self._address = ctx, intake, sock, address
        self._size = max(_UNIX_MIN_BYTES, max_frame + 1) if address.is_unix else _UDP_MAX_BYTES
        self._source, self._is_connected = str(address), is_connected
        self._idle_seconds = idle_seconds or math.inf
        self._lost = 0
        self.is_over = False
        """Whether the other side of a connected socket is gone, or was silent for too long."""
        self._last_arrival = time.monotonic()
        self.deadline = self._last_arrival + _LOSS_INTERVAL_SECONDS
        loop.watch(sock, self._read_with_source if wants_source else self._read)

    def tick(self, now: float) -> None:
        """Called once a second: count lost datagrams, and check how long the other side has been silent."""
        self.deadline = now + _LOSS_INTERVAL_SECONDS
        self.count_lost()
        if now - self._last_arrival >= self._idle_seconds:
            self._ctx.count("timeouts")
            self._intake.notices.warn("silent peers", "closing %s: silent for %g s", self._address, self._idle_seconds)
            self.is_over = True

    def count_lost(self) -> None:
        """Count the datagrams that the kernel lost because the buffer was full, if the kernel reports them."""
        try:
            info = self._sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        except OSError:
            return
        if len(info) < _MEMINFO.size:
            return
        lost = _MEMINFO.unpack(info)[-1] - self._lost
        if lost > 0:
            self._lost += lost
            self._ctx.count("lost", lost)
            self._intake.notices.warn(
                "lost datagrams", "%d datagrams were lost: they arrived faster than they are written", lost
            )

    def _read(self) -> None:
        datagrams = self._drain(self._sock.recv)
        if datagrams:
            self._intake.datagrams(datagrams, self._source)

    def _read_with_source(self) -> None:
        """Read like `_read`, and get the address of each datagram, which takes more time."""
        arrived = self._drain(self._sock.recvfrom)
        for sockaddr, group in itertools.groupby(arrived, key=operator.itemgetter(1)):
            self._intake.datagrams([datagram for datagram, _ in group], address_of(self._address.scheme, sockaddr))

    def _drain(self, receive: Callable[[int], Arrived]) -> list[Arrived]:
        """Return the datagrams that wait in the socket, up to a limit. Reading until it is empty saves many polls."""
        arrived: list[Arrived] = []
        take, size = arrived.append, self._size
        try:
            for _ in range(_DATAGRAMS_PER_CALL):
                take(receive(size))
        except BlockingIOError:
            pass
        except OSError as error:
            self._handle_error(error)
        if arrived:
            self._last_arrival = time.monotonic()
        return arrived

    def _handle_error(self, error: OSError) -> None:
        """Handle a network error of a connected socket, mostly that there is no listener."""
        if not self._is_connected:
            raise EndpointError(f"cannot read from {self._address}: {explain(error)}") from None
        self._ctx.count("resets")
        self._intake.notices.warn("broken connections", "lost %s: %s", self._address, explain(error))
        self.is_over = True
