"""Runs that a shutdown reports by name: those that outlived it, those that it killed, and lost ones.

A lost run is not a survivor, because its outcome is known; but something of it may still be executing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import How, Otherwise, Outcome
from taskloom.core.records import RunRecord
from taskloom.text import duration, finite, first_of, measured, plural

__all__ = ["Killed", "Lost", "Survivor", "find_killed", "find_lost", "killed_text", "make_survivor"]

# More names than these make a line too long to read.
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Survivor:
    """A run that outlived its join policy and was alive when the shutdown ended. All times are in seconds."""

    job: str
    run: str
    where: str
    """The place of its thread when its `within` was over, as `file:line in function`; "" if unknown."""
    stack: str
    poll_age: float | None
    """Seconds since its last poll then, or since its start if it never polled; None if unknown."""
    within: float
    waited: float
    """Seconds from the request to stop until the end of the shutdown."""
    otherwise: Otherwise
    callbacks: tuple[str, ...] = ()
    """The errors of its callbacks."""
    host: str = ""
    """Its host, if it executes elsewhere; else ""."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            **asdict(self),
            "poll_age": finite(self.poll_age),
            "within": finite(self.within),
            "waited": finite(self.waited),
            "otherwise": self.otherwise.value,
            "callbacks": list(self.callbacks),
        }

    def __str__(self) -> str:
        within, where = duration(self.within, is_rounded=True), self.where or "an unknown place"
        where += f" on {self.host}" if self.host else ""
        how = "not ended by SIGKILL" if self.otherwise is Otherwise.KILL else self.otherwise.value
        return f"{self.job}: {how} after {within}, at {where}"


@dataclass(frozen=True, slots=True)
class Killed:
    """A run that a stop ended by TERM or KILL."""

    job: str
    run: str
    how: str
    """Such as `SIGKILL after 10.0 s`; "" if its runner did not say."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.job} ({self.how})" if self.how else self.job


@dataclass(frozen=True, slots=True)
class Lost:
    """A lost run of which something may still be executing at the end of a shutdown, which did not wait for it."""

    job: str
    run: str
    host: str
    """Its host; "" if that is unknown."""
    worker: str
    seconds: float
    """For how long, counted from the end of the shutdown, something of it may be executing."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self) | {"seconds": finite(self.seconds)}

    def __str__(self) -> str:
        where = f" on {self.host}" if self.host else ""
        return f"{self.job}: lost{where}, and may still be executing for {measured(self.seconds)}"


def killed_text(killed: Sequence[Killed]) -> str:
    """Return which runs were killed and how: `killed 2 runs: a (SIGKILL after 10.0 s), b`."""
    return f"killed {plural(len(killed), 'run')}: {first_of([str(each) for each in killed], _MOST_NAMED)}"


def find_killed(core: Lifecycle, since: float) -> Iterator[Killed]:
    """Yield the runs that were killed since then, in the order of their jobs. `since`: in monotonic seconds."""
    for job in core.jobs.values():
        run = job.last_run
        if run is None or run.how is not How.KILLED or run.reason is None:
            continue
        if run.ended is not None and run.ended.mono >= since:
            yield Killed(job.spec.name, run.id, str(run.error) if run.error is not None else "")


def find_lost(core: Lifecycle, now: float) -> Iterator[Lost]:
    """Yield the lost runs of which something may be left, in the order of their jobs. `now`: in monotonic seconds."""
    for job in core.jobs.values():
        run = job.lost_run
        if run is not None and run.stopped_by is not None and run.stopped_by.mono > now:
            host, worker = run.whereabouts[:2] if run.whereabouts is not None else ("", "")
            yield Lost(job.spec.name, run.id, host, worker, round(run.stopped_by.mono - now, 6))


def make_survivor(run: RunRecord, now: float) -> Survivor:
    """Return a run that has outlived the shutdown, as its report names it. `now`: in monotonic seconds."""
    captured, requested = run.captured, run.requested.mono if run.requested else now
    return Survivor(
        job=run.job.spec.name,
        run=run.id,
        where=captured.where if captured else "",
        stack=captured.stack if captured else "",
        poll_age=captured.poll_age if captured else None,
        within=round(run.overdue_at - requested, 6) if run.spec.join.is_awaited else 0.0,
        waited=round(now - requested, 6),
        otherwise=_treatment(run),
        callbacks=run.failed_callbacks + (captured.callbacks if captured else ()),
        host=run.whereabouts.host if run.whereabouts is not None else "",
    )


def _treatment(run: RunRecord) -> Otherwise:
    """Return what the stop has done about a run that outlived its policy."""
    if run.killed is not None:
        return Otherwise.KILL
    return Otherwise.ABANDON if run.outcome is Outcome.ABANDONED else run.job.spec.join.otherwise
