"""The processes of one run as /proc shows them: their memory, their processor time, and what each of them does.

A run may have thousands of processes, and the machine may have many such runs, so that every reader has a limit. A
process that has ended meanwhile, or that must not be read, is left out.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

from taskloom.runners import ProcessInfo
from taskloom.runners.proc import command_of
from taskloom.text import printable, shortened

__all__ = ["LONGEST_COMMAND", "MOST_PROCESSES", "ProcessState", "info_of", "tree_of", "tree_text", "where_of"]

MOST_PROCESSES = 1000
"""More processes of one run than these are not looked at: a run that forks without end is seen all the same."""
LONGEST_COMMAND = 120
"""In characters: of a longer command line the beginning and the end say enough."""
_MOST_SHOWN = 100
# The kernel walks the page tables for it, which takes up to a millisecond for a process of usual size.
_MOST_SHARES = 64

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_KIB = 1024
# The letters of /proc/PID/stat. A wait for a disk cannot be interrupted, not even by SIGKILL.
_WORDS = {
    "R": "running",
    "S": "sleeping",
    "D": "waiting for a device",
    "T": "stopped",
    "t": "stopped by a debugger",
    "Z": "ended",
    "X": "ended",
    "I": "idle",
}


class ProcessState(NamedTuple):
    """One process. `depth`: how many processes are between it and the first one of the run."""

    pid: int
    parent: int
    depth: int
    letter: str
    """Its state, as the letter of /proc: `R`, `S`, `D`, `T`, `Z`."""
    name: str
    cpu: float
    """Seconds of processor time, with that of its children which have ended and were waited for."""
    resident: int
    """Bytes of its resident memory; pages that it shares with others count in full."""

    @property
    def state(self) -> str:
        """Its state in words, with the function of the kernel in which it waits if that may be read."""
        word = _WORDS.get(self.letter, f"in state {self.letter}")
        if self.letter not in "SD":
            return word
        place = _text_of(f"/proc/{self.pid}/wchan")
        return f"{word} in {printable(place)}" if place not in ("", "0") else word


def tree_of(root: int, most: int = MOST_PROCESSES) -> list[ProcessState]:
    """Return a process and its descendants, parents first, at most `most` of them; [] if it has ended."""
    found: list[ProcessState] = []
    pending = [(root, 0)]
    while pending and len(found) < most:
        pid, depth = pending.pop()
        process = _read(pid, depth)
        if process is not None:
            found.append(process)
            pending += [(child, depth + 1) for child in reversed(_children(pid))]
    return found


def info_of(main: int, root: int | None = None) -> ProcessInfo | None:
    """Return the numbers of a run for status: of its main process and all others; None if none is left.

    `root`: the process whose descendants they are, if that is not `main` but a supervisor, which is not counted.
    """
    tree = tree_of(main if root is None else root)
    above = [process for process in tree if process.pid == root]
    tree = [process for process in tree if process.pid != root and process.letter not in "ZX"]
    if not tree:
        return None
    first = next((process for process in tree if process.pid == main), tree[0])
    if first.letter in "Tt":
        state = "stopped"
    else:
        state = "running" if any(process.letter == "R" for process in tree) else "sleeping"
    cpu = sum(process.cpu for process in tree) + sum(map(_cpu_of_ended, above))
    memory = sum(map(_share, tree[:_MOST_SHARES])) + sum(process.resident for process in tree[_MOST_SHARES:])
    return ProcessInfo(main, len(tree), memory, round(cpu, 2), state)


def where_of(main: int) -> str:
    """Return what the first process of a program does: `nginx (pid 5331), sleeping in do_epoll_wait`; "" if gone."""
    process = _read(main, 0)
    return f"{printable(process.name)} (pid {main}), {process.state}" if process is not None else ""


def tree_text(root: int, *, without_root: bool = False) -> str:
    """Return a line for each process of a run, indented below its parent: its number, its state, its command line.

    `without_root`: the root is a supervisor, and not shown.
    """
    tree = [process for process in tree_of(root) if not (without_root and process.pid == root)]
    lines = [_line(process, process.depth - without_root) for process in tree[:_MOST_SHOWN]]
    if len(tree) > _MOST_SHOWN:
        lines.append(f"  and {len(tree) - _MOST_SHOWN:,} more")
    return "".join(f"{line}\n" for line in lines)


def _line(process: ProcessState, depth: int) -> str:
    command = printable(shortened(command_of(process.pid), LONGEST_COMMAND))
    return f"{'  ' * (depth + 1)}pid {process.pid}, {process.state}: {command}"


def _read(pid: int, depth: int) -> ProcessState | None:
    stat = _bytes_of(f"/proc/{pid}/stat")
    # The name of the program is in brackets, and may contain blanks and brackets.
    head, _, rest = stat.rpartition(b")")
    fields = rest.split()
    try:
        ticks = sum(map(int, fields[11:15]))
        letter, parent, resident = fields[0].decode("ascii"), int(fields[1]), int(fields[21]) * _PAGE
    except (IndexError, ValueError):
        return None  # it has ended
    name = head.partition(b"(")[2].decode("utf-8", "backslashreplace")
    return ProcessState(pid, parent, depth, letter, name, ticks / _TICKS, resident)


def _cpu_of_ended(process: ProcessState) -> float:
    """Return the processor time of the ended children of a supervisor, without its own."""
    fields = _bytes_of(f"/proc/{process.pid}/stat").rpartition(b")")[2].split()
    try:
        return (int(fields[13]) + int(fields[14])) / _TICKS
    except (IndexError, ValueError):
        return 0.0


def _children(pid: int) -> list[int]:
    """Return the children of all threads of a process."""
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - half the time of Path.iterdir
            found += map(int, _bytes_of(f"/proc/{pid}/task/{thread}/children").split())
    return sorted(found)


def _share(process: ProcessState) -> int:
    """Return the bytes of its memory: its share of what it has in common with others, if that may be read."""
    for line in _bytes_of(f"/proc/{process.pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * _KIB
    return process.resident


def _text_of(path: str) -> str:
    return _bytes_of(path).decode("utf-8", "backslashreplace").strip()


def _bytes_of(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - called for each process of each run
            return file.read() or b""
    except OSError:
        return b""
