"""The messages of a supervisor about its run: one line for each fact, parsed into a record.

The lines come from our own program, but a pipe may be cut anywhere: a line that cannot be read raises ValueError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

__all__ = [
    "Continued",
    "Done",
    "Exited",
    "Grouped",
    "LeaseEnded",
    "Left",
    "OutOfMemory",
    "OverLimit",
    "ProcessStarted",
    "StartFailed",
    "Stopped",
    "SupervisorMessage",
    "parse_message",
]


class ProcessStarted(NamedTuple):
    """The main process of the run executes its program."""

    pid: int


class StartFailed(NamedTuple):
    """The program could not be executed; the supervisor ends. `text` is for users."""

    errno: int
    text: str


class Exited(NamedTuple):
    """The main process has ended. `status` is as `os.wait` returns it, times are CPU seconds, memory is in KiB."""

    status: int
    peak_memory: int
    user: float
    system: float


class Left(NamedTuple):
    """This number of processes of the run is alive some time after the end of its main process, and is ended now."""

    count: int  # type: ignore[assignment]  # hides a method of tuples that is never called
    names: str


class Stopped(NamedTuple):
    """A signal has stopped the main process."""

    number: int


class Continued(NamedTuple):
    """The main process goes on after it was stopped."""


class OverLimit(NamedTuple):
    """The processes used more than their `memory_limit`, in bytes, and are killed for it."""

    limit: int
    was: int


class OutOfMemory(NamedTuple):
    """The kernel has killed a process of the run for lack of memory."""


class LeaseEnded(NamedTuple):
    """The lease of the run has ended, and all its processes are killed for it."""


class Grouped(NamedTuple):
    """The run has a cgroup of its own, of which this is the folder. `kill_cgroup` kills it without the supervisor."""

    folder: str


class Done(NamedTuple):
    """No process of the run is left."""


SupervisorMessage = (
    ProcessStarted
    | StartFailed
    | Exited
    | Left
    | Stopped
    | Continued
    | OverLimit
    | OutOfMemory
    | LeaseEnded
    | Grouped
    | Done
)


def _start_failed(rest: str) -> StartFailed:
    number, _, text = rest.partition(" ")
    return StartFailed(int(number), text)


def _exited(rest: str) -> Exited:
    status, memory, user, system = rest.split()
    return Exited(int(status), int(memory), float(user), float(system))


def _left(rest: str) -> Left:
    count, _, names = rest.partition(" ")
    return Left(int(count), names)


def _over_limit(rest: str) -> OverLimit:
    limit, was = rest.split()
    return OverLimit(int(limit), int(was))


_PARSERS: dict[str, Callable[[str], SupervisorMessage]] = {
    "started": lambda rest: ProcessStarted(int(rest)),
    "failed": _start_failed,
    "exited": _exited,
    "left": _left,
    "stopped": lambda rest: Stopped(int(rest)),
    "continued": lambda _: Continued(),
    "over": _over_limit,
    "oom": lambda _: OutOfMemory(),
    "lease": lambda _: LeaseEnded(),
    "cgroup": Grouped,
    "done": lambda _: Done(),
}


def parse_message(line: str) -> SupervisorMessage:
    """Return the record of one line, which has no newline. Raises ValueError if it cannot be read."""
    word, _, rest = line.partition(" ")
    parser = _PARSERS.get(word)
    if parser is None:
        raise ValueError(f"unknown message {line!r}")
    return parser(rest)
