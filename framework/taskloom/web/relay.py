"""Passes requests from HTTP on to the control server of this process, each over a connection of its own.

So there is one API: one thread answers everything, in order, and its limits and streams hold here, too. Nothing of the
event loop here waits for the scheduler.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

from taskloom.control.connection import BODY_BYTES
from taskloom.control.passed_on import Head, PassedOn
from taskloom.control.refusals import Refusal

__all__ = ["Connect", "Exchange", "read_body"]

Connect = Callable[[str], socket.socket]
"""Returns a connection to the control server. Its argument names the client in logs."""

_PIECE_BYTES = 64 << 10
# A client that sends its body a byte a second gets no more.
_BODY_SECONDS = 10.0


class Exchange:
    """One request and its reply. An async context manager, which closes the connection."""

    def __init__(self, connect: Connect, via: str) -> None:
        self._sock = connect(via)
        self._passed = PassedOn()
        self._parts: deque[Head | bytes] = deque()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Exchange:
        try:
            self._streams = await asyncio.open_unix_connection(sock=self._sock)
        except BaseException:
            self._sock.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._streams is not None:
            self._streams[1].close()

    async def request(self, method: str, target: bytes, headers: Iterable[tuple[str, str]], body: bytes) -> Head:
        """Send a request; return the head of the reply. Raises Refusal if none comes."""
        data = self._passed.request(method, target, headers, body)
        if self._streams is not None:
            self._streams[1].write(data)
        head = await self._next()
        if not isinstance(head, Head):
            raise Refusal(503, "ended", "cannot answer: the program has ended")
        return head

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the parts of the reply as they come."""
        while isinstance(part := await self._next(), bytes):
            yield part

    async def _next(self) -> Head | bytes | None:
        """Return the next part of the reply; None at its end."""
        while not self._parts and not self._passed.is_over and self._streams is not None:
            try:
                data = await self._streams[0].read(_PIECE_BYTES)
            except OSError:
                data = b""
            self._parts += self._passed.receive(data)
        return self._parts.popleft() if self._parts else None


async def read_body(receive: Callable[[], Awaitable[Mapping[str, Any]]], announced: int) -> bytes:
    """Return the body of a request, of `announced` bytes. Raises Refusal if it is too long, too slow, or cut off."""
    _check_length(announced)
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
        _check_length(len(body))
        if not message.get("more_body", False):
            return body


def _check_length(length: int) -> None:
    if length > BODY_BYTES:
        raise Refusal(413, "too-large", f"cannot read a body of over {BODY_BYTES:,} bytes")
