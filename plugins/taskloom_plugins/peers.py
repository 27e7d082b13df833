"""The open stream connections of a run: reads them, watches their deadlines, closes them."""

from __future__ import annotations

import contextlib
import math
import socket
import time

from taskloom import Context
from taskloom_plugins.endpoints import explain
from taskloom_plugins.framing import Framer
from taskloom_plugins.intake import Intake
from taskloom_plugins.loop import Loop

__all__ = ["READ_BYTES", "Peer", "Peers"]

# Large reads, because each read has fixed costs.
READ_BYTES = 256 * 1024
"""The most bytes that one read takes from a connection."""
# Then the next peer is read, so that a peer that never stops sending does not starve the others.
_READS_PER_CALL = 4

# A silent peer whose machine is gone is detected after two minutes.
_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


class Peer:
    """One connection."""

    __slots__ = ("frame_deadline", "framer", "idle_deadline", "is_open", "sock", "source")

    def __init__(self, sock: socket.socket, source: str, framer: Framer) -> None:
        self.sock, self.source, self.framer = sock, source, framer
        self.idle_deadline = self.frame_deadline = math.inf
        self.is_open = True

    @property
    def deadline(self) -> float:
        """When it is closed unless more data arrives."""
        return min(self.idle_deadline, self.frame_deadline)


class Peers:
    """All open connections. Every end of a connection is handled and counted here."""

    def __init__(self, ctx: Context, loop: Loop, intake: Intake, idle_seconds: float, frame_seconds: float) -> None:
        """A peer may be silent for `idle_seconds`, and a frame may take `frame_seconds`; 0 means no limit."""
        self._ctx, self._loop, self._intake = ctx, loop, intake
        self._idle_seconds, self._frame_seconds = idle_seconds or math.inf, frame_seconds or math.inf
        self._open: set[Peer] = set()
        self.deadline = math.inf
        """Never later than the first deadline of a peer. Data from a peer moves only the peer's own deadline, so a busy
        connection costs nothing here; `tick` checks which deadlines have really passed."""

    def __len__(self) -> int:
        return len(self._open)

    def add(self, sock: socket.socket, source: str) -> None:
        """Add a connected, non-blocking socket; it is closed here."""
        _keep_alive(sock)
        peer = Peer(sock, source, self._intake.new_framer())
        try:
            self._loop.watch(sock, lambda: self._read(peer))
        except OSError as error:  # the system limits how many descriptors a user may watch
            sock.close()
            self._ctx.count("refused")
            self._intake.notices.warn("refused peers", "refused %s: %s", source, explain(error))
            return
        self._open.add(peer)
        self._ctx.count("peers")
        self._update_deadlines(peer, time.monotonic(), has_frame=False)

    def close_all(self) -> None:
        """Close all connections because the run ends. Unfinished frames are counted, not written."""
        for peer in list(self._open):
            self._close(peer, is_orderly=False)

    def tick(self, now: float) -> None:
        """Close the peers whose deadline has passed."""
        for peer in [peer for peer in self._open if peer.deadline <= now]:
            self._ctx.count("timeouts")
            is_idle = peer.idle_deadline <= now
            self._intake.notices.warn(
                "peers that took too long",
                "closing %s: %s",
                peer.source,
                f"silent for {self._idle_seconds:g} s" if is_idle else f"a frame took over {self._frame_seconds:g} s",
            )
            self._close(peer, is_orderly=False)
        self.deadline = min((peer.deadline for peer in self._open), default=math.inf)

    def _read(self, peer: Peer) -> None:
        for _ in range(_READS_PER_CALL):
            if not peer.is_open or self._ctx.cancelled:
                return
            try:
                data = peer.sock.recv(READ_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                self._handle_error(peer, error)
                return
            if not data:
                self._close(peer, is_orderly=True)
                return
            self._feed(peer, data)
            if len(data) < READ_BYTES:
                return  # nothing more is there, so another read would mostly return nothing

    def _feed(self, peer: Peer, data: bytes) -> None:
        has_frame = self._intake.feed(peer.framer, data, peer.source)
        if peer.framer.broken:
            self._intake.report_broken(peer.framer, peer.source)
            self._close(peer, is_orderly=False)
        else:
            self._update_deadlines(peer, time.monotonic(), has_frame=has_frame)

    def _update_deadlines(self, peer: Peer, now: float, *, has_frame: bool) -> None:
        peer.idle_deadline = now + self._idle_seconds
        if not peer.framer.has_partial_frame:
            peer.frame_deadline = math.inf
        elif has_frame or peer.frame_deadline == math.inf:
            # The time of a frame begins with its first byte; further bytes do not extend it.
            peer.frame_deadline = now + self._frame_seconds
        self.deadline = min(self.deadline, peer.deadline)

    def _handle_error(self, peer: Peer, error: OSError) -> None:
        self._ctx.count("resets")
        self._intake.notices.warn("broken connections", "lost %s: %s", peer.source, explain(error))
        self._close(peer, is_orderly=False)

    def _close(self, peer: Peer, *, is_orderly: bool) -> None:
        if not peer.is_open:
            return
        peer.is_open = False
        self._open.discard(peer)
        self._loop.unwatch(peer.sock)
        try:
            self._intake.end(peer.framer, peer.source, is_orderly=is_orderly)
        finally:
            peer.sock.close()


def _keep_alive(sock: socket.socket) -> None:
    """Make the kernel check whether silent TCP peers are still alive."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):  # the connection may be broken already; then the first read fails
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
