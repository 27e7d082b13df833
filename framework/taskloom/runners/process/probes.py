"""Probes of an address: whether it accepts a connection, or answers an HTTP request.

They block for at most their timeout, so they are called on a helper thread. Only looking up a name may take longer: the
system has no timeout for it.
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from taskloom.clock import mono
from taskloom.diagnostics import quoted
from taskloom.text import duration

if TYPE_CHECKING:
    from taskloom.program import Target

__all__ = ["ProbeFailed", "probe"]

# A status line is short, and what comes before the final one (early hints) is too.
_MOST_BYTES = 16 * 1024
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: [^\r\n]*)?\r?\n", re.ASCII)
_GOOD = range(200, 400)


class ProbeFailed(Exception):
    """The address does not answer as it should. The message says why: "connection refused"."""


def probe(target: Target, timeout: float) -> None:
    """Return if the address answers within `timeout` seconds. Raises ProbeFailed."""
    deadline = mono() + timeout
    try:
        with _connected(target, deadline) as sock:
            if target.scheme == "http":
                _ask(sock, target, deadline)
    except TimeoutError:
        raise ProbeFailed(f"no answer within {duration(timeout)}") from None
    except OSError as error:
        raise ProbeFailed((error.strerror or str(error) or type(error).__name__).lower()) from None
    except UnicodeError:
        raise ProbeFailed(f"{target.host!r} is not a host name") from None


def _connected(target: Target, deadline: float) -> socket.socket:
    """Return a connection, to the first address of the host that accepts one. Raises OSError."""
    if target.scheme == "unix":
        return _connect(socket.AF_UNIX, target.path, deadline)
    refused: OSError | None = None
    for family, _, _, _, address in socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM):
        try:
            return _connect(family, address, deadline)
        except OSError as error:
            # The first failure is that of the address that most systems try first.
            refused = refused or error
    raise refused or OSError("the host has no address")


def _connect(family: int, address: object, deadline: float) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(_left(deadline))
        sock.connect(address)  # type: ignore[arg-type]  # one that getaddrinfo has returned, or a path
        # A connection to a port of the range for outgoing ones, where nothing listens, may be one to itself.
        if family != socket.AF_UNIX and sock.getsockname() == sock.getpeername():
            raise ConnectionRefusedError(111, "Connection refused")
    except BaseException:
        sock.close()
        raise
    return sock


def _ask(sock: socket.socket, target: Target, deadline: float) -> None:
    """Send a GET request, and read the status of its answer. Raises ProbeFailed and OSError."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    lines = [
        f"GET {target.path} HTTP/1.1",
        f"Host: {host}:{target.port}",
        "User-Agent: taskloom",
        "Accept: */*",
        "Connection: close",
    ]
    sock.settimeout(_left(deadline))
    sock.sendall("\r\n".join([*lines, "", ""]).encode("ascii", "backslashreplace"))
    status = _read_status(sock, deadline)
    if status not in _GOOD:
        raise ProbeFailed(f"status {status}")


def _read_status(sock: socket.socket, deadline: float) -> int:
    """Return the status of the answer, after those of its 100s, which are not the answer yet."""
    data = b""
    while len(data) < _MOST_BYTES:
        sock.settimeout(_left(deadline))
        part = sock.recv(4096)
        if not part:
            raise ProbeFailed("it closed the connection without an answer" if not data else _not_http(data))
        data += part
        while b"\n" in data:
            found = _STATUS_LINE.match(data)
            if found is None:
                raise ProbeFailed(_not_http(data))
            status = int(found[1])
            if status >= 200:
                return status
            _, blank, rest = data.partition(b"\r\n\r\n")
            if not blank:
                break
            data = rest
    raise ProbeFailed("no status in the first 16 KiB of its answer")


def _not_http(data: bytes) -> str:
    return f"not an HTTP answer: {quoted(data.splitlines()[0][:60].decode('ascii', 'backslashreplace'))}"


def _left(deadline: float) -> float:
    """Return the seconds that are left. Raises TimeoutError if none are."""
    left = deadline - mono()
    if left <= 0:
        raise TimeoutError
    return left
