"""How the processes of a run ended, in words: the verdict that the runner reports."""

from __future__ import annotations

import os
import signal
import sys
from typing import NamedTuple

from taskloom.core.model import ErrorInfo
from taskloom.signal_names import signal_name
from taskloom.text import measured

__all__ = ["Ladder", "describe_death", "describe_loss", "explained", "killed_by_ladder"]

_MIB = 1024 * 1024


class Ladder(NamedTuple):
    """When a stop took its steps, in monotonic seconds; None for a step that it has not taken."""

    requested: float | None = None
    terminated: float | None = None
    killed: float | None = None


def explained(kind: str, message: str) -> ErrorInfo:
    """Return an error whose message is all that users need."""
    return ErrorInfo(kind, message, f"{kind}: {message}\n", is_explained=True)


def killed_by_ladder(status: int, ladder: Ladder) -> ErrorInfo | None:
    """Return what the stop did to the process, such as "SIGKILL after 10.0 s"; None if it ended by itself.

    A process that has had our TERM and exits without a report, with any code, has ended because of it. One that dies of
    another signal than ours has a fault of its own.
    """
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    if ladder.killed is not None and number == signal.SIGKILL:
        return _killed("SIGKILL", ladder.killed, ladder.requested)
    if ladder.terminated is not None and (number is None or number == signal.SIGTERM):
        return _killed("SIGTERM", ladder.terminated, ladder.requested)
    if ladder.killed is not None and number is None:
        return _killed("SIGKILL", ladder.killed, ladder.requested)  # its other processes had to be killed
    return None


def _killed(name: str, at: float, requested: float | None) -> ErrorInfo:
    seconds = "" if requested is None else f" after {measured(max(0.0, at - requested))}"
    return explained("ProcessKilled", f"{name}{seconds}")


def describe_death(status: int, *, out_of_memory: bool = False, over: tuple[int, int] | None = None) -> ErrorInfo:
    """Return why a process died without a request to stop. `over`: its memory limit and what it used, in bytes."""
    if over is not None:
        limit, was = (number // _MIB for number in over)
        return explained("ProcessDied", f"over memory_limit {limit} MiB (was {was})")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if out_of_memory and number == signal.SIGKILL:
            return explained("ProcessDied", "out of memory (SIGKILL by the kernel)")
        dumped = " (core dumped)" if os.WCOREDUMP(status) else ""
        return explained("ProcessDied", f"{signal_name(number)}{dumped}")
    return explained("ProcessDied", f"exit status {os.WEXITSTATUS(status)} without a report")


def describe_loss(status: int | None, main: int | None) -> ErrorInfo:
    """Return the error of a run whose supervisor is gone.

    `status`: the exit status, negative for a signal; None if unknown. `main`: the process that it had started.
    """
    words = "its supervisor is gone"
    if status is not None:
        words += f": {signal_name(-status) if status < 0 else f'exit status {status}'}"
        if main is None and status >= 0:  # such as a server that embeds Python
            words += f"; is {sys.executable!r} a Python interpreter?"
    return explained("ProcessLost", words)
