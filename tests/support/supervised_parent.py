"""A program that starts a run below a supervisor, and is killed itself."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from types import TracebackType
from typing import NamedTuple

from tests.support.processes import all_processes
from tests.support.supervised import MARK, kill_marked, marked

# Reads the messages to the end. `{before}` is executed when the run has been started.
PROGRAM = """
import os, re, sys, threading
from taskloom.runners.process.launch import LaunchSpec, launch
launched = launch(LaunchSpec(argv={argv!r}, env=dict(os.environ), job="job", grace={grace}, linger=0.05, lease={lease}))
launched.channel.setblocking(True)
os.set_blocking(launched.stdout, True)
print("launched", flush=True)
{after}
for line in launched.channel.makefile():
    print(line, end="", flush=True)
launched.reap(30)
"""

# A tree as bad tasks have it: children in the group, in another session, and orphans, all deaf.
FAMILY = """
trap '' TERM HUP INT
sh -c 'sleep 1000' &
setsid sh -c 'trap "" TERM; sleep 1000' &
(setsid sleep 1000 &)
(sleep 1000 &)
echo ready
while :; do sleep 1000; done
"""


class Roles(NamedTuple):
    """The processes of a program with one run; 0 for one that is not there."""

    parent: int
    supervisor: int
    main: int


class SupervisedParent:
    """The program, started. Use it in a `with` statement, which leaves nothing of it."""

    def __init__(self, argv: list[str], *, after: str = "", grace: float = 0.1, lease: float | None = None) -> None:
        self.mark = uuid.uuid4().hex
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(argv=argv, after=after, grace=grace, lease=lease)],
            env={**os.environ, MARK: self.mark},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def __enter__(self) -> SupervisedParent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kill_marked(self.mark)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def line(self) -> str:
        """Wait for the next line."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def rest(self) -> list[str]:
        """Wait for all lines up to the end."""
        assert self._process.stdout is not None
        return self._process.stdout.read().splitlines()

    def wait(self) -> int:
        """Wait for the end of the program; return its exit code."""
        return self._process.wait()

    def roles(self) -> Roles:
        """Return which process is which now."""
        family = marked(self.mark)
        seen = {one.pid: one for one in all_processes() if one.pid in family}
        supervisor = next((pid for pid, one in seen.items() if one.parent == self.pid), 0)
        # The supervisor adopts orphans, but only the main process is a shell that has made a group.
        main = next(
            (
                pid
                for pid, one in seen.items()
                if supervisor and one.parent == supervisor and one.group == pid and one.name not in ("setsid", "sleep")
            ),
            0,
        )
        return Roles(self.pid if self.pid in family else 0, supervisor, main)
