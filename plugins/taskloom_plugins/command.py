"""The task `command`: a program as a job, started, checked and stopped as its params say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

from taskloom import Check, Program, Signal, Task, param

__all__ = ["Command", "Ready"]

_SHELL = "/bin/sh"
# Also one of another kind, and one whose kind was forgotten, which are refused: no line of output was meant.
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://|(localhost|[0-9]+(\.[0-9]+){3}|\[[0-9a-f:.]+\]):[0-9]+$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Ready:
    """When the program is ready: exactly one of both is given."""

    line: str | None = None
    """A regular expression that is found in a line of its output."""
    address: str | None = None
    """An address that answers."""

    def __post_init__(self) -> None:
        """Raise ValueError unless exactly one of both is given."""
        if (self.line is None) is (self.address is None):
            raise ValueError("cannot use this as ready: write one of line and address")


class Command(Task):
    """Run a program and keep it under the same rules as any other job.

    A stop sends it `stop_signal`, or runs `stop_command`. Shortly before the time to stop is over, its process group
    gets SIGTERM, and at the end all of its processes get SIGKILL. Its output is the job's log, line by line. A program
    that puts itself into the background has failed: start it in the foreground.
    """

    argv: list[str] | str = param(
        description="the program and its arguments, as a list; with shell: true the text for /bin/sh",
        examples=[["nginx", "-g", "daemon off;"]],
    )
    shell: bool = param(default=False, description="whether argv is a text that /bin/sh executes")
    env: dict[str, str] = param(default={}, description="variables that are added to its environment")
    env_file: list[str] | str = param(
        default=[], description="a file of NAME=VALUE lines, or several; env goes first, then the last file"
    )
    cwd: str | None = param(default=None, min_length=1, description="the folder in which it starts")
    stop_signal: Signal = param(default="TERM", description="the signal that asks it to stop")
    stop_command: list[str] = param(
        default=[], description="a program to run in place of stop_signal; $TASKLOOM_PID is the process to stop"
    )
    reload_signal: Signal | None = param(
        default=None, description="the signal that it gets when the job files are read again"
    )
    success_codes: list[int] = param(
        default=[0], min_length=1, description="the exit codes that do not count as failures"
    )
    stdin: str | None = param(default=None, description="the text that it reads from its standard input")
    ready: Ready | str | None = param(
        default=None,
        description="when it is ready: {line: REGEX} of its output, or {address: tcp://HOST:PORT, http://... or "
        "unix:///PATH}; a text alone is one of both",
    )
    check: Check | None = param(
        default=None,
        description="whether it still works: one of {command: LIST}, {tcp: HOST:PORT} and {http: URL}, with every, "
        "failures and timeout; counts as the watchdog",
    )

    def program(self) -> Program:
        """Return the program that the params describe."""
        line, address = self._ready()
        return Program(
            argv=(_SHELL, "-c", self.argv) if self.shell and isinstance(self.argv, str) else cast("Any", self.argv),
            shell=self.shell,
            env=self.env,
            env_files=(self.env_file,) if isinstance(self.env_file, str) else tuple(self.env_file),
            cwd=self.cwd,
            stop_signal=self.stop_signal,
            stop_command=tuple(self.stop_command),
            reload_signal=self.reload_signal,
            success_codes=frozenset(self.success_codes),
            stdin=None if self.stdin is None else self.stdin.encode(),
            ready_line=line,
            ready_address=address,
            check=self.check,
        )

    def _ready(self) -> tuple[str | None, str | None]:
        """Return the regular expression, or the address, that makes it ready."""
        if isinstance(self.ready, Ready):
            return self.ready.line, self.ready.address
        if self.ready is not None and _ADDRESS.match(self.ready):
            return None, self.ready
        return self.ready, None
