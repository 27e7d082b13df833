"""Events of a scheduler, made by hand for the tests of the history."""

from __future__ import annotations

from itertools import count
from typing import Any

from taskloom.core.events import Event, EventName
from taskloom.core.model import ErrorInfo, Outcome, Reason, ReasonKind

__all__ = ["EventMaker"]

START = 1_700_000_000.0


class EventMaker:
    """Makes events with numbers, one second after the other."""

    def __init__(self, at: float = START) -> None:
        self.at = at
        self._numbers = count(1)

    def make(self, event: EventName, job: str | None = "tick", run: str | None = None, **fields: Any) -> Event:
        """Return the next event."""
        self.at += 1.0
        return Event(next(self._numbers), fields.pop("at", self.at), 0.0, event, job=job, run=run, **fields)

    def added(self, job: str = "tick", fingerprint: str = "f1") -> Event:
        """Return that a job was declared."""
        return self.make(EventName.JOB_ADDED, job, data={"task": "demo", "daemon": False, "fingerprint": fingerprint})

    def queued(self, run: str = "tick#1", **fields: Any) -> Event:
        """Return that a run was queued."""
        return self.make(EventName.QUEUED, run.rpartition("#")[0], run, **{"attempt": 1, **fields})

    def begun(self, run: str = "tick#1", **fields: Any) -> list[Event]:
        """Return the events of a run until it is ready."""
        job = run.rpartition("#")[0]
        names = (EventName.STARTED, EventName.READY)
        return [self.queued(run, **fields), *(self.make(name, job, run, attempt=1) for name in names)]

    def ended(self, run: str = "tick#1", outcome: Outcome = Outcome.SUCCEEDED, **fields: Any) -> Event:
        """Return that a run ended."""
        if outcome is Outcome.FAILED:
            fields.setdefault("error", ErrorInfo("ValueError", "no good", "Traceback of it\n"))
        job = run.rpartition("#")[0]
        return self.make(EventName.ENDED, job, run, attempt=1, outcome=outcome, seconds=2.0, **fields)

    def whole(self, run: str = "tick#1", outcome: Outcome = Outcome.SUCCEEDED) -> list[Event]:
        """Return the events of a whole run."""
        return [*self.begun(run), self.ended(run, outcome)]

    def paused(self, text: str = "maintenance") -> Event:
        """Return that the schedule of `tick` was paused."""
        return self.make(EventName.PAUSED, reason=Reason(ReasonKind.USER, text))
