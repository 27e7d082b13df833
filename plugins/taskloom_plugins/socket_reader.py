"""The task `socket-reader`: reads frames from sockets and writes them as records."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import ClassVar

from taskloom import Context, Duration, PermanentFailure, Task, param
from taskloom_plugins.backoff import Backoff
from taskloom_plugins.binding import listening
from taskloom_plugins.counted_framing import ByteOrder
from taskloom_plugins.decoding import DecoderName, Errors
from taskloom_plugins.endpoints import UnknownHostError, connect, explain, send_all
from taskloom_plugins.framing import Oversize
from taskloom_plugins.intake import Intake
from taskloom_plugins.listeners import Acceptor, DatagramReader, InterfaceWatch
from taskloom_plugins.loop import Loop
from taskloom_plugins.output import Output, open_target
from taskloom_plugins.passed import with_real_scheme
from taskloom_plugins.peers import READ_BYTES, Peers
from taskloom_plugins.records import Format
from taskloom_plugins.wiring import Framing, Wiring, address_for

__all__ = ["SocketReader"]


class SocketReader(Task):
    """Read frames from a socket and write each to standard output or to a file.

    Listens for many peers, or connects to one peer and reconnects if the connection is lost. Ready once it listens, or
    once it is connected for the first time. A stop wakes it at once; complete frames that it has read are written
    then, an unfinished one is counted.
    """

    announces_ready: ClassVar[bool] = True

    listen: str | None = param(
        default=None,
        description="the address to listen on; port 0 picks a free port, which the log shows; fd://NAME is a socket "
        "that systemd has opened",
        examples=["tcp://127.0.0.1:5514", "udp://[::1]:5514", "unix:///run/app.sock", "fd://syslog"],
    )
    connect: str | None = param(default=None, description="the address to connect to, instead of listening")
    interface: str | None = param(
        default=None, min_length=1, description="name or address of the interface on which a multicast group is joined"
    )
    framing: Framing | None = param(
        default=None, description="how frames end; by default line for streams, datagram for datagrams"
    )
    delimiter: str | None = param(default=None, min_length=1, description="what ends a frame, with framing delimiter")
    frame_size: int | None = param(default=None, ge=1, description="bytes in a frame, with framing fixed")
    length_offset: int = param(
        default=0, ge=0, le=1024, description="bytes before the length, with framing length-prefixed"
    )
    length_size: int = param(default=4, ge=1, le=8, description="size of the length, in bytes")
    length_order: ByteOrder = param(default="big", description="byte order of the length")
    length_counts_header: bool = param(default=False, description="whether the length includes the header itself")
    length_keep_header: bool = param(default=False, description="whether the frame is written with its header")
    max_frame: int = param(default=65536, ge=1, le=64 << 20, description="the longest frame, in bytes")
    oversize: Oversize = param(default="drop", description="what happens to a longer frame; close ends the connection")
    decoder: DecoderName | None = param(
        default=None, description="what frames contain: text by default, bytes with framing raw"
    )
    encoding: str = param(default="utf-8", description="encoding of text")
    errors: Errors = param(
        default="replace", description="what happens to bytes that are not valid text; strict drops the frame"
    )
    output: str = param(default="stdout", min_length=1, description="stdout, or the file to append to")
    format: Format = param(
        default="text", description="text: the frame and a newline; json: also the time and the source address"
    )
    flush: Duration = param(default="0s", description="how long records may be buffered; 0 writes them after each read")
    max_peers: int = param(
        default=256, ge=1, description="connections at the same time; further ones are closed at once and counted"
    )
    mode: str | None = param(
        default=None, pattern="^[0-7]{3,4}$", description='permissions of the unix socket, such as "660"'
    )
    send_on_connect: str = param(default="", description="what to send once connected")
    connect_timeout: Duration = param(default="10s", gt=0, description="how long one attempt to connect may take")
    idle_timeout: Duration = param(
        default="0s", description="close a connection after this time without data; 0 for never"
    )
    frame_timeout: Duration = param(
        default="0s", description="close a connection whose frame takes longer; 0 for never"
    )
    reconnect: bool = param(default=True, description="connect again if the connection is lost; false ends the run")
    reconnect_delay: Duration = param(
        default="0.5s", gt=0, description="the first delay before connecting again; then doubled"
    )
    reconnect_max: Duration = param(default="30s", gt=0, description="the longest delay before connecting again")

    def __post_init__(self) -> None:
        """Raise ValueError for parameters that do not fit together; called when job files are loaded."""
        self._address = address_for(self)
        self._wiring = Wiring(self, self._address)

    def run(self, ctx: Context) -> None:
        """Read until the run is cancelled, or the connection is lost and not to be made again."""
        _keep_freed_memory()
        if self._address.passed:
            self._learn_kind()
        target = open_target(ctx, self.output, is_lines=self._wiring.is_lines)
        with Output(target, self.flush) as output:
            intake = Intake(ctx, self._wiring, output)
            with contextlib.closing(intake.notices):
                if self.listen is not None:
                    self._listen(ctx, intake, output)
                else:
                    self._stay_connected(ctx, intake, output)

    def _learn_kind(self) -> None:
        """Find out of what kind the passed socket is, and what follows from that."""
        self._address = with_real_scheme(self._address)
        try:
            self._wiring = Wiring(self, self._address)
        except ValueError as error:
            raise PermanentFailure(str(error)) from None

    # -- listening ---------------------------------------------------------------------------------

    def _listen(self, ctx: Context, intake: Intake, output: Output) -> None:
        mode = None if self.mode is None else int(self.mode, 8)
        with listening(ctx, self._address, mode=mode, interface=self.interface or "") as found, Loop(ctx) as loop:
            for each in found:
                ctx.log.info("listening on %s", each.name)
            ctx.ready()
            sockets = [each.sock for each in found]
            if self._address.is_stream:
                self._read_peers(ctx, loop, intake, output, sockets)
            else:
                self._read_datagrams(ctx, loop, intake, output, sockets)

    def _read_peers(
        self, ctx: Context, loop: Loop, intake: Intake, output: Output, sockets: list[socket.socket]
    ) -> None:
        peers = Peers(ctx, loop, intake, self.idle_timeout, self.frame_timeout)
        scheme, limit = self._address.scheme, self.max_peers
        acceptors = [
            Acceptor(ctx, loop, peers, sock, scheme=scheme, max_peers=limit, notices=intake.notices) for sock in sockets
        ]
        try:
            loop.run([output, peers, self._interface_watch(), *acceptors])
        finally:
            peers.close_all()

    def _read_datagrams(
        self, ctx: Context, loop: Loop, intake: Intake, output: Output, sockets: list[socket.socket]
    ) -> None:
        is_connected = self.connect is not None
        readers = [
            DatagramReader(
                ctx,
                loop,
                intake,
                sock,
                address=self._address,
                max_frame=self.max_frame,
                is_connected=is_connected,
                wants_source=self.format == "json" and not is_connected,
                idle_seconds=self.idle_timeout,
            )
            for sock in sockets
        ]
        try:
            loop.run([output, self._interface_watch(), *readers], lambda: any(reader.is_over for reader in readers))
        finally:
            for reader in readers:
                reader.count_lost()

    def _interface_watch(self) -> InterfaceWatch:
        return InterfaceWatch(self._address, self.interface or self._address.zone)

    # -- connecting --------------------------------------------------------------------------------

    def _stay_connected(self, ctx: Context, intake: Intake, output: Output) -> None:
        """Connect, read to the end, and connect again, with growing delays as long as that fails."""
        backoff = Backoff(self.reconnect_delay, self.reconnect_max)
        is_ready = False
        while True:
            try:
                sock = connect(ctx, self._address, self.connect_timeout)
            except (ConnectionError, UnknownHostError) as error:
                # A name that was never found is probably misspelt; one that was found before comes back.
                if not self.reconnect or (isinstance(error, UnknownHostError) and not is_ready):
                    raise
                intake.notices.warn("failed connections", "%s", error)
            else:
                began = time.monotonic()
                ctx.log.info("connected to %s", self._address)
                if not is_ready:
                    ctx.ready()
                    is_ready = True
                self._read_connection(ctx, intake, output, sock)
                backoff.connected_for(time.monotonic() - began)
                if not self.reconnect or ctx.cancelled:
                    return
            output.flush()
            delay = backoff.next_delay()
            ctx.log.info("connecting to %s again in %.1f s", self._address, delay)
            ctx.sleep(delay)
            ctx.count("reconnects")

    def _read_connection(self, ctx: Context, intake: Intake, output: Output, sock: socket.socket) -> None:
        with sock, Loop(ctx) as loop:
            try:
                send_all(ctx, sock, self.send_on_connect.encode())
            except OSError as error:
                intake.notices.warn("broken connections", "lost %s: %s", self._address, explain(error))
                return
            if not self._address.is_stream:
                self._read_datagrams(ctx, loop, intake, output, [sock])
                return
            peers = Peers(ctx, loop, intake, self.idle_timeout, self.frame_timeout)
            peers.add(sock, str(self._address))
            try:
                loop.run([output, peers], lambda: not len(peers))
            finally:
                peers.close_all()


def _keep_freed_memory() -> None:
    """Make the C library keep the memory of each read, instead of returning it to the kernel and mapping it again.

    glibc returns free memory beyond twice the largest block that it ever mapped (mallopt(3), dynamic threshold), so
    allocating and freeing one large block is enough. Measured: two to four times as many lines a second.
    """
    bytearray(4 * READ_BYTES)
