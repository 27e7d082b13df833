"""Passes requests from HTTP on to the control server of this process, each over a connection of its own.

So there is one API: one thread answers everything, in order, and its limits and streams hold here, too. Nothing of the
event loop here waits for the scheduler.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

import h11

from taskloom.control.connection import BODY_BYTES
from taskloom.control.refusals import Refusal

__all__ = ["Connect", "Exchange", "read_body"]

Connect = Callable[[str], socket.socket]
"""Returns a connection to the control server. Its argument names the client in logs."""

_PIECE_BYTES = 64 << 10
# All else is about the connection itself, or about who may ask; the control server needs none of it.
_PASSED_ON = frozenset({"accept", "content-type", "last-event-id"})
_NOT_RETURNED = frozenset({b"connection", b"transfer-encoding", b"keep-alive", b"date", b"server"})
# A client that sends its body a byte a second gets no more.
_BODY_SECONDS = 10.0


class Exchange:
    """One request and its reply. An async context manager, which closes the connection."""

    def __init__(self, connect: Connect, via: str) -> None:
        self._sock = connect(via)
        self._http = h11.Connection(h11.CLIENT)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Exchange:
        try:
            self._reader, self._writer = await asyncio.open_unix_connection(sock=self._sock)
        except BaseException:
            self._sock.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    async def ask(
        self, method: str, target: bytes, headers: Iterable[tuple[str, str]], body: bytes
    ) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Send a request; return the status and the headers of the reply. Raises Refusal if none comes."""
        sent = [("host", "taskloom"), *((name, value) for name, value in headers if name in _PASSED_ON)]
        if body or method not in ("GET", "HEAD"):
            sent.append(("content-length", str(len(body))))
        try:
            data = self._http.send(h11.Request(method=method, target=target, headers=sent))
            data += self._http.send(h11.Data(data=body)) if body else b""
            data += self._http.send(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            raise Refusal(400, "bad-request", f"cannot read the request: {error}") from None
        assert self._writer is not None
        self._writer.write(data)
        response = await self._next()
        if not isinstance(response, h11.Response):
            raise Refusal(503, "ended", "cannot answer: the program has ended")
        return response.status_code, [pair for pair in response.headers if pair[0] not in _NOT_RETURNED]

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the parts of the reply as they come."""
        while isinstance(event := await self._next(), h11.Data):
            yield bytes(event.data)

    async def _next(self) -> Any:
        """Return the next event of the reply; ConnectionClosed if the control server has gone."""
        while True:
            try:
                event = self._http.next_event()
                if event is not h11.NEED_DATA:
                    return event
                assert self._reader is not None
                self._http.receive_data(await self._reader.read(_PIECE_BYTES))
            except (OSError, h11.RemoteProtocolError):  # it has gone in the middle of a reply
                return h11.ConnectionClosed()


async def read_body(receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> bytes:
    """Return the body of a request. Raises Refusal if it is too long, too slow, or cut off."""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await _collect(receive)
    except TimeoutError:
        raise Refusal(408, "too-slow", "cannot wait longer for the body of the request") from None


async def _collect(receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "cut-off", "cannot read the body of the request: the client has gone")
        body += bytes(message.get("body", b""))
        if len(body) > BODY_BYTES:
            raise Refusal(413, "too-large", f"cannot read a body of over {BODY_BYTES:,} bytes")
        if not message.get("more_body", False):
            return body
