"""One epoll over all sockets of a run and its cancel, and the deadlines between its turns."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

from taskloom import Context

__all__ = ["Loop", "Timed"]


class Timed(Protocol):
    """A part of a run that wants to be called at some time."""

    @property
    def deadline(self) -> float:
        """When, in seconds of `time.monotonic`; infinity for not now."""

    def tick(self, now: float) -> None:
        """Called on the run's thread once the deadline is over."""


class Loop:
    """Calls a handler whenever its socket is readable; ends with the run's cancel, within a moment."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        # The kernel's own, not `selectors`: that one's work in Python costs half as much again as a small read.
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {ctx.fileno(): _do_nothing}
        self._epoll.register(ctx.fileno(), select.EPOLLIN)

    def __enter__(self) -> Loop:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._epoll.close()

    def watch(self, sock: socket.socket, handler: Callable[[], None]) -> None:
        """Have the handler called, on the run's thread, whenever the socket is readable or broken."""
        self._epoll.register(sock, select.EPOLLIN)
        self._handlers[sock.fileno()] = handler

    def forget(self, sock: socket.socket) -> None:
        """Stop watching; before the socket is closed."""
        self._epoll.unregister(sock)
        del self._handlers[sock.fileno()]

    def run(self, parts: Sequence[Timed], is_over: Callable[[], bool] = lambda: False) -> None:
        """Turn until the run is cancelled or `is_over` says so.

        Turns at least once per poll interval, so that a quiet reader is seen to be alive.
        """
        poll, handlers, clock = self._epoll.poll, self._handlers, time.monotonic
        interval = self._ctx.poll_interval
        now = clock()
        while not (self._ctx.cancelled or is_over()):
            deadline = min([part.deadline for part in parts])
            for descriptor, _ in poll(max(0.0, min(interval, deadline - now))):
                # A handler that ran a moment ago may have forgotten this one.
                handlers.get(descriptor, _do_nothing)()
            now = clock()
            for part in parts:
                if part.deadline <= now:
                    part.tick(now)


def _do_nothing() -> None:
    """Stand for the cancel, which the loop looks at by itself."""
