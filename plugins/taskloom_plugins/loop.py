"""An event loop over all sockets of a run, its cancellation, and deadlines."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

from taskloom import Context
from taskloom_plugins.endpoints import EndpointError, explain

__all__ = ["Loop", "Timed"]


class Timed(Protocol):
    """A part of a run that has to be called at a certain time."""

    @property
    def deadline(self) -> float:
        """The time of the next call, in seconds of `time.monotonic`; infinity for none."""

    def tick(self, now: float) -> None:
        """Called on the run's thread once the deadline has passed."""


class Loop:
    """Calls a handler whenever its socket is readable; ends as soon as the run is cancelled."""

    def __init__(self, ctx: Context) -> None:
        """Raise EndpointError if the system has no descriptor left."""
        self._ctx = ctx
        # Used directly, because the Python code of `selectors` takes half as much time as a small read itself.
        try:
            self._epoll = select.epoll()
        except OSError as error:
            raise EndpointError(f"cannot watch sockets: {explain(error)}") from None
        self._handlers: dict[int, Callable[[], None]] = {ctx.fileno(): _do_nothing}
        self._epoll.register(ctx.fileno(), select.EPOLLIN)

    def __enter__(self) -> Loop:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._epoll.close()

    def watch(self, sock: socket.socket, handler: Callable[[], None]) -> None:
        """Call the handler, on the run's thread, whenever the socket is readable or broken."""
        self._epoll.register(sock, select.EPOLLIN)
        self._handlers[sock.fileno()] = handler

    def unwatch(self, sock: socket.socket) -> None:
        """Stop watching the socket. Has to be called before the socket is closed."""
        self._epoll.unregister(sock)
        del self._handlers[sock.fileno()]

    def run(self, parts: Sequence[Timed], is_over: Callable[[], bool] = lambda: False) -> None:
        """Call handlers and `tick` until the run is cancelled or `is_over` returns True.

        Polls the cancellation at least once per poll interval, so that a reader without input counts as alive.
        """
        poll, handlers, clock = self._epoll.poll, self._handlers, time.monotonic
        interval = self._ctx.poll_interval
        now = clock()
        while not (self._ctx.cancelled or is_over()):
            deadline = min([part.deadline for part in parts])
            for descriptor, _ in poll(max(0.0, min(interval, deadline - now))):
                # An earlier handler of this round may have removed this one.
                handlers.get(descriptor, _do_nothing)()
            now = clock()
            for part in parts:
                if part.deadline <= now:
                    part.tick(now)


def _do_nothing() -> None:
    """The handler of the cancellation, which the loop checks itself."""
