"""Parses and formats the addresses of the socket tasks. Pure: no host name is looked up here."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from typing import Any

__all__ = ["IP", "PASSED", "Address", "address_of", "parse_address", "read_ip"]

IP = ipaddress.IPv4Address | ipaddress.IPv6Address

PASSED = "fd://"
"""How the address of a socket begins that the program was passed."""
_FORMS = "write tcp://HOST:PORT, udp://HOST:PORT, unix:///PATH or unix-dgram:///PATH"
_HOST_PORT = re.compile(r"(?:\[(?P<literal>[^\[\]/]+)\]|(?P<name>[^:\[\]/?#]*)):(?P<port>\d+)", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_KINDS = {
    "": socket.SOCK_STREAM,  # of a socket that is passed, until its kind is known
    "tcp": socket.SOCK_STREAM,
    "udp": socket.SOCK_DGRAM,
    "unix": socket.SOCK_STREAM,
    "unix-dgram": socket.SOCK_DGRAM,
}
_LONGEST_NAME = 253  # RFC 1035, without the dot at the end
# As the first byte of an address, the kernel's NUL stands for "not a path"; people write an @ for it.
_ABSTRACT = "@"
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
_UNSPECIFIED = ipaddress.IPv6Address("::")


@dataclass(frozen=True, slots=True)
class Address:
    """An address to listen on or to connect to; `str()` returns it as written in job files."""

    scheme: str
    host: str = ""
    """A host name, or an IP address without brackets; empty or `*` means every interface."""
    port: int = 0
    path: str = ""
    """The path of a unix socket; a relative path starts at the working directory. `@name` is an abstract socket, which
    has no file."""
    zone: str = ""
    """The interface on which an IPv6 address is valid; only a link-local one needs it."""
    passed: str = ""
    """The name or number of a socket that the program was passed; without a scheme until the run begins."""

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
        """Whether it is a unix socket, not a host and a port."""
        return self.scheme.startswith("unix")

    @property
    def is_abstract(self) -> bool:
        """Whether it is a unix socket without a file."""
        return self.path.startswith(_ABSTRACT)

    @property
    def unix_address(self) -> str:
        """The address of a unix socket as the socket module expects it."""
        return "\0" + self.path.removeprefix(_ABSTRACT) if self.is_abstract else self.path

    @property
    def is_every_interface(self) -> bool:
        """Whether it stands for every interface of both families."""
        return self.host in ("", "*") or self.ip == _UNSPECIFIED

    @property
    def ip(self) -> IP | None:
        """The host as an IP address, an IPv4-mapped one as IPv4; None for a name."""
        return read_ip(self.host)

    @property
    def is_multicast(self) -> bool:
        """Whether the host is the address of a multicast group."""
        return self.ip is not None and self.ip.is_multicast

    @property
    def many(self) -> str:
        """What the host is if it stands for many machines, as text with an article; empty for another host."""
        if self.ip == _BROADCAST:
            return "the broadcast address"
        return "a multicast group" if self.is_multicast else ""

    def __str__(self) -> str:
        if self.passed:
            return f"{PASSED}{self.passed}"
        if self.is_unix:
            return f"{self.scheme}://{self.path}"
        host = f"{self.host}%{self.zone}" if self.zone else self.host
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"


def read_ip(text: str) -> IP | None:
    """Return the IP address that the text is, an IPv4-mapped one as IPv4; None if it is not one."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped) or ip


def parse_address(text: str) -> Address:
    """Return the address that the text describes. Raises ValueError with the legal forms."""
    scheme, slashes, rest = text.partition("://")
    scheme = scheme.lower()
    if not scheme or scheme not in _KINDS or not slashes:
        raise ValueError(f"cannot read {text!r} as an address; {_FORMS}")
    try:
        return Address(scheme, path=_checked_path(rest)) if scheme.startswith("unix") else _host_port(scheme, rest)
    except _Unreadable as error:
        forms = f"; {_FORMS}" if error.names_forms else ""
        raise ValueError(f"cannot read {text!r} as an address: {error}{forms}") from None


class _Unreadable(Exception):
    """The reason why an address cannot be read."""

    def __init__(self, reason: str, *, names_forms: bool = False) -> None:
        super().__init__(reason)
        self.names_forms = names_forms
        """Whether the legal forms help the user."""


def _checked_path(path: str) -> str:
    if not path or "\0" in path:
        raise _Unreadable("it has no path", names_forms=True)
    if path == _ABSTRACT:
        raise _Unreadable("the name of the abstract socket is missing after @")
    if path.endswith("/") and not path.startswith(_ABSTRACT):
        raise _Unreadable("it ends with a slash, so it names a folder")
    try:
        os.fsencode(path)
    except UnicodeError:
        raise _Unreadable("the system has no such path") from None
    return path


def _host_port(scheme: str, rest: str) -> Address:
    match = _HOST_PORT.fullmatch(rest)
    if match is None:
        raise _Unreadable(_describe_problem(rest), names_forms=True)
    digits = match["port"].lstrip("0") or "0"
    if len(digits) > 5 or int(digits) > 65535:
        raise _Unreadable(f"port {match['port']} is over 65535")
    if match["literal"]:
        host, zone = _checked_literal(match["literal"])
    else:
        host, zone = _checked_name(match["name"]), ""
    address = Address(scheme, host, int(digits), zone=zone)
    if address.many and address.is_stream:
        raise _Unreadable(f"{host} is {address.many}, which has datagrams only; write udp://{rest}")
    return address


def _describe_problem(host_port: str) -> str:
    if host_port.count(":") > 1 and not host_port.startswith("["):
        return "an IPv6 host is written in brackets, as in tcp://[::1]:5514"
    return f"{host_port!r} is not HOST:PORT"


def _checked_name(name: str) -> str:
    """Return a host name that can be looked up, now or later; also an IPv4 address, in whatever notation."""
    if "@" in name:
        raise _Unreadable("a user name has no meaning here", names_forms=True)
    try:
        size = len(name.removesuffix(".")[: _LONGEST_NAME + 1].encode("idna"))
    except UnicodeError:
        size = 0
    if _CONTROL.search(name) or (name and not size):
        raise _Unreadable(f"{name!r} is not a host name: each part between dots has 1 to 63 letters or digits")
    if size > _LONGEST_NAME:
        raise _Unreadable(f"a host name has at most {_LONGEST_NAME} characters")
    return name


def _checked_literal(literal: str) -> tuple[str, str]:
    """Return the IPv6 address in the brackets, and its zone or an empty text."""
    host, percent, zone = literal.partition("%")
    # In an URL the percent sign before the zone is itself escaped (RFC 6874): fe80::1%25eth0.
    zone = zone[2:] if zone.startswith("25") and len(zone) > 2 else zone
    try:
        ip = ipaddress.IPv6Address(host)
    except ValueError:
        raise _Unreadable(f"{host!r} is not an IPv6 address; brackets are only for these") from None
    if (percent and not zone) or _CONTROL.search(zone):
        raise _Unreadable(f"the zone after % is the name of an interface, as in [{host}%eth0]")
    if ip.is_link_local and not zone:
        raise _Unreadable(f"{host} is a link-local address; add its interface, as in [{host}%eth0]")
    return host, zone


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
    host, _, zone = sockaddr[0].partition("%")
    if len(sockaddr) == 4 and sockaddr[3] and not zone:
        zone = _interface_name(sockaddr[3])
    # On a socket for both families, IPv4 peers are IPv4-mapped; users write the address without the prefix.
    ip = read_ip(host) if host.startswith("::ffff:") else None
    return str(Address(scheme, host if ip is None else str(ip), sockaddr[1], zone=zone))


def _interface_name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:  # the interface is gone
        return str(index)
