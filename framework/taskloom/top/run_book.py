"""The last runs of each job, also of earlier starts, put together from answers that each have a part of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from taskloom.cli.control.instants import read_instant
from taskloom.control.reply_fields import Fields

__all__ = ["Kept", "PastRun", "RunBook", "past_run"]

# The runs that are kept of each job: those of a day, if it runs every five minutes.
_MOST_RUNS = 300


class PastRun(NamedTuple):
    """One run, as far as it has come. Instants are seconds since the epoch."""

    job: str
    run: str
    outcome: str
    """"" while it has not ended."""
    queued: float
    due: float | None = None
    started: float | None = None
    ended: float | None = None
    mean_seconds: float | None = None
    """How long it took."""
    error: str = ""
    start: str = ""
    """The id of the start of the program that it is from: each start counts its runs again."""
    place: str = ""
    """Its host, worker and process, as far as they are known, if it executes elsewhere, or did."""

    @property
    def begun(self) -> float:
        """When it started, or was queued if it never did."""
        return self.queued if self.started is None else self.started


class Kept(NamedTuple):
    """From when on the program knows its runs."""

    since: float | None = None
    """In seconds since the epoch; None if that is not known."""
    history: str = ""
    """Whether the runs of its history are there: `read`, `off`, or `unread`; "" for an older program."""


def past_run(run: Fields) -> PastRun:
    """Return a run of an answer. Raises BadReply."""
    return PastRun(
        job=run.text("job"),
        run=run.text("run"),
        outcome=run.text("outcome"),
        queued=read_instant(run.text("queued")) or 0.0,
        due=read_instant(run.text("due")),
        started=read_instant(run.text("started")),
        ended=read_instant(run.text("ended")),
        mean_seconds=run.number("seconds"),
        error=run.text("error"),
        start=run.text("start"),
        place=_place(run.object("whereabouts")),
    )


def _place(found: Fields) -> str:
    if not found.has("host"):
        return ""
    process = f", process {found.count('pid')}" if found.count("pid") else ""
    return f"{found.text('host')} (worker {found.text('worker')}{process})"


class RunBook:
    """Keeps the last runs of each job. Used by one thread; what `of` returns does not change any more."""

    def __init__(self, most: int = _MOST_RUNS) -> None:
        self._most = most
        self._jobs: dict[str, dict[tuple[str, str], PastRun]] = {}

    def add(self, runs: Sequence[PastRun]) -> None:
        """Take runs, the oldest first; one that is known already is replaced."""
        unsorted = set()
        for run in runs:
            kept = self._jobs.setdefault(run.job, {})
            last = next(reversed(kept.values()), run)
            if run.queued < last.queued and (run.start, run.run) not in kept:  # of a history that was read late
                unsorted.add(run.job)
            kept[run.start, run.run] = run
            if len(kept) > self._most and run.job not in unsorted:
                del kept[next(iter(kept))]
        for job in unsorted:
            ordered = sorted(self._jobs[job].values(), key=lambda run: run.queued)
            self._jobs[job] = {(run.start, run.run): run for run in ordered[-self._most :]}

    def known_since(self, job: str) -> float:
        """Return the second since the epoch from which on the runs of a job are here, if the program knows them."""
        kept = self._jobs.get(job, {})
        return next(iter(kept.values())).queued if len(kept) >= self._most else 0.0

    def of(self, job: str) -> Sequence[PastRun]:
        """Return the runs of a job, the oldest first."""
        return tuple(self._jobs.get(job, {}).values())

    def last(self, job: str, count: int) -> Sequence[PastRun]:
        """Return the last `count` runs of a job, the oldest first."""
        return tuple(islice(reversed(self._jobs.get(job, {}).values()), count))[::-1]

    def keep(self, jobs: Sequence[str]) -> None:
        """Forget all jobs but these."""
        self._jobs = {job: self._jobs[job] for job in jobs if job in self._jobs}

    def clear(self) -> None:
        """Forget all runs: the program was started again."""
        self._jobs = {}
