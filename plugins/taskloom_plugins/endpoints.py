"""Looks up addresses and connects to them. A stop can interrupt every step of it."""

from __future__ import annotations

import errno
import ipaddress
import os
import select
import socket
import threading
import time
from typing import Any

from taskloom import Context, PermanentFailure, TaskFailure
from taskloom_plugins.addresses import Address
from taskloom_plugins.interfaces import interface_index
from taskloom_plugins.multicast import ANY_ROUTE, Route, group_of, send_through

__all__ = ["EndpointError", "Resolved", "UnknownHostError", "connect", "explain", "resolve", "send_all", "wait_for"]

# The longest path of a unix socket, in bytes: the kernel's field has 108, including the NUL at the end.
_MAX_PATH_BYTES = 107
# Failures of the resolver that say nothing about the name: a server that does not answer, or too little memory.
_RESOLVER_TROUBLE = {socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_MEMORY, socket.EAI_SYSTEM}

Resolved = tuple[int, Any]
"""Family and socket address."""


class EndpointError(TaskFailure):
    """An address cannot be used; the message names it."""


class UnknownHostError(EndpointError):
    """A host name does not exist now. It may again if it did before, as when a name server is restarted."""


def explain(error: OSError) -> str:
    """Return the system's text for the error, in lower case for the end of a sentence."""
    text = error.strerror or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


def wait_for(ctx: Context, descriptor: int, events: int, seconds: float | None = None) -> bool:
    """Wait until poll() reports the events; return False if they do not come within `seconds`.

    Raises Cancelled as soon as the run is cancelled.
    """
    poll = select.poll()
    poll.register(descriptor, events)
    poll.register(ctx.fileno(), select.POLLIN)
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        ctx.raise_if_cancelled()
        remaining = ctx.poll_interval if deadline is None else deadline - time.monotonic()
        if remaining <= 0:
            return False
        # Rounded up: a wait of zero milliseconds would be a busy loop.
        ready = poll.poll(int(min(remaining, ctx.poll_interval) * 1000) + 1)
        if any(number == descriptor for number, _ in ready):
            return True


# -- resolving -------------------------------------------------------------------------------------


def resolve(ctx: Context, address: Address, doing: str, interface: str = "") -> list[Resolved]:
    """Return the socket addresses to try, in order. `interface`: where a multicast group is meant.

    Raises ConnectionError if another attempt may succeed, OSError for an interface that does not exist,
    UnknownHostError, PermanentFailure or Cancelled.
    """
    if address.is_unix:
        size, what = len(os.fsencode(address.path)), "name" if address.is_abstract else "path"
        if size > _MAX_PATH_BYTES:
            raise PermanentFailure(
                f"cannot {doing} {address}: the {what} has {size} bytes; a unix socket allows {_MAX_PATH_BYTES}"
            )
        return [(socket.AF_UNIX, address.unix_address)]
    if address.is_every_interface:
        # One socket for both families if the machine has IPv6.
        both: list[Resolved] = [(socket.AF_INET6, ("::", address.port)), (socket.AF_INET, ("0.0.0.0", address.port))]
        return both[:1] if address.host else both
    if address.ip is not None:
        return [_read_ip(address, interface)]
    found = _read_number(address) or _look_up(ctx, address, doing)
    # A name may be in the list of hosts several times.
    return list(dict.fromkeys((family, sockaddr) for family, _, _, _, sockaddr in found))


def _read_ip(address: Address, interface: str) -> Resolved:
    if isinstance(address.ip, ipaddress.IPv4Address):
        return socket.AF_INET, (str(address.ip), address.port)
    zone = address.zone or interface
    return socket.AF_INET6, (str(address.ip), address.port, 0, interface_index(zone) if zone else 0)


def _read_number(address: Address) -> list[Any]:
    """Return the resolved form of an IPv4 address in an old notation such as 127.1; an empty list for a host name."""
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    try:
        return socket.getaddrinfo(address.host, address.port, type=address.kind, flags=flags)
    except (OSError, UnicodeError):
        return []


def _look_up(ctx: Context, address: Address, doing: str) -> list[Any]:
    """Call the resolver on a helper thread, because nothing can interrupt it and a stop must not wait for it."""
    answer: list[Any] = []
    try:
        ours, theirs = socket.socketpair()
    except OSError as error:
        raise _resolver_trouble(address, error) from None

    def resolve() -> None:
        with theirs:  # closing it wakes the run's thread
            try:
                answer.extend(socket.getaddrinfo(address.host, address.port, type=address.kind))
            except (OSError, UnicodeError) as error:
                answer.append(error)

    helper = threading.Thread(target=resolve, name=f"{ctx.job}-lookup", daemon=True)
    with ours:
        try:
            helper.start()
        except RuntimeError as error:  # the system has no thread left
            theirs.close()
            raise _resolver_trouble(address, OSError(errno.EAGAIN, str(error))) from None
        wait_for(ctx, ours.fileno(), select.POLLIN)
    helper.join()
    failure = answer[0] if isinstance(answer[0], Exception) else None
    if failure is None:
        return answer
    if isinstance(failure, OSError):
        if not isinstance(failure, socket.gaierror) or failure.errno in _RESOLVER_TROUBLE:
            raise _resolver_trouble(address, failure)
        why = explain(failure)
    else:
        why = str(failure)
    raise UnknownHostError(f"cannot {doing} {address}: cannot find host {address.host!r}: {why}")


def _resolver_trouble(address: Address, error: OSError) -> ConnectionError:
    return ConnectionError(f"cannot look up {address.host!r} now: {explain(error)}")


# -- connecting ------------------------------------------------------------------------------------


def connect(ctx: Context, address: Address, timeout: float, route: Route = ANY_ROUTE) -> socket.socket:
    """Return a connected, non-blocking socket; each resolved address of a host gets `timeout` seconds.

    Raises ConnectionError if another attempt may succeed, UnknownHostError, PermanentFailure if none will, and
    Cancelled as soon as the run is cancelled.
    """
    last_error: OSError = ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    try:
        candidates = resolve(ctx, address, "connect to", route.interface)
    except ConnectionError:
        raise
    except OSError as error:
        candidates, last_error = [], error
    for candidate in candidates:
        try:
            return _connect_one(ctx, address, candidate, timeout, route)
        except OSError as error:
            last_error = error
    raise ConnectionError(f"cannot connect to {address}: {explain(last_error)}")


def _connect_one(ctx: Context, address: Address, resolved: Resolved, timeout: float, route: Route) -> socket.socket:
    family, sockaddr = resolved
    sock = socket.socket(family, address.kind)
    try:
        sock.setblocking(False)
        _prepare_datagrams(sock, address, sockaddr, route)
        code = sock.connect_ex(sockaddr)
        if code == errno.EINPROGRESS:
            if not wait_for(ctx, sock.fileno(), select.POLLOUT, timeout):
                raise TimeoutError(errno.ETIMEDOUT, f"no answer within {timeout:g} s")
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        if address.scheme == "tcp" and sock.getsockname() == sock.getpeername():
            # If nothing listens on a local port, the kernel may pick this port for our side and connect the socket to
            # itself.
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    except BaseException:
        sock.close()
        raise
    return sock


def _prepare_datagrams(sock: socket.socket, address: Address, sockaddr: Any, route: Route) -> None:
    if address.scheme == "unix-dgram":
        sock.bind("")  # the kernel picks a name, so that the peer can answer
    elif address.scheme == "udp":
        # Without it the kernel refuses a broadcast address; which addresses are such depends on the interfaces.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        group = group_of(sockaddr)
        if group is not None:
            send_through(sock, group, Route(route.interface or address.zone, route.ttl))


def send_all(ctx: Context, sock: socket.socket, data: bytes) -> None:
    """Pass all data to the kernel. Raises OSError if the connection is lost, Cancelled if the run is cancelled.

    Sends nothing if `data` is empty; an empty send would create an empty datagram.
    """
    remaining = memoryview(data)
    while remaining:
        try:
            remaining = remaining[sock.send(remaining) :]
        except BlockingIOError:
            wait_for(ctx, sock.fileno(), select.POLLOUT)
