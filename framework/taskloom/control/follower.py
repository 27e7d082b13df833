"""Follows a stream of server-sent events, over broken connections and restarts of the program."""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Iterator
from math import inf

from taskloom.clock import mono
from taskloom.control.client_call import Call
from taskloom.control.client_errors import BadReply, ConnectionLost, ControlError, NoAnswer, NoProgram, Refused
from taskloom.control.exchange import ServerSentEvent
from taskloom.control.finding import Program
from taskloom.control.sse_parser import EventParser

__all__ = ["PATIENCE_SECONDS", "Follower"]

PATIENCE_SECONDS = 30.0
"""For so long a program may be away, such as for a restart by a service manager, before a follower gives up."""

# A restart of a program takes about a second; a socket that was removed is made again within ten.
_FIRST_DELAY_SECONDS, _MOST_DELAY_SECONDS = 0.1, 2.0
_OVERLOADED = 503
# No wait of the kernel takes an infinite time.
_LONGEST_WAIT_SECONDS = 3600.0


def _pause(seconds: float) -> None:
    """Wait for a time in which there is nothing to wait for. A signal's handler is called at once."""
    select.select([], [], [], seconds)


def _ignore(*_: object) -> None:
    """Do nothing."""


class Follower:
    """The events of a stream, in order. Iterate over it, or `take` them one by one with a timeout.

    After a lost connection it goes on where it was; if something is missing between, the program sends an event `gap`.
    `on_lost` is called with the reason when the connection is lost, and `on_found` when there is another. Used by one
    thread; close it at the end.
    """

    def __init__(
        self,
        opened: Callable[[str, float], Call],
        program: Program,
        seconds: float,
        *,
        patience: float = PATIENCE_SECONDS,
        pause: Callable[[float], None] = _pause,
    ) -> None:
        self._opened, self._program, self._seconds = opened, program, seconds
        self._patience, self._pause = patience, pause
        self.last_id = ""
        """The id of the last event that had one: a later stream goes on there."""
        self.on_lost: Callable[[ControlError], object] = _ignore
        self.on_found: Callable[[], object] = _ignore
        self._call: Call | None = None
        self._parser = EventParser()
        self._events: deque[ServerSentEvent] = deque()
        # Set while the program is away: since when, and when to try again.
        self._lost_at: float | None = None
        self._retry_at, self._delay = 0.0, _FIRST_DELAY_SECONDS

    @property
    def is_lost(self) -> bool:
        """Whether the connection was lost, and there is no other yet."""
        return self._lost_at is not None

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Idempotent."""
        if self._call is not None:
            self._call.close()
            self._call = None

    def __iter__(self) -> Iterator[ServerSentEvent]:
        """Yield the events without end; `end` is the last before the program ends, and then the caller leaves."""
        while True:
            event = self.take()
            if event is not None:
                yield event

    def open(self) -> None:
        """Connect now, so that a refusal is raised here. Otherwise the first `take` does it."""
        if self._call is None:
            self._connect(mono() + self._seconds)

    def take(self, timeout: float = inf) -> ServerSentEvent | None:
        """Return the next event; None after `timeout` seconds.

        Raises Refused if the program refuses the stream, and another ControlError if it cannot be reached: at the first
        attempt at once, later after its patience.
        """
        deadline = mono() + timeout
        while not self._events:
            try:
                if not self._is_open(deadline):
                    return None
                self._read(deadline)
            except TimeoutError:
                pass
            except (ConnectionLost, NoProgram, NoAnswer) as error:
                self._lose(error)
            if not self._events and mono() >= deadline:
                return None
        event = self._events.popleft()
        self._delay = _FIRST_DELAY_SECONDS
        self.last_id = event.id or self.last_id
        return event

    def _is_open(self, deadline: float) -> bool:
        """Connect if that is due; return False if the deadline comes first."""
        if self._call is not None:
            return True
        if self._lost_at is None:
            self.open()
            return True
        now = mono()
        if self._retry_at > deadline:
            self._pause(max(0.0, deadline - now))
            return False
        if self._retry_at > now:
            self._pause(self._retry_at - now)
        try:
            self._connect(min(mono() + self._seconds, max(deadline, mono() + _FIRST_DELAY_SECONDS)))
        except Refused as error:
            if error.status != _OVERLOADED:
                raise
            raise ConnectionLost(self._program.pid, self._program.socket) from error
        self._lost_at = None
        self.on_found()
        return True

    def _connect(self, deadline: float) -> None:
        self._parser = EventParser()
        self._call = self._opened(self.last_id, deadline)

    def _read(self, deadline: float) -> None:
        call = self._call
        assert call is not None
        piece = call.data(min(deadline, mono() + _LONGEST_WAIT_SECONDS))
        if not piece:
            raise ConnectionLost(call.pid, call.where)
        try:
            self._events.extend(self._parser.feed(piece))
        except ValueError as error:
            self.close()
            raise BadReply(call.who, str(error)) from None

    def _lose(self, error: ControlError) -> None:
        """Note that the connection is lost; raise the error if there never was one, or it is away for too long."""
        is_first = self._call is None and self._lost_at is None
        was_open = self._call is not None
        self.close()
        now = mono()
        if is_first:
            raise error
        if was_open:
            self._lost_at = now
            self.on_lost(error)
        elif self._lost_at is not None and now - self._lost_at >= self._patience:
            raise error
        self._retry_at = now + self._delay
        self._delay = min(self._delay * 2, _MOST_DELAY_SECONDS)
