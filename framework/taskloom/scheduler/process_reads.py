"""Reads what /proc shows about the processes of runs. Never on the scheduler thread, and only for a limited time."""

from __future__ import annotations

from collections.abc import Iterable

from taskloom.clock import mono
from taskloom.runners import ProcessInfo
from taskloom.scheduler.live_run import LiveRun

__all__ = ["READ_SECONDS", "read_processes"]

READ_SECONDS = 0.3
"""How long one answer reads /proc at most: a run takes about a millisecond, so that this is enough for hundreds."""


def read_processes(runs: Iterable[LiveRun], seconds: float = READ_SECONDS) -> dict[str, ProcessInfo]:
    """Return the processes of each of these runs that has one, by the id of the run.

    After `seconds` no more is read, and the values of an earlier call are returned for the other runs, or nothing. The
    next call begins with those whose values are the oldest.
    """
    until = mono() + seconds
    found: dict[str, ProcessInfo] = {}
    for run in sorted((run for run in runs if run.is_in_process), key=_read_at):
        now = mono()
        if now < until:
            run.processes = now, _process_of(run)
        info = run.processes[1]
        if info is not None and run.is_alive():
            found[run.id] = info
    return found


def _read_at(run: LiveRun) -> float:
    return run.processes[0]


def _process_of(run: LiveRun) -> ProcessInfo | None:
    try:
        info: ProcessInfo | None = getattr(run.handle, "process", None)
    except Exception:  # noqa: BLE001 - the runner of a plugin: its failure must not hide the status of all jobs
        return None
    return info if isinstance(info, ProcessInfo) else None
