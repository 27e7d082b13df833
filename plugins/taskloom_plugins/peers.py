"""The open stream connections of a run: reading them, their deadlines, their ends."""

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

__all__ = ["READ_BYTES", "Peer", "Peers", "Timeouts"]

# Few, large reads: what a read costs besides copying is paid less often.
READ_BYTES = 256 * 1024
"""The most that one read takes from a connection."""
# So many reads, then the next peer: one that never stops sending does not starve the others.
_READS_A_TURN = 4

# A silent peer whose machine is gone is found out in two minutes.
_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


class Timeouts:
    """How long a peer may be silent, and how long a frame may take, in seconds; 0 is for ever."""

    def __init__(self, idle: float = 0.0, frame: float = 0.0) -> None:
        self.idle, self.frame = idle or math.inf, frame or math.inf


class Peer:
    """One connection."""

    __slots__ = ("frame_deadline", "framer", "idle_deadline", "is_open", "sock", "source")

    def __init__(self, sock: socket.socket, source: str, framer: Framer) -> None:
        self.sock, self.source, self.framer = sock, source, framer
        self.idle_deadline = self.frame_deadline = math.inf
        self.is_open = True

    @property
    def deadline(self) -> float:
        """When it is closed unless more comes."""
        return min(self.idle_deadline, self.frame_deadline)


class Peers:
    """All open connections; every way in which one can end leads through here, and is counted."""

    def __init__(self, ctx: Context, loop: Loop, intake: Intake, timeouts: Timeouts) -> None:
        self._ctx, self._loop, self._intake, self._timeouts = ctx, loop, intake, timeouts
        self._open: set[Peer] = set()
        self.deadline = math.inf
        """Not after the first deadline of a peer. A peer that says something moves its own, not this one:
        so a busy connection costs nothing here, and `tick` finds out what is really over."""

    def __len__(self) -> int:
        return len(self._open)

    def add(self, sock: socket.socket, source: str) -> None:
        """Take over a connected, non-blocking socket."""
        _keep_alive(sock)
        peer = Peer(sock, source, self._intake.new_framer())
        self._open.add(peer)
        self._ctx.count("peers")
        self._loop.watch(sock, lambda: self._read(peer))
        self._touch(peer, time.monotonic(), has_frame=False)

    def close_all(self) -> None:
        """Close what is open: the run is asked to stop. Unfinished frames are counted, not written."""
        for peer in list(self._open):
            self._close(peer, is_orderly=False)

    def tick(self, now: float) -> None:
        """Close the peers whose deadline is over."""
        for peer in [peer for peer in self._open if peer.deadline <= now]:
            self._ctx.count("timeouts")
            is_idle = peer.idle_deadline <= now
            self._intake.notices.warn(
                "peers that took too long",
                "closing %s: %s",
                peer.source,
                f"silent for {self._timeouts.idle:g} s" if is_idle else f"a frame took over {self._timeouts.frame:g} s",
            )
            self._close(peer, is_orderly=False)
        self.deadline = min((peer.deadline for peer in self._open), default=math.inf)

    def _read(self, peer: Peer) -> None:
        """Take what the peer has sent, to its end where that has come."""
        for _ in range(_READS_A_TURN):
            if not peer.is_open or self._ctx.cancelled:
                return
            try:
                data = peer.sock.recv(READ_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                self._break_off(peer, error)
                return
            if not data:
                self._close(peer, is_orderly=True)
                return
            self._take(peer, data)
            if len(data) < READ_BYTES:
                return  # that was all there is, so asking again would mostly be in vain

    def _take(self, peer: Peer, data: bytes) -> None:
        has_frame = self._intake.feed(peer.framer, data, peer.source)
        if peer.framer.broken:
            self._intake.give_up(peer.framer, peer.source)
            self._close(peer, is_orderly=False)
        else:
            self._touch(peer, time.monotonic(), has_frame=has_frame)

    def _touch(self, peer: Peer, now: float, *, has_frame: bool) -> None:
        """Move the peer's deadlines after it has said something."""
        peer.idle_deadline = now + self._timeouts.idle
        if not peer.framer.pending:
            peer.frame_deadline = math.inf
        elif has_frame or peer.frame_deadline == math.inf:
            # A frame's time begins with its first byte; the bytes after it do not prolong it.
            peer.frame_deadline = now + self._timeouts.frame
        self.deadline = min(self.deadline, peer.deadline)

    def _break_off(self, peer: Peer, error: OSError) -> None:
        """Take note of a connection that the peer, or the network, has torn down."""
        self._ctx.count("resets")
        self._intake.notices.warn("broken connections", "lost %s: %s", peer.source, explain(error))
        self._close(peer, is_orderly=False)

    def _close(self, peer: Peer, *, is_orderly: bool) -> None:
        if not peer.is_open:
            return
        peer.is_open = False
        self._open.discard(peer)
        self._loop.forget(peer.sock)
        try:
            self._intake.end(peer.framer, peer.source, is_orderly=is_orderly)
        finally:
            peer.sock.close()


def _keep_alive(sock: socket.socket) -> None:
    """Have the kernel ask silent TCP peers whether they still live."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):  # it may be gone already; the first read will say so
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
