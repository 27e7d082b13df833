"""One selector over all sockets of a run and its cancel, and the deadlines between its turns."""

from __future__ import annotations

import selectors
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
        self._selector = selectors.DefaultSelector()
        self._selector.register(ctx.fileno(), selectors.EVENT_READ, None)

    def __enter__(self) -> Loop:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._selector.close()

    def watch(self, sock: socket.socket, handler: Callable[[], None]) -> None:
        """Have the handler called, on the run's thread, whenever the socket is readable."""
        self._selector.register(sock, selectors.EVENT_READ, handler)

    def forget(self, sock: socket.socket) -> None:
        """Stop watching; before the socket is closed."""
        self._selector.unregister(sock)

    def run(self, parts: Sequence[Timed], is_over: Callable[[], bool] = lambda: False) -> None:
        """Turn until the run is cancelled or `is_over` says so.

        Turns at least once per poll interval, so that a quiet reader is seen to be alive.
        """
        select, interval = self._selector.select, self._ctx.poll_interval
        while not (self._ctx.cancelled or is_over()):
            deadline = min(part.deadline for part in parts)
            for key, _ in select(max(0.0, min(interval, deadline - time.monotonic()))):
                if key.data is not None:
                    key.data()
            now = time.monotonic()
            for part in parts:
                if part.deadline <= now:
                    part.tick(now)
