"""Multicast groups: checked when job files are loaded, joined by a reader, and addressed by a sender."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import struct
from typing import Any, NamedTuple

from taskloom_plugins.addresses import IP, Address, read_ip
from taskloom_plugins.interfaces import interface_index, no_such_interface

__all__ = ["ANY_ROUTE", "Route", "check_interface", "group_of", "join", "send_through", "share_port"]

# The scope of an IPv6 group is in the lower half of its second byte; with these two it is valid on one interface only
# (RFC 4291, 2.7).
_LOCAL_SCOPES = (1, 2)

# Constants of Linux that the socket module does not have. Without them a socket also gets what arrives for the group on
# an interface that another program has joined.
_IP_MULTICAST_ALL = 49
_IPV6_MULTICAST_ALL = 29
_SO_BINDTOIFINDEX = 62

# struct ip_mreqn and struct ipv6_mreq: the group, an address of the interface, the index of the interface.
_IPV4_REQUEST = struct.Struct("=4s4si")
_IPV6_REQUEST = struct.Struct("=16sI")


class Route(NamedTuple):
    """How a multicast group is reached; other addresses take no notice of it."""

    interface: str = ""
    """Name, number or address of the interface; empty for the one that the routing table chooses."""
    ttl: int | None = None
    """Over how many networks; None for the system's default, which is 1."""


ANY_ROUTE = Route()
"""The interface that the routing table chooses."""


def check_interface(address: Address, interface: str | None) -> None:
    """Raise ValueError for an interface that has no meaning for the address, or that is missing."""
    if interface is not None and not address.is_multicast:
        raise ValueError(
            f"cannot use 'interface' with {address}: it is for a multicast group, as in udp://239.1.2.3:5514"
        )
    if interface is not None and address.zone:
        raise ValueError(f"cannot use 'interface' with {address}: the address names its interface already")
    if not address.is_multicast:
        return
    group, own = address.ip, read_ip(interface or "")
    if own is not None and group is not None and own.version != group.version:
        raise ValueError(f"cannot use interface {interface!r} with {address}: it is not an IPv{group.version} address")
    if (
        isinstance(group, ipaddress.IPv6Address)
        and group.packed[1] & 0xF in _LOCAL_SCOPES
        and not (interface or address.zone)
    ):
        raise ValueError(
            f"cannot use {address} without 'interface': each interface has such a group of its own; "
            f"write interface: eth0"
        )


def group_of(sockaddr: Any) -> IP | None:
    """Return the multicast group of a socket address; None for another address."""
    ip = read_ip(sockaddr[0])
    return ip if ip is not None and ip.is_multicast else None


def join(sock: socket.socket, group: IP, interface: str) -> None:
    """Receive what is sent to the group on this interface; empty for the one that the routes choose.

    Called before the socket is bound. Raises OSError.
    """
    share_port(sock)
    if isinstance(group, ipaddress.IPv6Address):
        level, option, every = socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, _IPV6_MULTICAST_ALL
        index = interface_index(interface) if interface else 0
        request = _IPV6_REQUEST.pack(group.packed, index)
        # For IPv6 the kernel compares only the group, not the interface on which this socket has joined it.
        with contextlib.suppress(OSError):  # kernels before 5.7 ask for a privilege
            sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX, index)
    else:
        level, option, every = socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _IP_MULTICAST_ALL
        request = _ipv4_request(group, interface)
    with contextlib.suppress(OSError):  # kernels before 4.20 have this for IPv4 only
        sock.setsockopt(level, every, 0)
    try:
        sock.setsockopt(level, option, request)
    except OSError as error:
        raise _explained(error, f"cannot join group {group}", interface) from None


def share_port(sock: socket.socket) -> None:
    """Let several readers of one machine use the port of a group or of a broadcast; each gets every datagram.

    The kernel allows it if all of them have one of these options in common, and programs differ in which they set.
    """
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        sock.setsockopt(socket.SOL_SOCKET, option, 1)


def send_through(sock: socket.socket, group: IP, route: Route) -> None:
    """Send to the group on this route. Raises OSError."""
    interface, ttl = route
    if isinstance(group, ipaddress.IPv6Address):
        if interface:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface_index(interface))
        if ttl is not None:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
        return
    if ttl is not None:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
    if interface:
        try:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _ipv4_request(group, interface))
        except OSError as error:
            raise _explained(error, f"cannot send to group {group}", interface) from None


def _ipv4_request(group: ipaddress.IPv4Address, interface: str) -> bytes:
    own = read_ip(interface)
    if isinstance(own, ipaddress.IPv4Address):
        return _IPV4_REQUEST.pack(group.packed, own.packed, 0)
    return _IPV4_REQUEST.pack(group.packed, bytes(4), interface_index(interface) if interface else 0)


def _explained(error: OSError, doing: str, interface: str) -> OSError:
    """Return the error in words: the kernel says "no such device" both for a wrong address and for a missing route."""
    if error.errno not in (errno.ENODEV, errno.EADDRNOTAVAIL):
        return error
    if interface:
        return no_such_interface(interface)
    return OSError(error.errno, f"{doing}: no interface has a route to it; name one with 'interface'")
