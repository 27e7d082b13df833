"""One request that another listener of this process passes on to the control server: the bytes of both directions.

Pure: no socket and no event loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import h11

from taskloom.control.refusals import Refusal

__all__ = ["Head", "PassedOn"]

# All else is about the connection itself, or about who may ask; the control server needs none of it.
_PASSED_ON = frozenset({"accept", "content-type", "last-event-id"})
_NOT_RETURNED = frozenset({b"connection", b"transfer-encoding", b"keep-alive", b"date", b"server"})


class Head(NamedTuple):
    """The beginning of a reply."""

    status: int
    headers: list[tuple[bytes, bytes]]


class PassedOn:
    """One request and its reply."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT)
        self.is_over = False
        """Whether the whole reply has come, or cannot come any more."""

    def request(self, method: str, target: bytes, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
        """Return the bytes of the request, with lower-case header names. Raises Refusal for what is not a request."""
        sent = [("host", "taskloom"), *((name, value) for name, value in headers if name in _PASSED_ON)]
        if body or method not in ("GET", "HEAD"):
            sent.append(("content-length", str(len(body))))
        try:
            data = self._http.send(h11.Request(method=method, target=target, headers=sent)) or b""
            data += (self._http.send(h11.Data(data=body)) or b"") if body else b""
            return data + (self._http.send(h11.EndOfMessage()) or b"")
        except h11.LocalProtocolError as error:
            raise Refusal(400, "bad-request", f"cannot read the request: {error}") from None

    def receive(self, data: bytes) -> list[Head | bytes]:
        """Take bytes of the reply, none at the end of the connection; return its head and the parts of its body."""
        found: list[Head | bytes] = []
        try:
            self._http.receive_data(data)
            while not self.is_over:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    break
                if isinstance(event, h11.Response):
                    headers = [pair for pair in event.headers if pair[0] not in _NOT_RETURNED]
                    found.append(Head(event.status_code, headers))
                elif isinstance(event, h11.Data):
                    found.append(bytes(event.data))
                else:
                    self.is_over = True
        except h11.RemoteProtocolError:  # it has gone in the middle of the reply
            self.is_over = True
        return found
