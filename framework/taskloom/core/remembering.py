"""What jobs remember, folded from the events of one start of the program.

The history keeps the result, and the next start of the program restores it. The record of an instant before its run
starts comes on a shorter way; its event repeats it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from math import inf

from taskloom.core.events import Event, EventName
from taskloom.core.policies import HELD_BACK_SECONDS
from taskloom.core.remembered import RememberedJob

__all__ = ["MOST_RESTARTS", "Remembering", "with_instant"]

# Of the latest counted restarts, so many are remembered: no sensible limit is higher.
MOST_RESTARTS = 1000


def with_instant(job: RememberedJob, instant: float, now: float) -> RememberedJob:
    """Return the job after an instant that started a run or was missed. Both in seconds since the epoch.

    An earlier instant changes nothing, unless the last one is so far ahead that the clock was corrected since.
    """
    last = job.last_instant
    is_later = last is None or instant > last or last - now > HELD_BACK_SECONDS
    return job._replace(last_instant=instant) if is_later else job


class Remembering:
    """The jobs that are remembered, by name, and how each event changes them. Not for use by several threads."""

    def __init__(self, jobs: Mapping[str, RememberedJob]) -> None:
        self.jobs = dict(jobs)

    def apply(self, event: Event) -> tuple[str, ...]:
        """Apply the next event, and return the names of the jobs that it has changed or removed."""
        if event.event is EventName.RELOADED:
            return self._reloaded(event)
        if event.job is None:
            return ()
        if event.event is EventName.JOB_ADDED:
            return self._declared(event.job, str(event.data.get("fingerprint", "")), event.at)
        change, before = _CHANGES.get(event.event), self.jobs.get(event.job)
        if change is None or before is None:
            return ()
        after = change(before, event)
        if after == before:
            return ()
        if after is None:
            del self.jobs[event.job]
        else:
            self.jobs[event.job] = after
        return (event.job,)

    def _declared(self, name: str, fingerprint: str, at: float) -> tuple[str, ...]:
        """Take the declaration of a job that is new, or may be another one than before."""
        before = self.jobs.get(name)
        if not fingerprint:
            return ()
        if before is None:
            self.jobs[name] = RememberedJob(fingerprint, at)
        elif before.fingerprint != fingerprint:
            self.jobs[name] = before._replace(fingerprint=fingerprint, armed_at=at, last_instant=None)
        elif before.armed_at == inf:
            self.jobs[name] = before._replace(armed_at=at)
        else:
            return ()
        return (name,)

    def _reloaded(self, event: Event) -> tuple[str, ...]:
        found: Mapping[str, str] = event.data.get("fingerprints", {})
        # A job whose fingerprint is the same may be stopped by a user, and stays so.
        changed = {name: each for name, each in found.items() if self._is_other(name, each)}
        return tuple(job for name, each in changed.items() for job in self._declared(name, each, event.at))

    def _is_other(self, name: str, fingerprint: str) -> bool:
        return name not in self.jobs or self.jobs[name].fingerprint != fingerprint


def _queued(job: RememberedJob, event: Event) -> RememberedJob:
    job = _armed(job, event)
    if event.data.get("reset"):
        job = job._replace(restarts=(), restart_delay=0.0)
    if (event.attempt or 1) > 1:  # a counted restart; all other runs are a first attempt
        job = job._replace(restarts=(*job.restarts, event.at)[-MOST_RESTARTS:])
    return with_instant(job, _instant(event), event.at) if "instant" in event.data else job


def _missed(job: RememberedJob, event: Event) -> RememberedJob:
    """Keep an earlier instant that still waits to start a run: only that one counts after a crash."""
    return job if event.data.get("pending") else with_instant(job, _instant(event), event.at)


def _instant(event: Event) -> float:
    return datetime.fromisoformat(event.data["instant"]).timestamp()


def _armed(job: RememberedJob, event: Event) -> RememberedJob:
    return job._replace(armed_at=event.at) if job.armed_at == inf else job


def _disarmed(job: RememberedJob, event: Event) -> RememberedJob:
    return job._replace(armed_at=inf) if event.data.get("disarmed") else job


def _paused(job: RememberedJob, event: Event) -> RememberedJob:
    return job._replace(paused_since=event.at, paused_reason=event.reason.text if event.reason is not None else "")


def _resumed(job: RememberedJob, event: Event) -> RememberedJob:
    return _armed(job, event)._replace(paused_since=None, paused_reason="")


def _restart_scheduled(job: RememberedJob, event: Event) -> RememberedJob:
    return job._replace(restart_delay=float(event.data.get("delay", 0.0)))


_CHANGES: Mapping[EventName, Callable[[RememberedJob, Event], RememberedJob | None]] = {
    EventName.QUEUED: _queued,
    EventName.MISSED: _missed,
    EventName.SKIPPED: _disarmed,
    EventName.CANCEL_REQUESTED: _disarmed,
    EventName.PAUSED: _paused,
    EventName.RESUMED: _resumed,
    EventName.RESTART_SCHEDULED: _restart_scheduled,
    EventName.RESET: lambda job, _: job._replace(restarts=(), restart_delay=0.0),
    EventName.JOB_REMOVED: lambda *_: None,
}
