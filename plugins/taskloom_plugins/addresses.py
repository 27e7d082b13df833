"""Parses and formats the addresses of the socket tasks. Pure: no host name is looked up here."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Any

__all__ = ["Address", "address_of", "parse_address"]

_FORMS = "write tcp://HOST:PORT, udp://HOST:PORT, unix:///PATH or unix-dgram:///PATH"
_HOST_PORT = re.compile(r"(?:\[(?P<literal>[^\[\]]*)\]|(?P<name>[^:\[\]/]*)):(?P<port>\d{1,5})", re.ASCII)
_KINDS = {
    "tcp": socket.SOCK_STREAM,
    "udp": socket.SOCK_DGRAM,
    "unix": socket.SOCK_STREAM,
    "unix-dgram": socket.SOCK_DGRAM,
}


@dataclass(frozen=True, slots=True)
class Address:
    """An address to listen on or to connect to; `str()` returns it as written in job files."""

    scheme: str
    host: str = ""
    """A host name, or an IP address without brackets; empty means every interface."""
    port: int = 0
    path: str = ""
    """The path of a unix socket; a relative path starts at the working directory."""

    @property
    def kind(self) -> socket.SocketKind:
        """The type of its sockets: SOCK_STREAM or SOCK_DGRAM."""
        return _KINDS[self.scheme]

    @property
    def is_stream(self) -> bool:
        """Whether its sockets carry a stream of bytes, not datagrams."""
        return self.kind == socket.SOCK_STREAM

    @property
    def is_unix(self) -> bool:
        """Whether it is a path, not a host and a port."""
        return self.scheme.startswith("unix")

    def __str__(self) -> str:
        if self.is_unix:
            return f"{self.scheme}://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the address that the text describes. Raises ValueError with the legal forms."""
    scheme, slashes, rest = text.partition("://")
    if scheme not in _KINDS or not slashes:
        raise ValueError(f"cannot read {text!r} as an address; {_FORMS}")
    if scheme.startswith("unix"):
        if not rest or "\0" in rest:
            raise ValueError(f"cannot read {text!r} as an address: it has no path; {_FORMS}")
        return Address(scheme, path=rest)
    match = _HOST_PORT.fullmatch(rest)
    if match is None:
        raise ValueError(f"cannot read {text!r} as an address: {_describe_problem(rest)}; {_FORMS}")
    port = int(match["port"])
    if port > 65535:
        raise ValueError(f"cannot read {text!r} as an address: port {port} is over 65535")
    return Address(scheme, match["literal"] or match["name"] or "", port)


def _describe_problem(host_port: str) -> str:
    if host_port.count(":") > 1 and not host_port.startswith("["):
        return "an IPv6 host is written in brackets, as in tcp://[::1]:5514"
    return f"{host_port!r} is not HOST:PORT"


def address_of(scheme: str, sockaddr: Any) -> str:
    """Return the text of an address that the socket module returned for a peer or for an own socket.

    Most peers on a unix socket have no address; the text is then the scheme alone, as in `unix://`.
    """
    if scheme.startswith("unix"):
        if isinstance(sockaddr, str):
            return f"{scheme}://{sockaddr}"
        # An abstract address in the usual notation, with an @ in place of the leading NUL.
        name: bytes = (sockaddr or b"").replace(b"\0", b"@")
        return f"{scheme}://{name.decode('utf-8', 'backslashreplace')}"
    host, port = sockaddr[:2]
    # On a socket for both families, IPv4 peers have this prefix; users write the address without it.
    return str(Address(scheme, host.removeprefix("::ffff:"), port))
