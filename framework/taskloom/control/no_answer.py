"""The advice for a program that does not answer, from what the kernel shows of its process."""

from __future__ import annotations

import os
import re
import signal

from taskloom.control.client_errors import NoAnswer

__all__ = ["is_running", "no_answer"]

# A zombie, a dead process, and none at all.
_ENDED = ("Z", "X", "")


def no_answer(pid: int, where: str) -> NoAnswer:
    """Return the error. `pid`: the process that listens at the path `where`, 0 if it is unknown."""
    return NoAnswer(pid, where, _advice(pid))


def is_running(pid: int) -> bool:
    """Return whether there is a process with this pid that has not ended."""
    return pid > 0 and _state(pid) not in _ENDED


def _advice(pid: int) -> str:
    if not pid:
        return ""
    state = _state(pid)
    if state in ("T", "t"):
        return f"it is suspended, by Ctrl-Z, a signal or a debugger; `kill -CONT {pid}` continues it"
    if state in _ENDED:
        return "it has just ended"
    cannot_help = "a task may be holding the GIL; `taskloom stack` cannot help"
    if _catches(pid, signal.SIGQUIT):
        return f"{cannot_help}, `kill -QUIT {pid}` prints all stacks"
    return f"{cannot_help}, a debugger such as py-spy shows its stacks"


def _catches(pid: int, number: int) -> bool:
    """Return whether a process has a handler for a signal: without one, QUIT would end a host program."""
    caught = re.search(rb"^SigCgt:\s*([0-9a-f]+)", _read(pid, "status"), re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) & 1 << (number - 1))


def _state(pid: int) -> str:
    """Return the letter of the state of a process, as in proc(5); "" if there is no such process."""
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return os.fsdecode(fields[0]) if fields else ""


def _read(pid: int, file: str) -> bytes:
    """Return a file of a process in /proc; b"" if there is no such process."""
    try:
        with open(f"/proc/{pid}/{file}", "rb") as opened:  # noqa: PTH123 - pathlib takes as long to import as the rest
            return opened.read()
    except OSError:
        return b""
