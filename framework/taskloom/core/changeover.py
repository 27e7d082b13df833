"""The changeover of a reload: what it adds begins when the runs that it stopped have ended, or are overdue.

A job that is renamed, or gets replicas, is a removed job and an added one, and both need the same port, file or lock.
It is unknown which of the added jobs needs something that a removed one still has, so each waits for all of these runs.
The jobs that stay are not affected.

Theory of operation. A reload makes one `Changeover` if it has stopped runs and something is to begin. Each run knows
the changeovers that wait for it, so the end of a run costs one step for each of them, however many jobs wait there.
With its last run the changeover opens, and all its jobs begin. A run that is overdue is not awaited any longer; then an
event names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from taskloom.core.events import EventName
from taskloom.core.model import WaitingFor
from taskloom.core.records import JobRecord, RunRecord
from taskloom.core.starting import Starter
from taskloom.core.store import JobStore
from taskloom.text import first_of

__all__ = ["Changeover", "Changeovers"]

# More names than these make a line too long to read.
_MOST_NAMED = 5


class Changeover:
    """The runs that one reload has stopped, and the jobs that begin after them."""

    __slots__ = ("_text", "awaited", "jobs", "outlived")

    def __init__(self, awaited: Iterable[RunRecord], outlived: Iterable[RunRecord]) -> None:
        self.awaited = {run.id: run for run in awaited}
        self.outlived = {run.id: run for run in outlived}
        """The runs that were not awaited to their end."""
        self.jobs: list[JobRecord] = []
        # Made when it is asked for, and valid until the next run is released: thousands of jobs may show it.
        self._text = ""

    @property
    def is_pending(self) -> bool:
        """Whether a run is still awaited."""
        return bool(self.awaited)

    def release(self, run: RunRecord, *, is_alive: bool) -> None:
        """Wait for the run no longer."""
        del self.awaited[run.id]
        self._text = ""
        if is_alive:
            self.outlived[run.id] = run

    def describe(self) -> str:
        """Return what the jobs wait for, as `the end of web#1`."""
        if not self._text:
            self._text = f"the end of {first_of(list(self.awaited), _MOST_NAMED)}"
        return self._text


class Changeovers:
    """Begins and opens the changeovers of all reloads."""

    def __init__(self, store: JobStore, starter: Starter) -> None:
        self._store = store
        self._starter = starter

    def begin(self, added: Iterable[JobRecord], starting: Sequence[JobRecord], changeover: Changeover) -> None:
        """Have the added jobs wait for the runs of the changeover.

        `starting`: those of them that the caller starts next; the others may be started by a user. A job that waits
        in an earlier changeover waits in this one from now on: its runs are among those that are awaited here.
        """
        if not changeover.is_pending:
            if starting:
                self._report_outlived(changeover, starting)
            return
        for job in added:
            if job.run is None:
                job.changeover = changeover
                changeover.jobs.append(job)
        for run in changeover.awaited.values():
            run.changeovers += (changeover,)
        if starting:
            self._emit(EventName.RELOAD_WAITING, starting, changeover.awaited)

    def release(self, run: RunRecord) -> None:
        """Wait for the run no longer: it has ended, or is overdue; idempotent."""
        changeovers, run.changeovers = run.changeovers, ()
        for changeover in changeovers:
            changeover.release(run, is_alive=run.id in self._store.runs)
            if not changeover.is_pending:
                self._open(changeover)

    def _open(self, changeover: Changeover) -> None:
        """Let the jobs begin; those that were stopped, started or removed meanwhile do not wait here any more."""
        jobs = [job for job in changeover.jobs if job.changeover is changeover]
        for job in jobs:
            job.changeover = None
        waiting = [job for job in jobs if job.waiting_for is WaitingFor.REMOVAL]
        if waiting:
            self._report_outlived(changeover, waiting)
        for job in waiting:
            if job.waiting_for is WaitingFor.REMOVAL:  # what began before it may have stopped everything
                self._starter.end_removal_wait(job)

    def _report_outlived(self, changeover: Changeover, jobs: Sequence[JobRecord]) -> None:
        alive = [run for run in changeover.outlived if run in self._store.runs]
        if alive:
            self._emit(EventName.RELOAD_OVERDUE, jobs, alive)

    def _emit(self, name: EventName, jobs: Iterable[JobRecord], runs: Iterable[str]) -> None:
        self._store.emit(name, data={"jobs": [job.spec.name for job in jobs], "runs": list(runs)})
