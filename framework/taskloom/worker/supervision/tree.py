"""The processes of a run: all descendants of the supervisor, found in /proc, and how they are killed.

A process can leave its group and its session, but not its ancestors: an orphan gets the supervisor as its parent. A
scan of /proc is not a snapshot, so it can miss a process whose parent has ended meanwhile. That does not matter: the
supervisor is finished when it has no child, not when a scan finds nothing.

Processes are named by their numbers here. The kernel gives out numbers in a circle, so none gets another meaning in the
milliseconds between the scan and the signal.
"""

import posix

from taskloom.worker.supervision.system import read_file, signals

# Scans until no process is found that has not been stopped. A fork bomb gets no further process when its members are
# stopped, so two or three are usual. The next sweep continues.
_MOST_SCANS = 20


class Process:
    """One process: `group` is the number of its process group."""

    __slots__ = ("group", "parent", "pid", "resident", "state")

    def __init__(self, pid: int, state: bytes, parent: int, group: int, resident: int) -> None:
        self.pid = pid
        self.state = state
        self.parent = parent
        self.group = group
        self.resident = resident
        """Pages of memory."""

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended; one that has ended stays until its parent asks for its status."""
        return self.state not in (b"Z", b"X")


def descendants() -> list[Process]:
    """Return the living processes below this one, parents before children."""
    below: dict[int, list[Process]] = {}
    for process in _processes():
        below.setdefault(process.parent, []).append(process)
    found = list(below.get(posix.getpid(), ()))
    for process in found:  # grows meanwhile
        found += below.get(process.pid, ())
    return [process for process in found if process.is_alive]


def names_of(found: list[Process]) -> bytes:
    """Return the names of the first ten programs, with commas."""
    names = []
    for process in found[:10]:
        name = read_file(f"/proc/{process.pid}/comm").strip()
        names.append(b"".join(c if c.isalnum() or c in b"-_./:+@" else b"?" for c in _characters(name)) or b"?")
    return b",".join(names)


def terminate(found: list[Process]) -> None:
    """Send SIGTERM to each, and SIGCONT, without which a stopped process would not get it."""
    for process in found:
        send(process.pid, signals.SIGTERM)
        send(process.pid, signals.SIGCONT)


def sweep() -> None:
    """Kill all descendants: stop them first, so that none forks while the others are found.

    Killing at once would free the places of a fork bomb that has reached its limit, and the members that the scan has
    missed would fill them again.
    """
    # Never our own group: the main process is in it before it has its own, and others may enter it.
    groups = {posix.getpgrp()}
    stopped: set[int] = set()
    for _ in range(_MOST_SCANS):
        fresh = [process for process in descendants() if process.pid not in stopped]
        if not fresh:
            break
        for process in fresh:
            stopped.add(process.pid)
            # All members of the group at once, so that none of them can fork.
            if process.group not in groups:
                groups.add(process.group)
                send_to_group(process.group, signals.SIGSTOP)
            send(process.pid, signals.SIGSTOP)
    for pid in stopped:
        send(pid, signals.SIGKILL)


def send(pid: int, number: int) -> bool:
    """Send a signal; return whether there was such a process, and it was ours to reach."""
    try:
        posix.kill(pid, number)
    except (OSError, OverflowError):
        return False
    return True


def send_to_group(group: int, number: int) -> bool:
    """Send a signal to a process group, at once to all its members; return whether it has any that we can reach."""
    try:
        posix.killpg(group, number)
    except (OSError, OverflowError):
        return False
    return True


def _characters(name: bytes) -> list[bytes]:
    return [name[i : i + 1] for i in range(len(name))]


def _processes() -> list[Process]:
    try:
        names = posix.listdir("/proc")
    except OSError:
        return []
    return [process for name in names if name.isdigit() and (process := _read(name)) is not None]


def _read(name: str) -> Process | None:
    # The name of the program is in brackets, and may contain spaces and brackets.
    fields = read_file(f"/proc/{name}/stat").rpartition(b")")[2].split(None, 23)
    if len(fields) < 23:
        return None  # it has ended
    return Process(int(name), fields[0], int(fields[1]), int(fields[2]), int(fields[21]))
