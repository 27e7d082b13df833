"""Sockets that systemd, or another parent, has opened and passed to this process: `LISTEN_FDS` of sd_listen_fds(3).

They are taken once: the variables are removed and the descriptors become close-on-exec, so that no child process gets
them. They stay open as long as the process lives, and each caller gets a duplicate: closing that closes nothing, so a
job that begins again finds the same sockets.
"""

from __future__ import annotations

import os
import socket
from _thread import allocate_lock
from collections.abc import Collection, MutableMapping
from contextlib import ExitStack

from taskloom.text import did_you_mean

__all__ = ["passed_sockets", "take_passed_sockets"]

# SD_LISTEN_FDS_START; what comes before are the standard streams.
_FIRST = 3
_UNNAMED = "unknown"
_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")

_lock = allocate_lock()
# The descriptors with their names, in their order; None until they are taken.
_taken: list[tuple[str, int]] | None = None
_why_none = ""


def take_passed_sockets(environ: MutableMapping[str, str] | None = None, pids: Collection[int] | None = None) -> None:
    """Take what was passed to this process, and remove the variables that say so. Idempotent.

    Called by `taskloom run` before it starts anything, and else by the first `passed_sockets`. `pids`: the process ids
    to which the descriptors may have been passed, by default that of this process.
    """
    global _taken, _why_none
    found = os.environ if environ is None else environ
    with _lock:
        if _taken is None:
            written = {name: found.pop(name, "") for name in _VARIABLES}
            try:
                _taken, _why_none = _take(written, {os.getpid()} if pids is None else pids), ""
            except ValueError as error:
                _taken, _why_none = [], str(error)


def _take(written: dict[str, str], pids: Collection[int]) -> list[tuple[str, int]]:
    """Return the descriptors with their names. Raises ValueError that says why there is none."""
    if not written["LISTEN_FDS"]:
        raise ValueError("none was passed to this program (LISTEN_FDS is not set)")
    if not written["LISTEN_PID"].isdecimal() or int(written["LISTEN_PID"]) not in pids:
        raise ValueError(f"they were passed to process {written['LISTEN_PID'] or 'none'} (LISTEN_PID), not to this one")
    if not written["LISTEN_FDS"].isdecimal() or len(written["LISTEN_FDS"]) > 5:
        raise ValueError(f"LISTEN_FDS is {written['LISTEN_FDS'][:20]!r}, not a number")
    names = written["LISTEN_FDNAMES"].split(":") if written["LISTEN_FDNAMES"] else []
    taken = []
    for index in range(int(written["LISTEN_FDS"])):
        try:
            os.set_inheritable(_FIRST + index, False)
        except OSError:
            continue  # it was closed before; who asks for it learns that it is not there
        name = names[index] if index < len(names) else ""
        taken.append((name or _UNNAMED, _FIRST + index))
    return taken


def passed_sockets(name: str) -> list[socket.socket]:
    """Return duplicates of the sockets with a name (`FileDescriptorName=`), or of the one with a number, such as `3`.

    The caller closes them. They share their state with the original: `shutdown` and the blocking mode are those of all
    duplicates. Raises LookupError, in words, if there is none, and OSError if one is not a socket.
    """
    take_passed_sockets()
    taken = _taken or []
    numbers = [number for each, number in taken if name == each]
    if not numbers and name.isdecimal():
        numbers = [number for _, number in taken if number == int(name)]
    if not numbers:
        known = ", ".join(f"{each} (fd {number})" for each, number in taken)
        near = did_you_mean(name, dict.fromkeys(each for each, _ in taken), before="; ")
        raise LookupError(f"passed: {known}{near}" if known else _why_none or "none was passed to this program")
    with ExitStack() as opened:
        found = [opened.enter_context(_duplicate(number)) for number in numbers]
        opened.pop_all()
    return found


def _duplicate(number: int) -> socket.socket:
    """Return a socket of its own; its family and type are asked of the kernel."""
    copy = os.dup(number)
    try:
        return socket.socket(fileno=copy)
    except BaseException:
        os.close(copy)
        raise
