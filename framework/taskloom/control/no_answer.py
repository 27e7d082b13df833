"""The advice for a program that does not answer, from what the kernel shows of its process."""

from __future__ import annotations

import os

from taskloom.control.client_errors import NoAnswer

__all__ = ["no_answer"]


def no_answer(pid: int, where: str) -> NoAnswer:
    """Return the error. `pid`: the process that listens at the path `where`, 0 if it is unknown."""
    return NoAnswer(pid, where, _advice(pid))


def _advice(pid: int) -> str:
    if not pid:
        return ""
    state = _state(pid)
    if state in ("T", "t"):
        return f"it is suspended, by Ctrl-Z, a signal or a debugger; `kill -CONT {pid}` continues it"
    if state in ("Z", "X", ""):
        return "it has just ended"
    return f"a task may be holding the GIL; `taskloom stack` cannot help, `kill -QUIT {pid}` prints all stacks"


def _state(pid: int) -> str:
    """Return the letter of the state of a process, as in proc(5); "" if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib takes as long to import as the rest
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    except OSError:
        return "?"
    return os.fsdecode(text.rpartition(b")")[2].split()[0])
