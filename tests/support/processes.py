"""Processes as /proc shows them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

WATCHER_NAME = "taskloom-watch"
INIT_NAME = "taskloom-init"


class Seen(NamedTuple):
    """One process."""

    pid: int
    name: str
    state: str
    parent: int
    group: int
    session: int


def all_processes() -> list[Seen]:
    """Return every process, zombies included."""
    return [seen for entry in Path("/proc").iterdir() if entry.name.isdigit() and (seen := _see(entry))]


def _see(entry: Path) -> Seen | None:
    try:
        head, _, tail = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
    except OSError:
        return None
    fields = tail.split()
    return Seen(int(entry.name), head.partition("(")[2], fields[0], *(int(field) for field in fields[1:4]))


def watcher_of(pid: int) -> int | None:
    """Return the live watcher of a program: the process of that name which shares its pipes."""
    pipes = pipes_of(pid)
    for seen in all_processes():
        if seen.name == WATCHER_NAME and seen.state != "Z" and pipes & pipes_of(seen.pid):
            return seen.pid
    return None


def pipes_of(pid: int) -> set[str]:
    """Return the pipes that a process has open."""
    return {target for target in descriptors_of(pid).values() if target.startswith("pipe:")}


def descriptors_of(pid: int) -> dict[int, str]:
    """Return what the descriptors of a process refer to; nothing if it has ended."""
    found = {}
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            found[int(entry.name)] = os.readlink(entry)  # noqa: PTH115 - it may be no path
    except OSError:
        pass
    return found


def command_line_of(pid: int) -> str:
    """Return what `ps` shows, without the zero bytes at the end."""
    return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0")


def status_of(pid: int, field: str) -> list[str]:
    """Return the words of one field of /proc/PID/status."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return value.split()
    raise KeyError(field)


def living_in(folder: Path) -> dict[int, str]:
    """Return the command lines of the processes whose working directory this is, zombies excluded.

    A child inherits it, whatever session and process group it makes for itself.
    """
    found = {}
    for seen in all_processes():
        try:
            if seen.state != "Z" and os.readlink(f"/proc/{seen.pid}/cwd") == str(folder):  # noqa: PTH115 - as above
                found[seen.pid] = command_line_of(seen.pid).replace("\0", " ")
        except OSError:
            continue  # it has ended meanwhile
    return found
