"""The status of jobs at one moment, together with the number of the last event that it contains."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.core.model import Phase, Reason
from taskloom.scheduler.handles import JobStatus, read_status, status_of, with_processes

if TYPE_CHECKING:
    from taskloom.core.lifecycle import Lifecycle
    from taskloom.scheduler.engine import Engine

__all__ = ["Jobs", "Snapshot", "complete", "read_snapshot", "without_processes"]


Jobs = Iterable[str] | Callable[["Lifecycle"], Iterable[str]] | None
"""Names of jobs, a function that chooses them on the scheduler's thread, or None for all."""


class Snapshot(NamedTuple):
    """The state of a scheduler at one moment."""

    seq: int
    """The number of the last event that the states contain: a view that applies the later ones misses none."""
    phase: Phase
    stop_reason: Reason | None
    """Why everything is stopping or was stopped; None before a stop."""
    jobs: list[JobStatus]
    stop_left: float | None = None
    """Seconds until the deadline of the stop that is under way; None if there is none, or no limit."""


def read_snapshot(engine: Engine, core: Lifecycle, jobs: Jobs) -> Snapshot:
    """Return a snapshot of these jobs, or of all, whose `jobs` are still to be made by `complete`.

    Called on the scheduler thread, on which a stop waits meanwhile: it only reads what can change. Raises UnknownJob.
    """
    names = core.jobs if jobs is None else dict.fromkeys(jobs(core) if callable(jobs) else jobs)
    reason = core.shutdown.reason if core.phase is not Phase.OPEN else None
    now = engine.clock.now()
    left = core.stops.latest - now.mono if core.phase is Phase.STOPPING else inf
    read: list[Any] = [read_status(engine, core, name, now) for name in names]
    return Snapshot(core.last_seq, core.phase, reason, read, max(0.0, left) if isfinite(left) else None)


def without_processes(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with its statuses, without those of processes: /proc is not read. Any thread may call it."""
    read: list[Any] = snapshot.jobs
    return snapshot._replace(jobs=[status_of(each) for each in read])


def complete(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with its statuses. Any thread may call it but the scheduler's, as /proc is read here."""
    read: list[Any] = snapshot.jobs
    return snapshot._replace(jobs=with_processes([status_of(each) for each in read], read))
