"""A program that is process 1 of a pid namespace, and a shell at a terminal that starts one."""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path
from typing import Any

from tests.support.processes import INIT_NAME, all_processes


class Inside:
    """A program in its namespace: `init` and `program` are its two processes, by their pids outside."""

    def __init__(self, running: Any, init: int, program: int) -> None:
        self.running, self.init, self.program = running, init, program

    def __getattr__(self, name: str) -> Any:
        return getattr(self.running, name)

    def pids(self) -> list[int]:
        """Return all processes of the namespace, zombies included, except for the init."""
        name = os.readlink(f"/proc/{self.init}/ns/pid")  # noqa: PTH115
        return [seen.pid for seen in all_processes() if seen.pid != self.init and _namespace_of(seen.pid) == name]


def _namespace_of(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115
    except OSError:
        return ""


def find_init(running: Any) -> int:
    """Wait until the init of the program has taken its name."""
    while True:
        for seen in all_processes():
            if seen.parent == running.process.pid and seen.name == INIT_NAME:
                return seen.pid
        running.pass_time(0.002)


def child_of(parent: int) -> int:
    [child] = [seen.pid for seen in all_processes() if seen.parent == parent]
    return child


class InteractiveBash:
    """An interactive shell at a terminal."""

    def __init__(self, terminal: tuple[int, int], env: dict[str, str], folder: Path) -> None:
        self._master = terminal[0]
        self._shown = b""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "bash", "--norc", "-i"],
            stdin=terminal[1], stdout=terminal[1], stderr=terminal[1], env=env | {"PS1": "PROMPT> "}, cwd=folder,
        )  # fmt: skip

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str) -> None:
        """Wait until the terminal shows this text, after what was waited for before."""
        poller = select.poll()
        poller.register(self._master, select.POLLIN)
        while text.encode() not in self._shown:
            assert poller.poll(30_000), f"{text!r} never came:\n{self._shown.decode()}"
            self._shown += os.read(self._master, 4096)
        self._shown = self._shown.partition(text.encode())[2]
