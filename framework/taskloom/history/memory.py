"""The memory of schedules: folds events into one row a job, and reads these rows back at the next start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from math import inf
from typing import Any

from taskloom.core.events import Event, EventName
from taskloom.core.remembered import RememberedJob, latest_instant
from taskloom.history.queue import Rank, Row

__all__ = ["JobMemory", "instant_of", "job_from_row"]

# Restarts of one job that are remembered. A limit that allows more is exhausted later after a start of the program.
MOST_RESTARTS = 1_000

_UNKNOWN = ""
_NO_RESTARTS: Mapping[str, Any] = {"restarts": (), "restart_delay": 0.0}


class JobMemory:
    """The memory of all jobs. `add` and `record` return the rows that have changed, each whole.

    Instants may be recorded before the events of the same moment arrive, and the other way around: the latest stays.
    """

    def __init__(self, mask: Callable[[str], str] = str, *, is_fresh: bool = False) -> None:
        self.jobs: dict[str, RememberedJob] = {}
        self._mask = mask
        # Whether all that earlier starts have left is ignored.
        self._is_fresh = is_fresh
        # The decisions of this start itself, so that a memory that is loaded late does not undo them.
        self._decided: dict[str, set[str]] = {}
        # The latest instant of a job that was missed while an earlier one waited to start a run.
        self._missed_since: dict[str, float] = {}

    def load(self, remembered: Mapping[str, RememberedJob]) -> Mapping[str, RememberedJob]:
        """Take what earlier starts have left, and return it; nothing of it if all begins again.

        If this start has begun already, what it has decided is kept.
        """
        if self._is_fresh:
            return {}
        for name, old in remembered.items():
            new = self.jobs.get(name)
            self.jobs[name] = old if new is None else self._merged(name, old, new)
        return remembered

    def record(self, job: str, instant: float) -> Row | None:
        """Record that a run starts for an instant; None if the job is not known yet."""
        if not self.knows(job):
            return None
        return self._set(job, last_instant=latest_instant(self.jobs[job].last_instant, instant))

    def knows(self, job: str) -> bool:
        """Return whether the present declaration of the job is known: an instant belongs to one."""
        return "fingerprint" in self._decided.get(job, ())

    def add(self, event: Event) -> list[Row]:
        """Return the rows that the event changes."""
        fold = _FOLDS.get(event.event)
        return [] if fold is None else list(fold(self, event))

    def rows(self) -> list[Row]:
        """Return the rows of all jobs, for a database that was made again."""
        return [_row(name, job) for name, job in self.jobs.items()]

    def _set(self, job: str, **changes: Any) -> Row:
        remembered = self.jobs.get(job) or RememberedJob(_UNKNOWN, 0.0)
        remembered = self.jobs[job] = remembered._replace(**changes)
        self._decided.setdefault(job, set()).update(changes)
        return _row(job, remembered)

    def _merged(self, name: str, old: RememberedJob, new: RememberedJob) -> RememberedJob:
        kept = {field: getattr(new, field) for field in self._decided.get(name, ())}
        if new.fingerprint == old.fingerprint:
            kept["armed_at"] = min(old.armed_at, new.armed_at)
            kept["last_instant"] = latest_instant(old.last_instant, new.last_instant)
        elif new.fingerprint != _UNKNOWN:
            kept["last_instant"] = new.last_instant
        return old._replace(**kept)

    # -- events

    def _added(self, event: Event) -> Iterable[Row]:
        if event.job is not None:
            yield from self._declared(event.job, event.data.get("fingerprint"), event.at)

    def _reloaded(self, event: Event) -> Iterable[Row]:
        fingerprints = event.data.get("fingerprints")
        if isinstance(fingerprints, Mapping):
            for job, fingerprint in fingerprints.items():
                yield from self._declared(str(job), fingerprint, event.at)

    def _declared(self, job: str, fingerprint: object, at: float) -> Iterable[Row]:
        if not isinstance(fingerprint, str):
            return
        old = self.jobs.get(job)
        if old is not None and old.fingerprint == fingerprint:
            # A stop by a user ends with the start of the program in which it was given.
            yield self._set(job, fingerprint=fingerprint, **self._armed(job, at))
            return
        # An instant after this moment was recorded before this event came, and belongs to this declaration.
        last = old.last_instant if old is not None else None
        last = last if last is not None and last > at else None
        yield self._set(job, fingerprint=fingerprint, armed_at=at, last_instant=last)

    def _armed(self, job: str, at: float) -> dict[str, float]:
        """Return the change if the schedule is armed again after a stop by a user."""
        old = self.jobs.get(job)
        return {"armed_at": at} if old is not None and old.armed_at == inf else {}

    def _removed(self, event: Event) -> Iterable[Row]:
        if event.job is not None:
            self.jobs.pop(event.job, None)
            self._decided.pop(event.job, None)
            self._missed_since.pop(event.job, None)
            yield Row(("jobs", event.job), None, Rank.ALIVE)

    def _queued(self, event: Event) -> Iterable[Row]:
        if event.job is None:
            return
        changes: dict[str, Any] = self._armed(event.job, event.at)
        old = self.jobs.get(event.job)
        if event.data.get("reset"):
            changes |= _NO_RESTARTS
        elif (event.attempt or 1) > 1:
            changes["restarts"] = (*(old.restarts if old is not None else ()), event.at)[-MOST_RESTARTS:]
        instant = instant_of(event)
        if instant is not None:
            changes["last_instant"] = self._last_of(event.job, instant)
        if changes:
            yield self._set(event.job, **changes)

    def _missed(self, event: Event) -> Iterable[Row]:
        instant = instant_of(event)
        if event.job is None or instant is None:
            return
        if event.data.get("pending"):
            # An earlier instant that still waits to start a run is the one that counts after a crash.
            self._missed_since[event.job] = instant
        else:
            yield self._set(event.job, last_instant=self._last_of(event.job, instant))

    def _last_of(self, job: str, instant: float) -> float | None:
        """Return the last instant of a job, of which this one has not to wait any longer."""
        old = self.jobs.get(job)
        return latest_instant(
            old.last_instant if old is not None else None, max(instant, self._missed_since.pop(job, instant))
        )

    def _paused(self, event: Event) -> Iterable[Row]:
        if event.job is not None:
            text = event.reason.text if event.reason is not None else ""
            yield self._set(event.job, paused_since=event.at, paused_reason=self._mask(text))

    def _resumed(self, event: Event) -> Iterable[Row]:
        if event.job is not None:
            yield self._set(event.job, paused_since=None, paused_reason="", **self._armed(event.job, event.at))

    def _stopped(self, event: Event) -> Iterable[Row]:
        if event.job is not None and event.data.get("disarmed"):
            yield self._set(event.job, armed_at=inf)

    def _restart_scheduled(self, event: Event) -> Iterable[Row]:
        if event.job is not None:
            yield self._set(event.job, restart_delay=float(event.data.get("delay") or event.seconds or 0.0))

    def _reset(self, event: Event) -> Iterable[Row]:
        if event.job is not None:
            yield self._set(event.job, **_NO_RESTARTS)


_FOLDS: Mapping[EventName, Callable[[JobMemory, Event], Iterable[Row]]] = {
    EventName.JOB_ADDED: JobMemory._added,
    EventName.RELOADED: JobMemory._reloaded,
    EventName.JOB_REMOVED: JobMemory._removed,
    EventName.QUEUED: JobMemory._queued,
    EventName.MISSED: JobMemory._missed,
    EventName.PAUSED: JobMemory._paused,
    EventName.RESUMED: JobMemory._resumed,
    EventName.SKIPPED: JobMemory._stopped,
    EventName.CANCEL_REQUESTED: JobMemory._stopped,
    EventName.RESTART_SCHEDULED: JobMemory._restart_scheduled,
    EventName.RESET: JobMemory._reset,
}


def instant_of(event: Event) -> float | None:
    """Return the instant of the schedule that the event is about, in seconds since the epoch."""
    instant = event.data.get("instant")
    if not isinstance(instant, str):
        return None
    try:
        return datetime.fromisoformat(instant).timestamp()
    except (ValueError, OverflowError):
        return None


def _row(name: str, job: RememberedJob) -> Row:
    values = job._asdict()
    values["restarts"] = list(job.restarts)
    return Row(("jobs", name), values, Rank.ALIVE)


def job_from_row(row: Mapping[Any, Any]) -> RememberedJob:
    """Return what a row of the table `jobs` says."""
    return RememberedJob(
        fingerprint=row["fingerprint"] or _UNKNOWN,
        armed_at=row["armed_at"] or 0.0,
        last_instant=row["last_instant"],
        paused_since=row["paused_since"],
        paused_reason=row["paused_reason"] or "",
        restarts=tuple(row["restarts"]) if isinstance(row["restarts"], list) else (),
        restart_delay=row["restart_delay"] or 0.0,
    )
