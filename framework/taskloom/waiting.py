"""Blocking calls that a cancellation wakes within a millisecond: recv, accept, connect, get.

They take the context and raise `Cancelled`. `close()` from another thread does not wake a blocked socket call, and
after `shutdown()` the call returns as if the peer had ended the stream. So these functions wait for the socket and for
the token's descriptor at the same time. The socket may be blocking or not; its own timeout applies.
"""

from __future__ import annotations

import errno
import os
import queue
import select
import socket
from _thread import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

from taskloom.clock import mono
from taskloom.errors import Cancelled
from taskloom.sync.cancel_token import lock_timeout

if TYPE_CHECKING:
    from taskloom.task import Context

__all__ = ["accept", "connect", "get", "recv"]

Item = TypeVar("Item")

# If the backlog of a unix socket is full, connect fails with EAGAIN, and no descriptor shows when there is room again.
_RETRY_SECONDS = 0.02
# poll() can wait 24 days and a lock 292 years at most: a longer wait is made of several.
_LONGEST_WAIT_SECONDS = 86400.0


def recv(ctx: Context, sock: socket.socket, size: int) -> bytes:
    """Receive up to `size` bytes; b"" at the peer's end of file. Raises Cancelled, TimeoutError, OSError."""
    _refuse_event_loop(ctx, "recv")
    deadline = _deadline(sock)
    if deadline is not None:
        # A socket with a timeout waits inside its own recv in spite of the flag, and no cancellation wakes it there.
        _wait_for(ctx, sock, select.POLLIN, deadline)
    while True:
        ctx.raise_if_cancelled()
        try:
            return sock.recv(size, socket.MSG_DONTWAIT)
        except BlockingIOError:
            _wait_for(ctx, sock, select.POLLIN, deadline)


def accept(ctx: Context, sock: socket.socket) -> tuple[socket.socket, Any]:
    """Accept a connection; the new socket blocks. Raises Cancelled, TimeoutError, OSError."""
    _refuse_event_loop(ctx, "accept")
    deadline = _deadline(sock)
    while True:
        _wait_for(ctx, sock, select.POLLIN, deadline)
        timeout = sock.gettimeout()
        sock.setblocking(False)
        try:
            return sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            continue  # the peer has gone meanwhile, or another thread was faster
        finally:
            sock.settimeout(timeout)


def connect(ctx: Context, sock: socket.socket, address: Any) -> None:
    """Connect the socket. Raises Cancelled, TimeoutError, OSError. A cancellation does not wake a host name lookup."""
    _refuse_event_loop(ctx, "connect")
    deadline, timeout = _deadline(sock), sock.gettimeout()
    ctx.raise_if_cancelled()
    sock.setblocking(False)
    try:
        code = sock.connect_ex(address)
        while code == errno.EAGAIN and sock.family == socket.AF_UNIX:
            _pause(ctx, deadline)
            code = sock.connect_ex(address)
        if code in (errno.EINPROGRESS, errno.EALREADY):
            _wait_for(ctx, sock, select.POLLOUT, deadline)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    finally:
        sock.settimeout(timeout)


def get(ctx: Context, source: queue.Queue[Item], timeout: float | None = None) -> Item:
    """Take an item from a `queue.Queue`. Raises Cancelled, and queue.Empty after `timeout` seconds."""
    _refuse_event_loop(ctx, "get")
    if not isinstance(source, queue.Queue):
        raise TypeError(f"cannot wait for a {type(source).__name__}; use a queue.Queue, LifoQueue or PriorityQueue")
    lock_timeout(timeout)  # raises ValueError for nan, with which this would be a busy loop
    deadline = None if timeout is None else mono() + timeout

    def wake() -> None:
        with source.not_empty:
            source.not_empty.notify_all()

    handle = ctx.on_cancel(wake)
    try:
        while True:
            _wait_until_filled(ctx, source, deadline)
            try:
                return source.get_nowait()
            except queue.Empty:
                pass  # another consumer was faster
    finally:
        handle.close()


def _wait_until_filled(ctx: Context, source: queue.Queue[Any], deadline: float | None) -> None:
    with source.not_empty:
        while True:
            # While we hold the queue's own lock: a cancellation that comes later finds us waiting, and wakes us.
            ctx.raise_if_cancelled()
            if source._qsize() or getattr(source, "is_shutdown", False):
                return  # from Python 3.13 on a queue can be shut down; then get_nowait() raises
            left = None if deadline is None else deadline - mono()
            if left is not None and left <= 0:
                raise queue.Empty
            source.not_empty.wait(None if left is None else min(left, _LONGEST_WAIT_SECONDS))


def _refuse_event_loop(ctx: Context, name: str) -> None:
    """Raise RuntimeError on the thread of an async task's event loop, which nothing may block."""
    if getattr(ctx, "loop_thread", None) == get_ident():
        raise RuntimeError(
            f"cannot block the thread of the event loop: write `await ctx.to_thread(waiting.{name}, ctx.blocking, ...)`"
        )


def _deadline(sock: socket.socket) -> float | None:
    timeout = sock.gettimeout()
    # A non-blocking socket (0.0) has no deadline: the caller uses these functions because it wants to wait.
    return mono() + timeout if timeout else None


def _wait_for(ctx: Context, sock: socket.socket, events: int, deadline: float | None) -> None:
    """Block until the socket has one of the events. Raises Cancelled, TimeoutError."""
    poller = select.poll()
    poller.register(sock, events)
    poller.register(ctx.fileno(), select.POLLIN)
    while True:
        left = None if deadline is None else max(0.0, deadline - mono())
        ready = poller.poll(None if left is None else min(left, _LONGEST_WAIT_SECONDS) * 1000)
        if ctx.cancelled:
            raise Cancelled
        if ready:
            return
        if left is not None and left <= _LONGEST_WAIT_SECONDS:
            raise TimeoutError("timed out")


def _pause(ctx: Context, deadline: float | None) -> None:
    """Sleep before the next attempt to connect a unix socket. Raises Cancelled, TimeoutError."""
    left = None if deadline is None else deadline - mono()
    if left is not None and left <= 0:
        raise TimeoutError("timed out")
    ctx.sleep(_RETRY_SECONDS if left is None else min(left, _RETRY_SECONDS))
