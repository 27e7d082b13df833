"""The child processes that are left when the program ends: they are named, asked to end, and killed.

They are found in /proc, with their own children. Left alone are processes with a session of their own, which were
detached on purpose, and the resource tracker and the fork server of multiprocessing, which end by themselves once
the program has ended.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from taskloom.cli.program.child_owners import ChildOwners
from taskloom.cli.program.thread_owners import JOB_UNKNOWN
from taskloom.clock import mono
from taskloom.runners.proc import Process, command_of, has_children, processes, read_process
from taskloom.text import first_of

__all__ = ["LeftChild", "LeftChildren", "names_of"]

_OWN_SESSION = "a session of its own"
# A part of the command line of a process -> why it is left alone.
_HELPERS = {
    "multiprocessing.resource_tracker": "multiprocessing's resource tracker",
    "multiprocessing.forkserver": "multiprocessing's fork server",
}
# More names than these make a log line too long to read.
_MOST_NAMED = 10
# A log line shows only the beginning of a longer command line.
_LONGEST_COMMAND = 80
_POLL_MILLISECONDS = 20.0


class LeftChild(NamedTuple):
    """A process that is left."""

    process: Process
    command: str
    job: str | None
    """The job whose thread started it, or its ancestor; None if that is unknown."""
    spared: str
    """Why it is not ended, or ""."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "pid": self.process.pid,
            "command": self.command,
            "job": self.job,
            "left_alone": self.spared or None,
        }

    def __str__(self) -> str:
        command = self.command
        if len(command) > _LONGEST_COMMAND:
            command = f"{command[: _LONGEST_COMMAND - 3]}..."
        return f"pid {self.process.pid} `{command}` ({JOB_UNKNOWN if self.job is None else f'job {self.job}'})"


def names_of(children: Sequence[LeftChild]) -> str:
    """Return the names of the processes for a log line."""
    return first_of([str(child) for child in children], _MOST_NAMED)


class LeftChildren:
    """The processes that descend from this one. `own`: the processes that belong to the program itself."""

    def __init__(self, owners: ChildOwners, own: Collection[int] = ()) -> None:
        self._owners = owners
        self._own = frozenset(own)
        # pid -> job, for the children of threads that are alive.
        self._living: dict[int, str] = {}
        self._asked: set[Process] = set()

    def find(self) -> list[LeftChild]:
        """Return the live ones, parents first. A process with a session of its own is named without its children."""
        if not has_children():
            return []
        us = os.getpid()
        below: dict[int, list[Process]] = {}
        for process in processes():
            below.setdefault(process.parent, []).append(process)
        self._living = self._owners.of_living_threads()
        return list(self._descend(below, us, os.getsid(us), None, is_helper=False))

    def _descend(
        self, below: dict[int, list[Process]], parent: int, session: int, job: str | None, *, is_helper: bool
    ) -> Iterator[LeftChild]:
        for process in below.get(parent, ()):
            if process.pid in self._own:
                continue
            owner = self._owners.job_of(process) or self._living.get(process.pid) or job
            command = command_of(process.pid)
            spared = _why_spared(process, session, command, has_helper_above=is_helper)
            if not process.is_zombie:
                yield LeftChild(process, command, owner, spared)
            if spared != _OWN_SESSION:
                yield from self._descend(below, process.pid, session, owner, is_helper=bool(spared))

    def terminate(self, *, daemons_too: bool = True) -> None:
        """Send SIGTERM, once, to each one that is not left alone.

        With `daemons_too` false, not to the daemon processes of multiprocessing: its exit handler ends them, and could
        wait for ever for the lock of a pool whose workers were ended by others.
        """
        waiting = frozenset() if daemons_too else _daemons_of_multiprocessing()
        for child in self.find():
            process = child.process
            if not child.spared and process.pid not in waiting and process not in self._asked:
                self._asked.add(process)
                _send(signal.SIGTERM, process)

    def wait(self, until: float) -> bool:
        """Wait until none is left that is to be ended; return False at the monotonic second `until`."""
        while targets := [child.process for child in self.find() if not child.spared]:
            left = until - mono()
            if left <= 0:
                return False
            _wait_for_one(targets, left)
        return True

    def kill(self) -> None:
        """Send SIGKILL to each one that is not left alone, until there is none. Nothing may start new ones then."""
        for _ in range(3):  # a child may have made another one after it was looked for
            targets = [child.process for child in self.find() if not child.spared]
            if not targets:
                return
            for process in targets:
                _send(signal.SIGKILL, process)
            _wait_for_one(targets, 0.05)


def _why_spared(process: Process, session: int, command: str, *, has_helper_above: bool) -> str:
    if process.session != session:
        return _OWN_SESSION
    if has_helper_above:
        return ""  # a process that the fork server made for a job: its command line is that of the server
    for module, why in _HELPERS.items():
        # By its number as well: for a moment after its start, it has the command line of the program.
        if (module in command and " -c " in command) or process.pid == _pid_in(module):
            return why
    return ""


def _pid_in(module: str) -> int | None:
    """Return the number of the helper process that this module of multiprocessing has started; None if unknown."""
    loaded = sys.modules.get(module)
    tracker, server = getattr(loaded, "_resource_tracker", None), getattr(loaded, "_forkserver", None)
    return getattr(tracker, "_pid", None) or getattr(server, "_forkserver_pid", None)


def _daemons_of_multiprocessing() -> frozenset[int | None]:
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is None:
        return frozenset()
    return frozenset(process.pid for process in multiprocessing.active_children() if process.daemon)


def _send(number: int, process: Process) -> None:
    """Send a signal to the process, and never to another one that has got its number since."""
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        return  # it has ended
    try:
        now = read_process(process.pid)
        if now is not None and now.started == process.started:
            signal.pidfd_send_signal(handle, number)
    except OSError:
        pass  # it has ended, or belongs to another user
    finally:
        os.close(handle)


def _wait_for_one(targets: Sequence[Process], seconds: float) -> None:
    """Wait until one of the processes has ended, `seconds` at most."""
    poller = select.poll()
    handles = []
    for process in targets:
        try:
            handles.append(os.pidfd_open(process.pid))
        except OSError:
            continue
        poller.register(handles[-1], select.POLLIN)
    poller.poll(seconds * 1000 if handles else min(seconds * 1000, _POLL_MILLISECONDS))
    for handle in handles:
        os.close(handle)
