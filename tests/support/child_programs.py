"""Programs that a test starts as child processes, with what they print."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from taskloom.clock import mono

__all__ = ["ChildProgram", "run_program"]

# Reached only when a test fails.
PATIENCE_SECONDS = 60.0
AGAIN_SECONDS = 0.5


def run_program(
    text: str, env: Mapping[str, str], *, timeout: float = PATIENCE_SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run a Python program, given by its text, to its end."""
    command = [sys.executable, "-c", textwrap.dedent(text)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout, check=False)


class ChildProgram:
    """A program in a session of its own, whose output (both streams) a test waits for."""

    def __init__(self, command: list[str], env: Mapping[str, str], cwd: Path | None = None) -> None:
        self.output = ""
        self._process = subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill what is left of its session."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.communicate()

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its process group."""
        return self._process.pid

    def wait_for(self, text: str, count: int = 1) -> None:
        """Wait until it has printed the text `count` times. Raises AssertionError if it ends before."""
        assert self._process.stdout is not None
        until = mono() + PATIENCE_SECONDS
        while self.output.count(text) < count:
            readable, _, _ = select.select([self._process.stdout], [], [], max(0.0, until - mono()))
            chunk = os.read(self._process.stdout.fileno(), 65536) if readable else b""
            assert chunk, f"expected {text!r} {count} times; the output is\n{self.output}"
            self.output += chunk.decode(errors="replace")

    def send(self, number: int) -> None:
        """Send a signal to the program alone."""
        os.kill(self._process.pid, number)

    def end(self, timeout: float = PATIENCE_SECONDS) -> tuple[int, float]:
        """Wait for its end; return the exit code and the seconds that it took.

        Its end includes that of every process that has inherited its output.
        """
        began = mono()
        self.output += self._process.communicate(timeout=timeout)[0].decode(errors="replace")
        return self._process.returncode, mono() - began

    def end_by(self, number: int) -> int:
        """Send the signal again and again until the program has ended; return the exit code."""
        for _ in range(round(PATIENCE_SECONDS / AGAIN_SECONDS)):
            self.send(number)
            try:
                return self.end(AGAIN_SECONDS)[0]
            except subprocess.TimeoutExpired:
                pass
        raise AssertionError(f"the program does not end; its output is\n{self.output}")

    def is_gone(self) -> bool:
        """Return whether no process of its session is left; process 1 may not reap one at once that has ended."""
        pause = threading.Event()
        for _ in range(200):
            try:
                os.killpg(self._process.pid, 0)
            except ProcessLookupError:
                return True
            pause.wait(0.05)
        return False
