"""A real scheduler whose events a test can wait for and check."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from taskloom.core.events import Event, EventName
from taskloom.core.policies import Dependency, Otherwise
from taskloom.core.report import StopReport
from taskloom.invariants.checker import check_events
from taskloom.runners.binding import Binding, Body
from taskloom.scheduler import JobHandle, Scheduler
from taskloom.testing import make_job

__all__ = ["WatchedScheduler"]

# Limits only how long a failing test takes.
PATIENCE_SECONDS = 20.0


class WatchedScheduler(Scheduler):
    """A scheduler with real threads that records its events.

    `finish` stops it and checks the invariants of its history.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._recorded: list[Event] = []
        self._changed = threading.Condition()
        self._listener = self.listen(self._record)

    @property
    def events(self) -> list[Event]:
        """The events so far, in order: all that came before this call, although they are recorded a moment later."""
        self._listener.flush(PATIENCE_SECONDS)
        with self._changed:
            return list(self._recorded)

    def event_names(self, job: str | None = None) -> list[str]:
        """Return the names of the events so far, of all jobs or of one; `ended` with its outcome."""
        found = [event for event in self.events if job is None or event.job == job]
        return [f"{e.event.value} {e.outcome.value}" if e.outcome else e.event.value for e in found]

    def wait_for(self, name: EventName, job: str | None = None, count: int = 1) -> Event:
        """Wait for the event number `count` of this name and return it. Raises AssertionError if it does not come."""

        def found() -> list[Event]:
            return [event for event in self._recorded if event.event is name and job in (None, event.job)]

        with self._changed:
            came = self._changed.wait_for(lambda: len(found()) >= count, PATIENCE_SECONDS)
            if came:
                return found()[count - 1]
        raise AssertionError(f"{name.value} of {job or 'any job'} did not come {count} times: {self.event_names()}")

    def add_function(
        self,
        name: str,
        run: Callable[[Any], object],
        terminate: Callable[[], object] | None = None,
        *,
        daemon: bool = False,
        within: float = 10.0,
        otherwise: Otherwise | None = None,
        delay: float = 0.0,
        manual: bool = False,
        after: Sequence[str | Dependency] = (),
        announces_ready: bool = False,
        **policies: Any,
    ) -> JobHandle:
        """Declare a job that calls a function with the context. `policies`: as in `make_job`."""
        binding = Binding(
            lambda: Body(run, terminate), has_terminate=terminate is not None, announces_ready=announces_ready
        )
        declared = make_job(
            name,
            daemon=daemon,
            within=within,
            otherwise=otherwise,
            delay=delay,
            manual=manual,
            after=after,
            **policies,
        )
        return self.add(replace(declared, task=getattr(run, "__name__", "function"), binding=binding))

    def finish(self, within: float = 10.0) -> StopReport:
        """Stop the scheduler and check its history. Raises AssertionError with the violations."""
        report = self.stop(within)
        has_all_events = self._listener.close(PATIENCE_SECONDS)
        violations = check_events(self.events, is_whole=True)
        if not has_all_events or violations or self.bug is not None:
            raise AssertionError(f"{violations or self.bug or 'events are missing'}: {self.event_names()}")
        return report

    def _record(self, event: Event) -> None:
        with self._changed:
            self._recorded.append(event)
            self._changed.notify_all()
