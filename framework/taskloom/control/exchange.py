"""Requests and their answers, whichever server carries them.

The route table is written in these terms alone, so that the server on the unix socket and another one later can serve
the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any, NamedTuple, Protocol

from taskloom.sync.latch import Latch

__all__ = ["Answer", "Caller", "Deferred", "Reply", "Request", "ServerSentEvent", "Stream"]


class Caller(NamedTuple):
    """The process that sent a request, as the kernel names it."""

    uid: int
    pid: int
    via: str = ""
    """How the request reached this process, if it was not on the socket: `the web page, from 127.0.0.1`."""

    def __str__(self) -> str:
        return self.via or f"uid {self.uid}, pid {self.pid}"


class Request(NamedTuple):
    """One request, already checked for size and time."""

    method: str
    """In capital letters."""
    path: str
    """Percent-decoded, without the query: `/v1/jobs`."""
    query: Mapping[str, tuple[str, ...]]
    """Each name with all its values, percent-decoded."""
    headers: Mapping[str, str]
    """By name in small letters; of several with one name, the last."""
    body: bytes
    caller: Caller


class Reply(NamedTuple):
    """One reply; `body` is JSON data."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = {}
    text: str | None = None
    """Sent in place of the body, if that is not JSON; then `headers` has its content-type."""
    content: bytes | None = None
    """Sent in place of both; the same."""


class Deferred:
    """A reply that comes later. Any thread may complete it."""

    def __init__(self) -> None:
        self._latch = Latch()
        self._reply: Reply | None = None
        self._late: Reply | None = None
        self.deadline = inf
        """The monotonic second at which `expire` is to be called."""
        self.on_change: Callable[[], object] = lambda: None
        """Set by the server: called once the reply or a deadline is there, on the thread that brings it. It must not
        block."""

    @property
    def reply(self) -> Reply | None:
        """The reply; None before it is complete."""
        return self._reply

    @property
    def is_certain(self) -> bool:
        """Whether the reply is there, or comes by a deadline: a server that ends waits for it."""
        return self.deadline < inf or self.reply is not None

    def complete(self, reply: Reply) -> None:
        """Give the reply; idempotent: the first one counts."""
        if self._reply is None:
            self._reply = reply
            self._latch.open()
            self.on_change()

    def complete_by(self, deadline: float, late: Reply) -> None:
        """Give the reply `late` at the monotonic second `deadline`, unless it is complete by then."""
        self._late, self.deadline = late, deadline
        self.on_change()

    def expire(self, now: float) -> None:
        """Give the late reply if its deadline has passed."""
        # Another thread may complete it at the same moment. Then either reply is right, and the server sends one.
        if self._late is not None and now >= self.deadline:
            self.complete(self._late)


class ServerSentEvent(NamedTuple):
    """One event of a stream. `id` is `START.SEQ`, or "" if a resume cannot begin here; `data` is JSON data."""

    event: str
    data: Mapping[str, Any]
    id: str = ""


class Stream(Protocol):
    """A stream of server-sent events. The server takes what is there whenever it was woken."""

    def take(self, most: int) -> Iterable[ServerSentEvent] | None:
        """Return at most `most` events that were not taken before; None at the end. Called on the server's thread."""

    def wake_with(self, wake: Callable[[], object]) -> None:
        """Call `wake` whenever there is something to take. It does not block, and any thread may call it."""

    def close(self) -> None:
        """Forget it: the client has gone. Idempotent."""


Answer = Reply | Deferred | Stream
"""All that a route may give to the server."""
