"""How a service manager wants to be told about the program: sd_notify(3), without a library.

`NOTIFY_SOCKET` is the address of a datagram socket, with an @ in place of the NUL of an abstract one. A message is
lines of `NAME=VALUE`. The variables are taken from the environment: no child process of ours speaks for the program.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, MutableMapping
from typing import NamedTuple

__all__ = ["NotifySocket", "take_notify_socket"]

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
# A shorter one could not be fed on a busy machine.
_LEAST_WATCHDOG = 0.1
# Of a number of 64 bits, as systemd has it.
_MOST_DIGITS = 20


class NotifySocket(NamedTuple):
    """The socket of the service manager, and how often it expects a sign of life."""

    address: str
    watchdog: float | None = None
    """Seconds within which it has to come; None if none is expected."""

    def send(self, *lines: str) -> bool:
        """Send one message; return False if it could not be sent now. Never blocks.

        The socket is made for each message: nothing can close it, or pass it on to a child process.
        """
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.sendto("\n".join(lines).encode("utf-8", "backslashreplace"), self.address)
        except OSError:  # its queue is full, no descriptor is left, or the service manager begins again
            return False
        return True


def take_notify_socket(
    environ: MutableMapping[str, str], pids: Collection[int] | None = None
) -> tuple[NotifySocket | None, str]:
    """Return what the variables say, and remove them; None if there is no service manager.

    Also return what is wrong with them, or "". `pids`: the process ids that the program may be known by.
    """
    written = {name: environ.pop(name, "") for name in _VARIABLES}
    place = written["NOTIFY_SOCKET"]
    if not place:
        return None, ""
    if len(place) < 2 or place[0] not in "/@":
        return None, f"cannot notify the service manager at {place!r}; expected NOTIFY_SOCKET=/PATH or @NAME"
    address = f"\0{place[1:]}" if place.startswith("@") else place
    watchdog, problem = _watchdog(written, {os.getpid()} if pids is None else pids)
    return NotifySocket(address, watchdog), problem


def _watchdog(written: dict[str, str], pids: Collection[int]) -> tuple[float | None, str]:
    every, pid = written["WATCHDOG_USEC"], written["WATCHDOG_PID"]
    if not every or (pid and pid not in map(str, pids)):
        return None, ""
    if not (every.isascii() and every.isdecimal() and len(every) <= _MOST_DIGITS and int(every)):
        return None, f"cannot use WATCHDOG_USEC={every[:40]!r}; expected microseconds"
    return max(_LEAST_WATCHDOG, int(every) / 1e6), ""
