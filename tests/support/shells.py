"""Interactive shells on a pseudo-terminal, into which a test types a line with a TAB."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from taskloom.clock import mono

__all__ = ["completed"]

# Reached only when a test fails.
PATIENCE_SECONDS = 60.0
_COMMANDS = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"]}
_SET_UP = {
    "bash": "PS1='$ '",
    "zsh": "PS1='$ '; unsetopt prompt_cr prompt_sp; autoload -Uz compinit; compinit -u -D",
}
_TO_THE_START, _TO_THE_END = "\x01", "\x05"


def completed(path: str, lines: Iterable[str], env: Mapping[str, str], cwd: Path) -> dict[str, str]:
    """Type each line and TAB into one interactive shell; return the last word that each line has then.

    `path`: where the shell is.
    """
    shell = Path(path).name
    ours, theirs = pty.openpty()
    environment = {**env, "TERM": "dumb", "HISTFILE": "/dev/null"}
    command = [path, *_COMMANDS[shell]]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=cwd, start_new_session=True
    ) as process:
        os.close(theirs)
        try:
            # The markers are written in two parts, so that the echo of what is typed is not taken for them.
            set_up = [
                _SET_UP[shell],
                f'eval "$(taskloom completion {shell})"',
                "show() { printf '[%s]' \"$@\"; printf 'EN''D\\n'; }",
                "echo REA''DY",
            ]
            os.write(ours, ("\n".join(set_up) + "\n").encode())
            _read_until(ours, "READY")
            return {line: _complete(ours, line) for line in lines}
        finally:
            process.kill()
            os.close(ours)


def _complete(descriptor: int, line: str) -> str:
    os.write(descriptor, f"{line}\t{_TO_THE_START}show {_TO_THE_END}\n".encode())
    shown = _read_until(descriptor, "]END")
    found = re.search(r"\[([^\n\[\]]*)\]END", shown)
    assert found is not None, shown
    return found[1].removesuffix("/")  # zsh takes the slash of a folder away again when another key is pressed


def _read_until(descriptor: int, text: str) -> str:
    shown, until = "", mono() + PATIENCE_SECONDS
    while text not in shown:
        readable, _, _ = select.select([descriptor], [], [], max(0.0, until - mono()))
        assert readable, f"expected {text!r}; the terminal shows\n{shown}"
        shown += os.read(descriptor, 65536).decode(errors="replace")
    return shown
