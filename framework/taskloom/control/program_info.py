"""The program as the API describes it, and how the API asks it to reload and to stop."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from taskloom.clock import wall
from taskloom.control.exchange import Caller
from taskloom.core.changes import Change
from taskloom.core.model import Reason
from taskloom.diagnostics import Problem

__all__ = ["ProgramInfo", "ReloadOutcome", "RequestReload", "RequestShutdown"]


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """One start of a program. `start`: its id, new for each start; `since`: seconds since the epoch."""

    name: str
    label: str | None = None
    """The name that is typed while it is unique: `jobs` for `jobs-3f2a`."""
    start: str = field(default_factory=lambda: os.urandom(4).hex())
    since: float = field(default_factory=wall)
    paths: tuple[str, ...] = ()
    cwd: str = ""
    command: tuple[str, ...] = ()
    pid: int = field(default_factory=os.getpid)
    uid: int = field(default_factory=os.getuid)


class ReloadOutcome(NamedTuple):
    """How a reload or its preview ended. `error`: why nothing was changed; None if it worked."""

    changes: Sequence[Change] = ()
    sum: str = ""
    warnings: Sequence[Problem] = ()
    error: str | None = None
    code: str = ""
    """The code of the error: `invalid-files` if files have errors, then `problems` has them."""
    problems: Sequence[Problem] = ()
    text: str = ""
    """The problems as `taskloom validate` prints them."""


class RequestReload(Protocol):
    """Starts a reload of the job files, or a preview of it, and returns at once."""

    def __call__(self, *, is_preview: bool, done: Callable[[ReloadOutcome], object]) -> object:
        """`done` is called once, on any thread, with the outcome; it does not block."""


class RequestShutdown(Protocol):
    """Begins to stop the program, or hurries the stop that is under way, and returns at once."""

    def __call__(self, within: float | None, reason: Reason) -> object:
        """`within`: seconds for the whole stop from now, inf for no limit; None for the program's own limit."""


_ACCOUNTS = "/etc/passwd"


class CallerNames:
    """The names of the users that may send requests: ours and root.

    They are read once from the file of accounts. `pwd` would ask a name service, which may not answer for minutes.
    """

    def __init__(self, path: str = _ACCOUNTS) -> None:
        self._names: Mapping[int, str] = _read_names(path, {0, os.getuid()})

    def name_of(self, uid: int) -> str | None:
        """Return the name of a user; None if it is not known."""
        return self._names.get(uid)

    def describe(self, caller: Caller) -> str:
        """Return who has sent a request: `alice (uid 1000, pid 4242)`."""
        name = None if caller.via else self._names.get(caller.uid)
        return str(caller) if name is None else f"{name} ({caller})"


def _read_names(path: str, uids: set[int]) -> dict[int, str]:
    names: dict[int, str] = {}
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            for line in file:
                parts = line.decode(errors="replace").split(":")
                if len(parts) > 3 and parts[2].isdigit() and int(parts[2]) in uids and parts[0].isprintable():
                    names.setdefault(int(parts[2]), parts[0])
    except (OSError, ValueError):
        pass  # a container without accounts: the number says enough
    return names


def problem_data(problem: Problem) -> dict[str, Any]:
    """Return a problem of a job file as JSON data."""
    return {
        "place": str(problem.place),
        "message": problem.message,
        "hint": problem.hint or None,
        "severity": problem.severity,
        "job": problem.job,
        "frame": problem.source_line or None,
    }
