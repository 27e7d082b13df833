"""One client of the control server: its socket, its connection, and what it is waiting for. On the control thread."""

from __future__ import annotations

import _socket
import select
import socket
from collections.abc import Callable
from math import inf

from taskloom.control.connection import Connection, Phase, refusal
from taskloom.control.exchange import Answer, Caller, Deferred, Reply, Request, Stream
from taskloom.control.slow_answers import SlowAnswers
from taskloom.sync.own_socket import OwnSocket
from taskloom.text import to_json

__all__ = ["Session", "refuse_one_more"]

_PIECE_BYTES = 64 << 10
# Events that a stream gives at a time.
_EVENTS = 200
# Pieces of work for one client before the others have their turn.
_ROUNDS = 16
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL
_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL

_BUG = refusal(500, "internal-error", "a bug in Taskloom; the program's log has more")


class Session:
    """One client.

    `answer` is called with each request; `failed` with what it raises; `wake` lets the server call `advance` soon.
    `wake` may be called by any thread and must not block. A request for which `is_slow` returns True is answered by
    `answer_postponed` alone; the server, told by `postpone`, calls it once the requests of other clients are answered.
    """

    def __init__(
        self,
        sock: _socket.socket,
        caller: Caller,
        now: float,
        *,
        answer: Callable[[Request], Answer],
        failed: Callable[[Request, BaseException], object],
        wake: Callable[[Session], object],
        postpone: Callable[[Session], object],
        is_slow: Callable[[Request], bool],
        is_last: bool = False,
    ) -> None:
        self.sock = sock
        self._own = OwnSocket(sock)
        # While it is counted on the reserve of descriptors, its socket's goes back there.
        self.is_on_reserve = is_last
        self._answer = answer
        self._failed = failed
        self._wake = wake
        self._postpone = postpone
        self._is_slow = is_slow
        # The request that waits for `answer_postponed`.
        self._postponed: Request | None = None
        self._connection = Connection(caller, now, is_last=is_last)
        self._stream: Stream | None = None
        self._deferred: Deferred | None = None
        if sock.gettimeout():  # of socket.setdefaulttimeout: it would wait for the client
            sock.setblocking(False)

    @property
    def deadline(self) -> float:
        """The monotonic second at which `expire` is to be called."""
        if self._deferred is not None:
            return min(self._connection.deadline, self._deferred.deadline)
        return self._connection.deadline

    @property
    def is_over(self) -> bool:
        """Whether the socket is to be closed."""
        return self._connection.phase is Phase.CLOSED

    @property
    def interest(self) -> int:
        """The events to poll the socket for. That the client has gone is noticed even with nothing."""
        reading = select.POLLIN if self._connection.wants_input else 0
        return reading | (select.POLLOUT if self._connection.output_bytes else 0)

    @property
    def idle_since(self) -> float | None:
        """The monotonic second since which it waits for a further request; None if it does not."""
        return self._connection.idle_since if self._connection.can_give_way else None

    @property
    def is_waiting(self) -> bool:
        """Whether it follows a stream, or waits for an answer that may take for ever."""
        return self._stream is not None or self._deferred is not None

    @property
    def is_due(self) -> bool:
        """Whether a reply is still being sent, or can be sent now or at a deadline."""
        is_certain = self._deferred is not None and self._deferred.is_certain
        is_awaited = is_certain or self._postponed is not None
        return not self.is_over and (self._connection.output_bytes > 0 or is_awaited)

    def handle(self, events: int, now: float) -> None:
        """Do what `poll` has found."""
        if not self.is_open:
            self.drop()
            return
        if events & _GONE and self._connection.phase not in (Phase.IDLE, Phase.READING):
            self.drop()
            return
        if events & (select.POLLIN | _GONE):
            self._read()
        self.advance(now)

    def expire(self, now: float) -> None:
        """Do what is due at the deadline."""
        self._connection.expire(now)
        if self._deferred is not None:
            self._deferred.expire(now)
        self.advance(now)

    def expire_reply(self, now: float) -> None:
        """Send a reply that has a deadline now: the server ends."""
        if self._deferred is not None and self._deferred.deadline < inf:
            self._deferred.expire(inf)
            self.advance(now)

    def advance(self, now: float) -> None:
        """Send and answer as much as is possible without waiting."""
        if not self.is_open:
            self.drop()
            return
        for _ in range(_ROUNDS):
            self._write(now)
            if not self._do_next(now):
                break
        else:
            self._wake(self)
        self._write(now)
        if self.is_over:
            self.drop()

    def answer_postponed(self, now: float, answers: SlowAnswers) -> None:
        """Have the request answered that was postponed, if there is one."""
        request, self._postponed = self._postponed, None
        if request is not None and not self.is_over:
            self._begin(request, now, lambda request: answers.begin(request, _BUG))
            self.advance(now)

    def drop(self) -> None:
        """Forget the client. The server closes the socket."""
        self._connection.close()
        self._postponed = None
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        deferred, self._deferred = self._deferred, None
        if deferred is not None:
            deferred.on_change = _nothing

    def close(self) -> None:
        """Close its socket. Raises nothing."""
        self._own.close()

    @property
    def is_open(self) -> bool:
        """Whether its socket is open: code that closes all descriptors closes this one, too."""
        return self._own.is_ours()

    # -- the socket

    def _read(self) -> None:
        try:
            self._connection.receive(self.sock.recv(_PIECE_BYTES, _FLAGS))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._connection.close()

    def _write(self, now: float) -> None:
        while self._connection.output_bytes:
            try:
                count = self.sock.send(self._connection.pending(), _FLAGS)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # the client has gone, or a task has closed the descriptor
                self._connection.close()
                return
            self._connection.sent(count, now)

    # -- requests

    def _do_next(self, now: float) -> bool:
        """Do one piece of work; return False if there is none."""
        if self.is_over:
            return False
        if self._stream is not None:
            return self._send_events(self._stream, now)
        if self._deferred is not None:
            try:
                reply = self._deferred.reply
            except BaseException as error:  # noqa: BLE001 - one that is made now, as below
                self._failed(self._request, error)
                reply = _BUG
            if reply is None:
                return False
            self._deferred = None
            self._reply(reply, now)
            return True
        before = self._connection.output_bytes
        request = self._connection.next_request(now)
        if self._connection.has_more:
            self._wake(self)
            return False
        if request is not None and self._is_slow(request):
            self._postponed = request
            self._postpone(self)
            return False
        if request is not None:
            self._begin(request, now, self._answer)
        return request is not None or self._connection.output_bytes > before

    def _begin(self, request: Request, now: float, begin: Callable[[Request], Answer]) -> None:
        try:
            answer = begin(request)
        except BaseException as error:  # noqa: BLE001 - a bug of ours, or a lack of memory; the next request is served
            self._failed(request, error)
            answer = _BUG
        if isinstance(answer, Reply):
            self._request = request
            self._reply(answer, now)
        elif isinstance(answer, Deferred):
            self._request = request
            self._deferred = answer
            answer.on_change = lambda: self._wake(self)
            if answer.deadline < inf or answer.reply is not None:  # changed before that line
                self._wake(self)
        else:
            self._request = request
            self._stream = answer
            self._connection.begin_stream(now)
            if self._connection.phase is Phase.STREAMING:
                answer.wake_with(lambda: self._wake(self))
            else:  # the reply to HEAD
                self._stream = None
                answer.close()

    def _reply(self, reply: Reply, now: float) -> None:
        try:
            self._connection.reply(reply, now)
        except Exception as error:  # noqa: BLE001 - data that JSON does not have
            self._failed(self._request, error)
            self._connection.reply(_BUG, now)

    def _send_events(self, stream: Stream, now: float) -> bool:
        """Send what the stream has; return whether it had anything."""
        if not self._connection.wants_events:
            return False
        try:
            events = stream.take(_EVENTS)
            sent = None if events is None else list(events)
            if sent:
                self._connection.send_events(sent, now)
        except BaseException as error:  # noqa: BLE001 - the same
            self._failed(self._request, error)
            self.drop()
            return False
        if sent is None:
            self._stream = None
            stream.close()
            self._connection.end_stream(now)
        return sent is None or bool(sent)


def refuse_one_more(sock: _socket.socket, most: int) -> None:
    """Say that `most` clients are served already. Waits for nothing, and reads nothing."""
    reply = refusal(503, "too-many-connections", f"{most} clients are served already; try again")
    body = (to_json(reply.body) + "\n").encode()
    head = f"HTTP/1.1 {reply.status} \r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    try:
        sock.send(f"{head}connection: close\r\n\r\n".encode() + body, _FLAGS)
    except OSError:
        pass  # the client has gone


def _nothing() -> None:
    """Do nothing."""
