"""Programs on a pseudo-terminal, with everything that they write to it."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["Shown", "on_a_terminal"]


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
