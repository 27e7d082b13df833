"""The processes that a run leaves when its supervisor was killed: no other process looks after them then.

The main process has asked the kernel to die with its supervisor. Its own children have not. Those that are still in its
process group, and have the environment of the run, are killed here. One that has left the group stays, as the
documentation says, unless the run has a cgroup.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from taskloom.runners.proc import Process, processes, read_process
from taskloom.runners.process.environment import JOB_VARIABLE, RUN_VARIABLE
from taskloom.runners.process.launch import kill_cgroup

__all__ = ["is_alive", "kill_orphans", "state_of"]


def is_alive(process: Process | None) -> bool:
    """Return whether this process, and not another one with its number, is there and has not ended."""
    now = None if process is None else read_process(process.pid)
    return process is not None and now is not None and now.started == process.started and not now.is_zombie


def state_of(pid: int) -> str:
    """Return the letter of the process's state, as /proc has it; "" if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0].decode("ascii") if pid else ""
    except (OSError, IndexError):
        return ""


def kill_orphans(main: Process | None, job: str, run: str, cgroup: str) -> None:
    """Kill what is left of a run. Reads all of /proc: never on the IO thread. Raises nothing."""
    if cgroup:
        kill_cgroup(cgroup)
    if main is None:
        return
    marks = {f"{JOB_VARIABLE}={job}".encode(), f"{RUN_VARIABLE}={run}".encode()}
    for process in processes():
        with suppress(OSError):
            if os.getpgid(process.pid) == main.pid and _has(process.pid, marks):
                _kill(process)


def _has(pid: int, marks: set[bytes]) -> bool:
    return marks <= set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))


def _kill(process: Process) -> None:
    """Kill this process, and never another one that has got its number since."""
    handle = os.pidfd_open(process.pid)
    try:
        if is_alive(process):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)
