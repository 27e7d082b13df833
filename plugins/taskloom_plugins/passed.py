"""Sockets that systemd has opened for the program: `listen: "fd://NAME"`."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import replace

from taskloom import PermanentFailure
from taskloom.waiting import passed_sockets
from taskloom_plugins.addresses import PASSED, Address, address_of

__all__ = ["describe_passed", "open_passed", "read_passed", "with_real_scheme"]

_LONGEST_NAME = 255  # of FileDescriptorName=
_SCHEMES = {
    (socket.AF_INET, socket.SOCK_STREAM): "tcp",
    (socket.AF_INET6, socket.SOCK_STREAM): "tcp",
    (socket.AF_INET, socket.SOCK_DGRAM): "udp",
    (socket.AF_INET6, socket.SOCK_DGRAM): "udp",
    (socket.AF_UNIX, socket.SOCK_STREAM): "unix",
    (socket.AF_UNIX, socket.SOCK_DGRAM): "unix-dgram",
}


def read_passed(text: str) -> Address | None:
    """Return the address that `fd://NAME` or `fd://3` is; None for another one. Raises ValueError."""
    if not text.lower().startswith(PASSED):
        return None
    name = text[len(PASSED) :]
    if not name or ":" in name or "/" in name or not name.isprintable() or len(name) > _LONGEST_NAME:
        raise ValueError(
            f"cannot read {text!r} as an address: write fd://NAME, with the FileDescriptorName= of a socket"
        )
    if name.isdecimal() and int(name) < 3:
        raise ValueError(f"cannot read {text!r} as an address: sockets are passed from number 3 on")
    return Address("", passed=name)


def open_passed(address: Address) -> list[socket.socket]:
    """Return duplicates of the sockets, not blocking. Raises PermanentFailure, in words, if they cannot be used."""
    try:
        found = passed_sockets(address.passed)
    except LookupError as error:
        raise PermanentFailure(f"cannot listen on {address}: cannot find this socket; {error.args[0]}") from None
    except OSError as error:
        raise PermanentFailure(f"cannot listen on {address}: {(error.strerror or str(error)).lower()}") from None
    with contextlib.ExitStack() as opened:
        for sock in found:
            opened.enter_context(sock)
        for sock in found:
            _check(address, sock)
            sock.setblocking(False)
        if len({_SCHEMES[sock.family, sock.type] for sock in found}) > 1:
            raise PermanentFailure(f"cannot listen on {address}: its sockets are of different kinds; give each a name")
        opened.pop_all()
    return found


def _check(address: Address, sock: socket.socket) -> None:
    if (sock.family, sock.type) not in _SCHEMES:
        kind = f"{sock.family.name} {sock.type.name}"
        raise PermanentFailure(f"cannot listen on {address}: its kind is {kind}; expected TCP, UDP or a unix socket")
    if sock.type == socket.SOCK_STREAM and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise PermanentFailure(f"cannot listen on {address}: it is one connection; the socket unit needs Accept=no")


def with_real_scheme(address: Address) -> Address:
    """Return the address with the scheme of its sockets. Raises PermanentFailure as `open_passed`."""
    found = open_passed(address)
    for sock in found:
        sock.close()
    return replace(address, scheme=_SCHEMES[found[0].family, found[0].type])


def describe_passed(address: Address, sock: socket.socket) -> str:
    """Return the address with that to which the socket is bound, for the log."""
    return f"{address} ({address_of(address.scheme, sock.getsockname())})"
