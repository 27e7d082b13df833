"""One request over one connection, and its answer, within a deadline. Whatever the peer sends, an error is in words."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from socket import SHUT_RDWR
from typing import Any

import h11

from taskloom.clock import mono
from taskloom.control.client_errors import BadReply, ConnectionLost, NoAnswer, NoProgram
from taskloom.control.finding import Program
from taskloom.control.json_object import read_object
from taskloom.control.no_answer import is_running, no_answer
from taskloom.control.peer import is_trusted_peer
from taskloom.control.unix_client import Peer, connect, seconds_left
from taskloom.text import to_json

__all__ = ["Call", "connect_to"]

# A table of 100,000 jobs has less.
_MOST_BODY_BYTES = 256 * 1024 * 1024
_MOST_HEAD_BYTES = 64 * 1024
_HEAD_TOO_LONG = 431
_PIECE_BYTES = 64 * 1024


def connect_to(program: Program, deadline: float) -> Peer:
    """Connect to the program. The caller closes the connection.

    Raises NoProgram if nothing listens there, or a process of a user who is not trusted: nothing is sent to it. Raises
    NoAnswer if the program accepts no connection before the deadline, or has no socket for the moment.
    """
    try:
        peer = connect(program.socket, deadline)
    except TimeoutError:
        raise no_answer(program.pid, program.socket) from None
    except (FileNotFoundError, ConnectionRefusedError) as error:
        if program.is_locked and is_running(program.pid):
            advice = f"nothing listens at {program.socket}; a program makes its socket again within 10 s"
            raise NoAnswer(program.pid, program.socket, advice) from None
        raise NoProgram(f"cannot reach a program at {program.socket}: {_why(error)}") from None
    except OSError as error:  # no permission, or no descriptor is free here
        raise NoProgram(f"cannot reach a program at {program.socket}: {_why(error)}") from None
    if not is_trusted_peer(peer.uid, program.uid):
        peer.socket.close()
        raise NoProgram(f"cannot trust the program at {program.socket}: it runs as uid {peer.uid}")
    return peer


def _why(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such socket"
    if isinstance(error, ConnectionRefusedError):
        return "its program has ended, or it is not a socket"
    return (error.strerror or str(error)).lower()


class Call:
    """A request that has been sent, and the answer to it. Use it as a context: it closes the connection."""

    def __init__(self, peer: Peer, where: str) -> None:
        self.pid, self.where = peer.pid, where
        self.who = f"pid {peer.pid}" if peer.pid else f"the program at {where}"
        self._socket = peer.socket
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEAD_BYTES)

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._socket.close()

    def abort(self) -> None:
        """Let another thread that waits for the answer raise ConnectionLost. It has to close the connection."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(SHUT_RDWR)

    def send(
        self, method: str, target: str, body: Mapping[str, Any] | None, headers: Mapping[str, str], deadline: float
    ) -> None:
        """Send the request. `target`: percent-encoded. Raises NoAnswer."""
        content = b"" if body is None else to_json(body).encode()
        fields = [("host", "taskloom"), ("connection", "close"), *headers.items()]
        if method != "GET":
            fields += [("content-type", "application/json"), ("content-length", str(len(content)))]
        data = self._http.send(h11.Request(method=method, target=target, headers=fields)) or b""
        if content:
            data += self._http.send(h11.Data(data=content)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        self._socket.settimeout(seconds_left(deadline))
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise no_answer(self.pid, self.where) from None
        except OSError:
            pass  # it has closed its end: the reason may be in an answer that it has sent before

    def head(self, deadline: float) -> h11.Response:
        """Return the head of the answer. Raises NoAnswer, ConnectionLost or BadReply."""
        while True:
            event = self._next(deadline)
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise BadReply(self.who, "it has no head")

    def data(self, deadline: float) -> bytes:
        """Return the next piece of the body; b"" at its end. Raises as `head`; TimeoutError at the deadline.

        After the deadline it still returns what is there.
        """
        event = self._next(deadline, is_stream=True)
        if isinstance(event, h11.Data):
            return bytes(event.data) or self.data(deadline)
        return b""

    def body(self, response: h11.Response, deadline: float) -> dict[str, Any]:
        """Return the whole body, which is a JSON object. Raises as `head`."""
        self.check_type(response, "application/json")
        pieces, size = [], 0
        while True:
            event = self._next(deadline)
            if not isinstance(event, h11.Data):
                break
            pieces.append(bytes(event.data))
            size += len(pieces[-1])
            if size > _MOST_BODY_BYTES:
                raise BadReply(self.who, f"it has more than {_MOST_BODY_BYTES:,} bytes")
        try:
            return read_object(b"".join(pieces))
        except ValueError as error:
            raise BadReply(self.who, str(error)) from None

    def check_type(self, response: h11.Response, expected: str) -> None:
        """Raise BadReply if the answer is of another type."""
        types = [value for name, value in response.headers if name == b"content-type"]
        found = types[0].decode("latin-1").partition(";")[0].strip().lower() if types else ""
        if found != expected:
            raise BadReply(self.who, f"its type is {found!r}, expected {expected!r}")

    def _next(self, deadline: float, *, is_stream: bool = False) -> Any:
        """Return the next event of h11."""
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                if self._http.trailing_data[1]:  # the peer has closed its end in the middle
                    raise ConnectionLost(self.pid, self.where) from None
                too_long = error.error_status_hint == _HEAD_TOO_LONG
                why = f"its head has more than {_MOST_HEAD_BYTES:,} bytes" if too_long else "it is not HTTP"
                raise BadReply(self.who, why) from None
            if isinstance(event, h11.ConnectionClosed):
                raise ConnectionLost(self.pid, self.where)
            if event is not h11.NEED_DATA:
                return event
            self._http.receive_data(self._receive(deadline, is_stream=is_stream))

    def _receive(self, deadline: float, *, is_stream: bool) -> bytes:
        self._socket.settimeout(seconds_left(deadline))
        try:
            # A peer that sends without end would never let `recv` time out. A follower asks for what is there.
            if mono() >= deadline and not is_stream:
                raise TimeoutError
            return self._socket.recv(_PIECE_BYTES)
        except TimeoutError:
            if is_stream:
                raise
            raise no_answer(self.pid, self.where) from None
        except OSError:  # it was reset
            raise ConnectionLost(self.pid, self.where) from None
