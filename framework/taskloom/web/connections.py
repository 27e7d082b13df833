"""The connections of the HTTP listener: a bounded number, and none for long without a request.

Each connection has a descriptor of the process in which the jobs execute, and a client without a token can open as many
as it wants. uvicorn counts those that it has, but it accepts all, and waits for a request without a limit.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

__all__ = ["BUSY_CLIENTS", "Acceptor", "BoundedProtocol"]

BUSY_CLIENTS = 48
"""Fewer than the control server has room for: verbs must find some. Further requests get a 503."""
_MOST = BUSY_CLIENTS + 16
"""With so many connections that all have a request, a further one is closed at once."""
_HEAD_SECONDS = 10.0
"""How long a client may take for the handshake of TLS, and for the head of a request."""
_PAUSE_SECONDS = 1.0
"""Before the next attempt, as asyncio has it, if the process has no descriptor left."""


class BoundedProtocol(H11Protocol):
    """Closes its connection if the head of a request does not come in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self.since = self.loop.time()
        self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(_HEAD_SECONDS, self.drop)

    def data_received(self, data: bytes) -> None:
        """Take data; the time for the head of a request runs from the first byte of it."""
        super().data_received(data)
        self._set_timer()

    def on_response_complete(self) -> None:
        """Go on with the next request, of which a part may have come already."""
        self.since = self.loop.time()
        super().on_response_complete()
        if self.conn.trailing_data[0]:
            self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._cancel_timer()
        super().connection_lost(exc)

    @property
    def awaits_client(self) -> bool:
        """Whether its client has to do something: to send a request, or to read what was sent to it."""
        return self.is_idle or self.flow.write_paused

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered. The client may not have read the last reply."""
        cycle: RequestResponseCycle | None = self.cycle  # its type leaves out that it is None before the first request
        return cycle is None or cycle.response_complete

    def drop(self) -> None:
        """Close the connection at once: what the client has not read is lost."""
        self.connections.discard(self)
        self.transport.abort()

    def _set_timer(self) -> None:
        if not self.is_idle:
            self._cancel_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_SECONDS, self.drop)

    def _cancel_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class Acceptor:
    """Accepts the connections of a socket; `run` does it until it is cancelled.

    If there are many, the one that has waited longest for its client makes room. Used on one event loop.
    """

    def __init__(
        self,
        sock: socket.socket,
        protocol: Callable[[], BoundedProtocol],
        tls: ssl.SSLContext | None,
        connections: set[Any],
    ) -> None:
        self._sock, self._protocol, self._tls, self._connections = sock, protocol, tls, connections
        # Their handshakes are not over yet: each socket, and since when.
        self._beginning: dict[asyncio.Task[Any], tuple[socket.socket, float]] = {}

    @property
    def beginning(self) -> Iterator[socket.socket]:
        """The sockets of connections that are no part of `connections` yet."""
        return iter([peer for peer, _ in list(self._beginning.values())])

    async def run(self) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        self._sock.setblocking(False)
        try:
            while True:
                try:
                    peer, _ = await loop.sock_accept(self._sock)
                    await self._take(peer, loop)
                except (OSError, MemoryError):
                    await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            for task in self._beginning:
                task.cancel()

    async def _take(self, peer: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        if self._count >= BUSY_CLIENTS - 1:
            self._make_room()
        if self._count >= _MOST:
            peer.close()
            return
        limit = None if self._tls is None else _HEAD_SECONDS
        connecting = loop.connect_accepted_socket(self._protocol, peer, ssl=self._tls, ssl_handshake_timeout=limit)
        task = loop.create_task(connecting)
        self._beginning[task] = peer, loop.time()
        task.add_done_callback(self._begun)
        # `sock_accept` does not let the loop turn while other clients queue; without TLS no network is waited for.
        await (asyncio.wait((task,)) if self._tls is None else asyncio.sleep(0))

    def _begun(self, task: asyncio.Task[Any]) -> None:
        peer, _ = self._beginning.pop(task)
        if task.cancelled():
            peer.close()  # a task that has not begun yet closes nothing
        else:
            task.exception()  # such as a failed handshake, which has closed its socket

    @property
    def _count(self) -> int:
        return len(self._connections) + sum(not task.cancelling() for task in self._beginning)

    def _make_room(self) -> None:
        connected = [each for each in self._connections if isinstance(each, BoundedProtocol)]
        waiting: list[tuple[float, Callable[[], object]]] = [
            (each.since, each.drop) for each in connected if each.awaits_client
        ]
        waiting += [(since, task.cancel) for task, (_, since) in self._beginning.items() if not task.cancelling()]
        if waiting:
            _, end = min(waiting, key=lambda each: each[0])
            end()
