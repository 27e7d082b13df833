"""Which job started a child process, where it can be known.

A fork is seen by a hook: right after it, the kernel's list of the children of the forking thread has one more. The
processes of subprocess, and those that multiprocessing spawns, are seen by wrappers. For others the kernel's list helps
as long as the thread that started them is alive.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from taskloom.cli.program.thread_owners import calling_run, owner_of
from taskloom.cli.program.wrappers import Wrappers
from taskloom.runners.proc import Process, children_of_thread, read_process
from taskloom.runners.run_thread import RunThread

__all__ = ["ChildOwners"]

# From this number on, those that have ended are forgotten.
_MANY = 1000


class ChildOwners:
    """The jobs of child processes. `before` is called before subprocess starts one."""

    def __init__(self, before: Callable[[], object]) -> None:
        self._before = before
        self._wrappers = Wrappers()
        # (pid, start) -> job. Threads only replace and remove single items.
        self._jobs: dict[tuple[int, int], str] = {}
        self._many = _MANY

    def install(self) -> None:
        """Wrap `subprocess.Popen` and, if a plugin has imported it, the `Process` of multiprocessing."""
        self._wrappers.wrap(subprocess.Popen, "__init__", self._recording)
        multiprocessing = sys.modules.get("multiprocessing.process")
        if multiprocessing is not None:
            self._wrappers.wrap(multiprocessing.BaseProcess, "start", self._recording)

    def close(self) -> None:
        """Put it back. Idempotent."""
        self._wrappers.close()

    def record_fork(self) -> None:
        """Record the children of the calling thread. Called on it after a fork."""
        run = calling_run()
        if run is None:
            return
        for pid in children_of_thread(threading.get_native_id()):
            self._record(pid, run.job)

    def job_of(self, process: Process) -> str | None:
        """Return the job whose thread was seen to start the process; None if none was."""
        return self._jobs.get((process.pid, process.started))

    def _recording(self, start: Callable[..., None]) -> Callable[..., None]:
        """Wrap a method that starts a process, whose number is then in the attribute `pid`."""

        @functools.wraps(start)
        def recording(process: Any, *args: Any, **options: Any) -> None:
            self._before()
            start(process, *args, **options)
            run = calling_run()
            if run is not None and process.pid is not None:
                self._record(process.pid, run.job)

        return recording

    def _record(self, pid: int, job: str) -> None:
        process = read_process(pid)
        if process is None:
            return
        # The first thread counts: when a thread ends, its children pass to another one.
        self._jobs.setdefault((pid, process.started), job)
        if len(self._jobs) > self._many:
            self._forget_ended()

    def _forget_ended(self) -> None:
        for key in list(self._jobs):
            process = read_process(key[0])
            if process is None or process.started != key[1]:
                self._jobs.pop(key, None)
        self._many = max(_MANY, 2 * len(self._jobs))

    def of_living_threads(self) -> dict[int, str]:
        """Return pid -> job for the children that the kernel lists with living threads of runs."""
        jobs: dict[int, str] = {}
        for thread in threading.enumerate():
            owner = owner_of(thread)
            if owner is not None or isinstance(thread, RunThread):
                job = thread.name if owner is None else owner.job
                jobs.update(dict.fromkeys(children_of_thread(thread.native_id or 0), job))
        return jobs
