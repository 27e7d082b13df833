"""The task `socket-sender`: sends lines to an address, for examples and to try out a reader."""

from __future__ import annotations

import errno
import functools
import select
import socket
import time
from collections.abc import Callable

from taskloom import Context, Duration, Task, param
from taskloom_plugins.addresses import Address, parse_address
from taskloom_plugins.backoff import Backoff
from taskloom_plugins.endpoints import EndpointError, UnknownHostError, connect, explain, send_all, wait_for
from taskloom_plugins.line_template import LineTemplate
from taskloom_plugins.multicast import Route, check_interface
from taskloom_plugins.notices import Notices

__all__ = ["SocketSender"]

# At the end, how long to wait until the other side closes the connection too; then it has read everything.
_CLOSE_SECONDS = 2.0


class SocketSender(Task):
    """Send numbered lines to an address, and reconnect whenever the connection is lost.

    A line that the kernel did not accept completely is sent again on the next connection; an accepted line is never
    sent twice. If the connection breaks, lines accepted before that may be lost; the log shows the number of the last
    one. A stop wakes it at once.
    """

    to: str = param(description="the address to send to", examples=["tcp://127.0.0.1:5514", "unix:///run/app.sock"])
    interface: str | None = param(
        default=None,
        min_length=1,
        description="name or address of the interface on which to send to a multicast group",
    )
    ttl: int | None = param(
        default=None, ge=0, le=255, description="over how many networks to send to a multicast group; by default 1"
    )
    count: int = param(default=10, ge=0, description="how many lines; 0 for no limit")
    interval: Duration = param(default="1s", description="time between two lines")
    line: str = param(
        default="hello {n}",
        description="the text of a line; {n} is its number from 1, {job} the name of the job, {{ a brace",
    )
    connect_timeout: Duration = param(default="10s", gt=0, description="how long one attempt to connect may take")
    reconnect_delay: Duration = param(
        default="0.5s", gt=0, description="the first delay before connecting again; then doubled"
    )
    reconnect_max: Duration = param(default="30s", gt=0, description="the longest delay before connecting again")

    def __post_init__(self) -> None:
        """Raise ValueError for an address or a line that cannot be used."""
        self._address = _parse_target(self.to)
        check_interface(self._address, self.interface)
        if self.ttl is not None and not self._address.is_multicast:
            raise ValueError(f"cannot use 'ttl' with {self._address}: it is for a multicast group")
        self._template = LineTemplate(self.line)
        if "\n" in self.line and self._address.is_stream:
            raise ValueError(f"cannot use line {self.line!r}: it contains a newline, which would make it two lines")

    def run(self, ctx: Context) -> None:
        """Send the lines; return when all are sent, or when the run is cancelled."""
        route = Route(self.interface or "", self.ttl)
        connect_once = functools.partial(connect, ctx, self._address, self.connect_timeout, route)
        link = _Connection(ctx, self._address, connect_once, Backoff(self.reconnect_delay, self.reconnect_max))
        try:
            n = 0
            while not self.count or n < self.count:
                if n and ctx.wait(self.interval):
                    return
                n += 1
                link.send(self._template.fill(n, ctx.job).encode(), n)
                ctx.count("lines")
                if self.count:
                    ctx.progress(n, self.count, "lines")
            link.finish()
        finally:
            link.close()


def _parse_target(text: str) -> Address:
    address = parse_address(text)
    if not address.is_unix and (address.host in ("", "*") or not address.port):
        raise ValueError(f"cannot send to {text!r}; it needs a host and a port other than 0")
    return address


class _Connection:
    """A connection that is opened when it is needed, and opened again if it is lost."""

    def __init__(
        self, ctx: Context, address: Address, connect_once: Callable[[], socket.socket], backoff: Backoff
    ) -> None:
        self._ctx, self._address, self._connect, self._backoff = ctx, address, connect_once, backoff
        self._notices = Notices(ctx.log)
        self._sock: socket.socket | None = None
        self._since: float | None = None  # when the last connection began; None before the first one
        self._sent = 0

    def send(self, line: bytes, number: int) -> None:
        """Send the line, on as many connections as it takes. Raises EndpointError or Cancelled."""
        data = line + b"\n" if self._address.is_stream else line
        while True:
            sock = self._connected()
            try:
                if self._address.is_stream and _is_closed(sock):
                    raise ConnectionResetError(errno.ECONNRESET, "the other side has closed the connection")
                send_all(self._ctx, sock, data)
            except OSError as error:
                if error.errno == errno.EMSGSIZE:  # no other connection can carry a datagram of this size
                    raise EndpointError(
                        f"cannot send line {number} to {self._address}: {len(data)} bytes do not fit into a datagram"
                    ) from None
                self._disconnect(error)
            else:
                self._sent = number
                return

    def finish(self) -> None:
        """Close our side of the connection, and wait until the other side has read everything."""
        if self._sock is None or not self._address.is_stream:
            return
        try:
            self._sock.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + _CLOSE_SECONDS
            while wait_for(self._ctx, self._sock.fileno(), select.POLLIN, deadline - time.monotonic()):
                if not self._sock.recv(4096):
                    return
        except OSError as error:
            self._warn_lost(error)

    def close(self) -> None:
        """Close the connection; idempotent."""
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()
        self._notices.close()

    def _connected(self) -> socket.socket:
        """Return the connection; open it if there is none. Raises Cancelled."""
        while self._sock is None:
            try:
                self._sock = self._connect()
            except (ConnectionError, UnknownHostError) as error:
                # A name that was never found is probably misspelt; one that was found before comes back.
                if isinstance(error, UnknownHostError) and self._since is None:
                    raise
                self._notices.warn("failed connections", "%s", error)
                self._ctx.sleep(self._backoff.next_delay())
            else:
                self._since = time.monotonic()
                self._ctx.log.info("connected to %s", self._address)
        return self._sock

    def _disconnect(self, error: OSError) -> None:
        self._warn_lost(error)
        self._ctx.count("reconnects")
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        if self._since is not None:
            self._backoff.connected_for(time.monotonic() - self._since)
        self._ctx.sleep(self._backoff.next_delay())

    def _warn_lost(self, error: OSError) -> None:
        where = f"after line {self._sent}" if self._sent else "before the first line"
        self._notices.warn(
            "broken connections",
            "lost %s %s: %s; lines that the other side had not read are lost",
            self._address,
            where,
            explain(error),
        )


def _is_closed(sock: socket.socket) -> bool:
    """Return whether the other side has closed the connection; data from it is discarded."""
    try:
        while data := sock.recv(4096):
            del data
    except BlockingIOError:
        return False
    return True
