"""Socket calls that a cancellation wakes: recv, accept, connect.

`close()` from another thread does not wake a blocked socket call, and after `shutdown()` the call returns as if the
peer had ended the stream. So these functions wait for the socket and for the token's descriptor at the same time. The
socket may be blocking or not; its own timeout applies.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from typing import TYPE_CHECKING, Any

from taskloom.clock import mono
from taskloom.errors import Cancelled
from taskloom.waiting.event_loops import refuse_event_loop

if TYPE_CHECKING:
    from taskloom.task import Context

__all__ = ["accept", "connect", "recv"]

# If the backlog of a unix socket is full, connect fails with EAGAIN, and no descriptor shows when there is room again.
_RETRY_SECONDS = 0.02
# poll() can wait 24 days at most: a longer wait is made of several.
_LONGEST_WAIT_SECONDS = 86400.0


def recv(ctx: Context, sock: socket.socket, size: int) -> bytes:
    """Receive up to `size` bytes; b"" at the peer's end of file. Raises Cancelled, TimeoutError, OSError."""
    refuse_event_loop(ctx, "recv")
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
    refuse_event_loop(ctx, "accept")
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
    refuse_event_loop(ctx, "connect")
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


def _deadline(sock: socket.socket) -> float | None:
    timeout = sock.gettimeout()
    # A non-blocking socket (0.0) has no deadline: the caller uses these functions because it wants to wait.
    return mono() + timeout if timeout else None


def _wait_for(ctx: Context, sock: socket.socket, events: int, deadline: float | None) -> None:
    """Block until the socket has one of the events. Raises Cancelled, TimeoutError, OSError for a closed socket."""
    if sock.fileno() < 0:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
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
