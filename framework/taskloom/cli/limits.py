"""Warnings where the jobs need more threads and processes than the limits of this process allow.

A thread counts as a process for every limit of Linux. Only what is certain is a warning: a limit is compared with the
threads and the processes of this program alone, although other programs of the same user or cgroup count as well.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from taskloom.cli.resources import memory_limits, stack_bytes
from taskloom.core.model import JobSpec
from taskloom.diagnostics import Place, Problem
from taskloom.text import plural

__all__ = ["Limit", "limit_warnings", "thread_limits"]

# The main thread, output, scheduler, waiter, listener, control, a first helper for callbacks and one for other calls,
# and the watcher process. A test counts them.
OWN_THREADS = 9
# The thread that writes the history, if there is one.
THREADS_OF_HISTORY = 1
# A task in a process has its supervisor, and a process with three threads; a program has its supervisor and its main
# process. The runner has two threads for all of them.
THREADS_OF_WORKER_RUN = 4
PROCESSES_OF_PROGRAM = 2
THREADS_OF_RUNNER = 2
# Its own thread. The runs on it are processes of other machines.
THREADS_OF_CLUSTER = 1
# Lets a process have more threads than RLIMIT_NPROC: bits of CapEff in /proc/self/status.
_CAP_SYS_ADMIN, _CAP_SYS_RESOURCE = 21, 24


class Limit(NamedTuple):
    """A limit of the number of threads, with its name and how to raise it."""

    threads: int
    name: str
    advice: str
    counts_processes: bool = True
    """Whether other processes of the program count as well; not for its own memory."""


def limit_warnings(
    jobs: Iterable[JobSpec], path: str, limits: Sequence[Limit] | None = None, *, has_history: bool = False
) -> list[Problem]:
    """Return a warning if the jobs cannot all run at the same time under the lowest limit.

    `path`: the file that the warning names. `limits`: those of this process by default. `has_history`: whether the
    program has one.
    """
    enabled = [job for job in jobs if job.enabled for _ in job.replicated()]
    runs = [job.runner.name for job in enabled]
    threads, processes = runs.count("thread"), runs.count("process")
    programs = sum(job.runner.name == "process" and _is_program(job) for job in enabled)
    in_processes = (processes - programs) * THREADS_OF_WORKER_RUN + programs * PROCESSES_OF_PROGRAM
    own = OWN_THREADS + (THREADS_OF_RUNNER if processes else 0) + (THREADS_OF_HISTORY if has_history else 0)
    own += _clusters(enabled) * THREADS_OF_CLUSTER
    for limit in sorted(thread_limits() if limits is None else limits):
        counted = processes if limit.counts_processes else 0
        needed = threads + (in_processes if counted else 0) + own
        if needed > limit.threads:
            each = f", {counted:,} of them in processes (which have {in_processes:,} threads)," if counted else ""
            text = (
                f"not all jobs can run at the same time: {plural(threads + counted, 'run')}{each} and {own} threads of "
                f"Taskloom need {needed:,}, but {limit.name} allows {limit.threads:,}; further runs end start_failed"
            )
            return [Problem(Place(path, 1, 1), text, limit.advice, "warning")]
    return []


def _clusters(jobs: Iterable[JobSpec]) -> int:
    """Return how many clusters the jobs use. Runs on a local one wait for a slot, so they need not fit all at once."""
    options = [job.runner.options for job in jobs if job.runner.name == "dask"]
    if not options:
        return 0
    from taskloom.runners.dask.options import DaskOptions

    return len({DaskOptions.of(each).cluster for each in options})


def _is_program(job: JobSpec) -> bool:
    return getattr(job.binding, "program", None) is not None  # a simulated job has no binding


def thread_limits() -> list[Limit]:
    """Return each limit of the number of threads that can be read and that binds this process."""
    return [*_of_the_user(), *_of_memory(), *_of_cgroups(), *_of_the_system()]


def _of_the_user() -> Iterator[Limit]:
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if limit != resource.RLIM_INFINITY and os.getuid() != 0 and not _is_exempt():
        yield Limit(limit, "ulimit -u", "raise it with ulimit -u, or with TasksMax= of a systemd unit")


def _is_exempt() -> bool:
    capabilities = int(_field("/proc/self/status", "CapEff:") or "0", 16)
    return bool(capabilities & (1 << _CAP_SYS_ADMIN | 1 << _CAP_SYS_RESOURCE))


def _of_memory() -> Iterator[Limit]:
    for name, limit, used in memory_limits():
        if limit != resource.RLIM_INFINITY:
            # The watcher process has an address space of its own, and the main thread has its stack.
            threads = max(0, limit - used) // stack_bytes() + 2
            shown = f"{name} (each thread takes {stack_bytes() >> 10:,} KiB for its stack)"
            yield Limit(threads, shown, f"raise {name}", counts_processes=False)


def _of_cgroups() -> Iterator[Limit]:
    for folder, top in _pids_cgroups():
        for each in (folder, *folder.parents):
            text = _text(each / "pids.max").strip()
            if text.isdigit():
                yield Limit(int(text), f"{each / 'pids.max'}", "raise it with docker --pids-limit, or with TasksMax=")
            if each == top:
                break


def _pids_cgroups() -> Iterator[tuple[Path, Path]]:
    """Yield the folders of our cgroup that may limit the processes, and where each hierarchy is mounted."""
    paths: dict[str, str] = {}
    for line in _text("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or "pids" in controllers.split(","):
            paths["cgroup2" if not controllers else "cgroup"] = path
    for line in _text("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        kind, options = after.split(" ")[0], after.split(" ")[-1].split(",")
        if kind not in paths or (kind == "cgroup" and "pids" not in options):
            continue
        root, top = before.split(" ")[3:5]
        # In a container the hierarchy may be mounted from our own cgroup on.
        path = paths[kind].removeprefix(root) if root != "/" else paths[kind]
        yield Path(top) / path.lstrip("/"), Path(top)


def _of_the_system() -> Iterator[Limit]:
    for name in ("threads-max", "pid_max"):
        text = _text(f"/proc/sys/kernel/{name}").strip()
        if text.isdigit():
            yield Limit(int(text), f"kernel.{name}", f"raise it with sysctl kernel.{name}")


def _field(path: str, name: str) -> str:
    """Return the value of a line that begins with this name; "" if there is none."""
    for line in _text(path).splitlines():
        if line.startswith(name):
            return line.removeprefix(name).strip()
    return ""


def _text(path: str | Path) -> str:
    """Return the text of a file; "" if it cannot be read: then the limit is not known."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
