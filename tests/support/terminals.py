"""Programs on a pseudo-terminal, with everything that they write to it, and terminals in which a test types."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["Shown", "Terminal", "on_a_terminal"]

# Reached only when a test fails.
PATIENCE_SECONDS = 60.0
CTRL_C = b"\x03"


class Shown(NamedTuple):
    """The text that a program has written to its terminal, and its exit code."""

    text: str
    code: int


def on_a_terminal(command: list[str], env: Mapping[str, str], cwd: Path, *, is_stderr_too: bool = True) -> Shown:
    """Run a program to its end; its standard streams are a terminal, standard error only if `is_stderr_too`."""
    ours, theirs = pty.openpty()
    stderr = theirs if is_stderr_too else subprocess.DEVNULL
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=stderr, env=dict(env), cwd=cwd) as process:
        os.close(theirs)
        parts = []
        try:
            while data := os.read(ours, 65536):
                parts.append(data)
        except OSError:  # how Linux tells that the other end is closed
            pass
    os.close(ours)
    return Shown(b"".join(parts).decode(), process.returncode)


class Terminal:
    """One command of a shell, in a terminal of its own that is the command's controlling terminal."""

    def __init__(self, command: str, env: Mapping[str, str], cwd: Path, *, columns: int = 100) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self._process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", "sh", "-c", f"exec {command}"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=dict(env),
            cwd=cwd,
        )
        os.close(theirs)
        self._shown = b""

    @property
    def text(self) -> str:
        """Everything that was shown so far."""
        return self._shown.decode(errors="replace").replace("\r\n", "\n")

    def read_until(self, is_enough: Callable[[str], bool]) -> bool:
        """Read until the text is enough, or the command has ended. Return whether it is enough."""
        while not is_enough(self.text):
            if not self._read():
                return is_enough(self.text)
        return True

    def press_ctrl_c(self) -> None:
        """Press Ctrl-C: the terminal sends the signal."""
        os.write(self._ours, CTRL_C)

    def wait(self) -> Shown:
        """Read to the end of the command."""
        while self._read():
            pass
        return Shown(self.text, self._process.wait(PATIENCE_SECONDS))

    def close(self) -> None:
        """End the command if it has not ended. Idempotent."""
        if self._ours >= 0:
            os.close(self._ours)  # which hangs up
            self._ours = -1
        try:
            self._process.wait(PATIENCE_SECONDS)
        finally:
            self._process.kill()

    def _read(self) -> bool:
        readable, _, _ = select.select([self._ours], [], [], PATIENCE_SECONDS)
        try:
            part = os.read(self._ours, 65536) if readable else b""
        except OSError:  # how Linux tells that the other end is closed
            part = b""
        self._shown += part
        return bool(part)
