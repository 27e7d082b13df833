"""Finds a network interface of this machine by its name, its number or its IPv6 address."""

from __future__ import annotations

import errno
import ipaddress
import socket
from pathlib import Path

from taskloom_plugins.addresses import read_ip

__all__ = ["interface_index", "no_such_interface"]

# One line for each IPv6 address of the machine: the address in hexadecimal, the index of its interface, ...
_IPV6_ADDRESSES = Path("/proc/net/if_inet6")


def interface_index(wanted: str) -> int:
    """Return the index of the interface that is described by a name, a number or an IPv6 address of it.

    Raises OSError with the interfaces that exist; an interface may come later.
    """
    ip = read_ip(wanted)
    if isinstance(ip, ipaddress.IPv6Address):
        index = _index_of_ipv6(ip)
    else:
        index = _index_of_name(wanted)
    if index is None:
        raise no_such_interface(wanted)
    return index


def no_such_interface(wanted: str) -> OSError:
    """Return the error for an interface that this machine does not have now."""
    names = ", ".join(name for _, name in socket.if_nameindex()) or "none"
    return OSError(errno.ENODEV, f"cannot find interface {wanted!r}; this machine has {names}")


def _index_of_name(wanted: str) -> int | None:
    try:
        return socket.if_nametoindex(wanted)
    except (OSError, ValueError):
        pass
    indexes = {str(index): index for index, _ in socket.if_nameindex()}
    return indexes.get(wanted)


def _index_of_ipv6(ip: ipaddress.IPv6Address) -> int | None:
    try:
        lines = _IPV6_ADDRESSES.read_text("ascii").splitlines()
    except OSError:  # a machine without IPv6
        return None
    fields = [line.split() for line in lines]
    return next((int(index, 16) for address, index, *_ in fields if address == ip.packed.hex()), None)
