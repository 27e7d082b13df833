"""One connection of the control server, without its socket: bytes in, requests and bytes out, and a deadline.

Every client is the same user, or root; but it may be broken, slow or stopped, so everything is bounded:

- The head of a request and its body have to arrive within REQUEST_SECONDS, counted from its first byte (for the first
  request: from the start of the connection). A head has at most HEAD_BYTES, a body BODY_BYTES.
- While a reply is written, no further request is read: what a client sends meanwhile waits in the kernel.
- A client that reads nothing for STALL_SECONDS, although there is something to read, is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum
from math import inf

import h11

from taskloom.control.exchange import Caller, Reply, Request, ServerSentEvent
from taskloom.control.refusals import Refusal, error_reply
from taskloom.control.target import parse_target
from taskloom.text import duration, to_json

__all__ = ["BODY_BYTES", "HEAD_BYTES", "IDLE_SECONDS", "REQUEST_SECONDS", "STALL_SECONDS", "Connection", "Phase"]

HEAD_BYTES, BODY_BYTES = 16 << 10, 1 << 20
# For a head with its body, absolute: a client that sends a byte a second gets no more.
REQUEST_SECONDS = 10.0
STALL_SECONDS = 10.0
# How long a connection may wait for its next request.
IDLE_SECONDS = 60.0
# After an early refusal the rest of the request is read for this long. The client may only read the refusal after it
# has written its request; if we closed at once, its write would fail instead.
LINGER_SECONDS = 2.0
# Read from the socket at a time, and kept while it cannot be parsed yet.
PIECE_BYTES = 64 << 10
# The parts of a request, mostly chunks. About 10 ms of work for those of one byte, of which a body may have a million.
PARTS_AT_ONCE = 500
# A stream gets no more events while more than this waits to be read.
STREAM_BYTES = 64 << 10

_JSON = [("content-type", "application/json"), ("cache-control", "no-store")]
_TEXT = [("cache-control", "no-store")]
_EVENTS = [("content-type", "text/event-stream"), ("cache-control", "no-store")]


class Phase(Enum):
    """The stages of a connection."""

    IDLE = "idle"
    """It waits for a further request."""
    READING = "reading"
    """A request arrives; or the first one is awaited."""
    ANSWERING = "answering"
    """A request is being answered, perhaps for a long time."""
    STREAMING = "streaming"
    """Events are sent."""
    LINGERING = "lingering"
    """A refusal was sent before the whole request had arrived; the rest is thrown away."""
    CLOSED = "closed"
    """Nothing more is read or sent. Its socket is to be closed."""


class Connection:
    """One connection. `now` is always the monotonic second at which the method is called."""

    def __init__(self, caller: Caller, now: float, *, is_last: bool = False) -> None:
        self.caller = caller
        self.phase = Phase.READING
        # Whether the connection ends with its first reply.
        self._is_last = is_last
        self.has_more = False
        """Whether `next_request` is to be called again although nothing more has arrived: others have their turn."""
        self._http = self._make_http()
        self._input = bytearray()
        self._is_input_over = False
        self._is_eof_passed_on = False
        self._output: deque[bytes] = deque()
        self._offset = 0
        self._output_bytes = 0
        self._request: h11.Request | None = None
        # The latest request.
        self._method = ""
        self._body = bytearray()
        self._read_until = now + REQUEST_SECONDS
        self._write_until = inf

    @staticmethod
    def _make_http() -> h11.Connection:
        return h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)

    # -- what the server asks

    @property
    def wants_input(self) -> bool:
        """Whether bytes of the client can be used now."""
        if self._is_input_over or self.phase is Phase.CLOSED:
            return False
        return self.phase is Phase.LINGERING or len(self._input) < PIECE_BYTES

    @property
    def deadline(self) -> float:
        """The monotonic second at which `expire` is to be called."""
        if self.phase is Phase.CLOSED:
            return inf
        waits = self.phase in (Phase.ANSWERING, Phase.STREAMING)
        return self._write_until if waits else min(self._read_until, self._write_until)

    @property
    def output_bytes(self) -> int:
        """How many bytes wait to be sent."""
        return self._output_bytes

    @property
    def can_give_way(self) -> bool:
        """Whether it may be closed in favour of a new connection: it waits for a further request."""
        return self.phase is Phase.IDLE and not self._output_bytes

    @property
    def idle_since(self) -> float:
        """The monotonic second at which it became idle; only if it is."""
        return self._read_until - IDLE_SECONDS

    # -- bytes

    def receive(self, data: bytes) -> None:
        """Take what was read from the socket; b"" is the end."""
        if not data:
            self._is_input_over = True
            if self.phase is Phase.LINGERING and not self._output_bytes:
                self.close()
        elif self.phase is not Phase.LINGERING:
            self._input += data

    def pending(self) -> memoryview:
        """Return the next bytes to send; none if all are sent."""
        if not self._output:
            return memoryview(b"")
        return memoryview(self._output[0])[self._offset :]

    def sent(self, count: int, now: float) -> None:
        """Note that this number of the pending bytes was sent."""
        self._offset += count
        self._output_bytes -= count
        if self._output and self._offset >= len(self._output[0]):
            self._output.popleft()
            self._offset = 0
        self._write_until = now + STALL_SECONDS if self._output_bytes else inf
        if not self._output_bytes:
            self._all_sent(now)

    def expire(self, now: float) -> None:
        """Do what is due: refuse a request that did not arrive in time, or close the connection."""
        if now < self.deadline:
            return
        if self.phase is Phase.READING and self._has_begun() and now < self._write_until:
            self._refuse(408, "too-slow", f"the request did not arrive within {duration(REQUEST_SECONDS)}", now)
        else:
            self.close()

    def close(self) -> None:
        """Forget everything; idempotent."""
        self.phase = Phase.CLOSED
        self._input.clear()
        self._output.clear()
        self._output_bytes = self._offset = 0

    # -- requests

    def next_request(self, now: float) -> Request | None:
        """Parse what has arrived, and return a request that is complete; None if there is none to answer now."""
        self.has_more = False
        for _ in range(PARTS_AT_ONCE):
            if self.phase not in (Phase.IDLE, Phase.READING) or self._is_replying():
                return None
            try:
                event = self._next_event()
            except h11.RemoteProtocolError as error:
                why = str(error).partition(": bytearray(")[0]  # of a whole line, with its NULs
                self._refuse(error.error_status_hint, _CODES.get(error.error_status_hint, "bad-request"),
                             f"cannot read the request: {why}", now)  # fmt: skip
                return None
            if event is h11.NEED_DATA:
                self._note_arrival(now)
                return None
            if isinstance(event, h11.Request):
                self._note_arrival(now, is_certain=True)
                self._begin(event, now)
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > BODY_BYTES:
                    self._refuse_body(now)
            elif isinstance(event, h11.EndOfMessage):
                return self._complete(now)
            else:  # the end of the connection
                self.close()
        self.has_more = True
        return None

    def _is_replying(self) -> bool:
        """Return whether a reply is being written. `100 Continue` is none: the body arrives after it."""
        return self._output_bytes > 0 and self._request is None

    def _next_event(self) -> object:
        """Return the next event of h11. It never holds more than HEAD_BYTES, so that this is the limit of a head."""
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA and event is not h11.PAUSED:
                return event
            room = HEAD_BYTES - len(self._http.trailing_data[0])
            if self._input and room > 0:
                self._http.receive_data(bytes(self._input[:room]))
                del self._input[:room]
            elif room <= 0 and event is h11.NEED_DATA:
                raise h11.RemoteProtocolError(f"its head has more than {HEAD_BYTES >> 10} KiB", error_status_hint=431)
            elif self._is_input_over and not self._is_eof_passed_on:
                self._is_eof_passed_on = True
                self._http.receive_data(b"")
            else:
                return h11.NEED_DATA

    def _has_begun(self) -> bool:
        return self._request is not None or bool(self._input) or bool(self._http.trailing_data[0])

    def _note_arrival(self, now: float, *, is_certain: bool = False) -> None:
        """Set the deadline of a request with its first byte."""
        if self.phase is Phase.IDLE and (is_certain or self._has_begun()):
            self.phase = Phase.READING
            self._read_until = now + REQUEST_SECONDS

    def _begin(self, request: h11.Request, now: float) -> None:
        self._request = request
        self._method = request.method.decode("latin-1")
        self._body.clear()
        headers = dict(request.headers)
        length = headers.get(b"content-length")
        if length is not None and b"transfer-encoding" in headers:
            # A proxy may use the one, and we the other: the rest of the body would be another request.
            message = "cannot read the request: it has both Content-Length and Transfer-Encoding"
            self._refuse(400, "bad-request", message, now)
        elif int(length or 0) > BODY_BYTES:
            self._refuse_body(now)
        elif self._http.they_are_waiting_for_100_continue:
            self._put(self._http.send(h11.InformationalResponse(status_code=100, headers=[])), now)

    def _complete(self, now: float) -> Request | None:
        request = self._request
        assert request is not None
        self._request = None
        self.phase = Phase.ANSWERING
        try:
            path, query = parse_target(request.target)
        except ValueError as error:
            self.reply(refusal(400, "bad-target", str(error)), now)
            return None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
        body = bytes(self._body)
        self._body.clear()
        return Request(self._method, path, query, headers, body, self.caller)

    # -- replies

    def reply(self, reply: Reply, now: float) -> None:
        """Answer the request. Raises ValueError or TypeError, and sends nothing, if the reply cannot be written."""
        if reply.content is not None:
            kind, body = _TEXT, reply.content
        elif reply.text is None:
            kind, body = _JSON, (to_json(reply.body) + "\n").encode()
        else:
            kind, body = _TEXT, reply.text.encode()
        headers = [*kind, ("content-length", str(len(body))), *reply.headers.items()]
        self._send_reply(reply.status, headers, body, now)

    def begin_stream(self, now: float) -> None:
        """Answer the request by a stream of events."""
        response = h11.Response(status_code=200, headers=self._headers(_EVENTS))
        self._put(self._http.send(response), now)
        if self._is_head():
            self.end_stream(now)
        else:
            self.phase = Phase.STREAMING

    def send_events(self, events: Iterable[ServerSentEvent], now: float) -> None:
        """Send events of the stream."""
        text = "".join(_event_text(event) for event in events)
        if text:
            self._put(self._http.send(h11.Data(data=text.encode())), now)

    def end_stream(self, now: float) -> None:
        """End the stream; the connection may go on with another request."""
        self.phase = Phase.ANSWERING
        self._put(self._http.send(h11.EndOfMessage()), now)
        if not self._output_bytes:
            self._all_sent(now)

    @property
    def wants_events(self) -> bool:
        """Whether events of the stream should be sent now: few bytes are waiting to be read."""
        return self.phase is Phase.STREAMING and self._output_bytes < STREAM_BYTES

    def _send_reply(self, status: int, headers: list[tuple[str, str]], body: bytes, now: float) -> None:
        response = h11.Response(status_code=status, headers=self._headers(headers))
        self._put(self._http.send(response), now)
        if not self._is_head():
            self._put(self._http.send(h11.Data(data=body)), now)
        self._put(self._http.send(h11.EndOfMessage()), now)

    def _headers(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return [*headers, ("connection", "close")] if self._is_last else headers

    def _is_head(self) -> bool:
        return self._method == "HEAD"

    def _refuse(self, status: int, code: str, message: str, now: float) -> None:
        """Refuse a request that has not arrived completely, and close the connection after that."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.close()
            return
        self._is_last = True
        self._request = None
        self._input.clear()
        self._body.clear()
        self.phase = Phase.LINGERING
        self._read_until = now + LINGER_SECONDS
        self.reply(refusal(status, code, message), now)

    def _refuse_body(self, now: float) -> None:
        self._refuse(413, "too-large", f"the body has more than {BODY_BYTES >> 20} MiB", now)

    def _put(self, data: bytes | None, now: float) -> None:
        if data:
            if not self._output_bytes:
                self._write_until = now + STALL_SECONDS
            self._output.append(data)
            self._output_bytes += len(data)

    def _all_sent(self, now: float) -> None:
        """Go on after a reply was sent completely."""
        if self.phase is Phase.LINGERING:
            if self._is_input_over:
                self.close()
        elif self.phase is Phase.ANSWERING and self._http.our_state is not h11.SEND_RESPONSE:
            if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
                self._http.start_next_cycle()
                self.phase = Phase.IDLE
                self._read_until = now + IDLE_SECONDS
            else:
                self.close()


_CODES = {431: "too-large-head", 501: "not-implemented"}


def refusal(status: int, code: str, message: str) -> Reply:
    """Return the reply that says why a request is not carried out."""
    return error_reply(Refusal(status, code, message))


def _event_text(event: ServerSentEvent) -> str:
    own = f"id: {event.id}\n" if event.id else ""
    return f"event: {event.event}\n{own}data: {to_json(event.data)}\n\n"
