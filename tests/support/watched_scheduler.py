"""A real scheduler that a test can wait on: what it told, and when it told it."""

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

# Bounds a failing test alone.
PATIENCE_SECONDS = 20.0


class WatchedScheduler(Scheduler):
    """A scheduler with real threads whose events are kept, waited for and judged.

    `finish` stops it and holds all that it told to the rules of every history.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._seen: list[Event] = []
        self._heard = threading.Condition()
        self._ear = self.listen(self._take)

    @property
    def events(self) -> list[Event]:
        """What was told so far, in order."""
        with self._heard:
            return list(self._seen)

    def told(self, job: str | None = None) -> list[str]:
        """Return the names of the events so far, or those of one job; an end with its outcome."""
        found = [event for event in self.events if job is None or event.job == job]
        return [f"{e.event.value} {e.outcome.value}" if e.outcome else e.event.value for e in found]

    def wait_for(self, name: EventName, job: str | None = None, count: int = 1) -> Event:
        """Wait until the event was told so often, and return its last. Raises AssertionError with what came instead."""

        def found() -> list[Event]:
            return [event for event in self._seen if event.event is name and job in (None, event.job)]

        with self._heard:
            came = self._heard.wait_for(lambda: len(found()) >= count, PATIENCE_SECONDS)
            if came:
                return found()[count - 1]
        raise AssertionError(f"{name.value} of {job or 'anybody'} did not come {count} times: {self.told()}")

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
        """Declare a job that calls a function with the context; within in seconds. `policies`: as in `make_job`."""
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
        """Stop everything, and judge all that was told. Raises AssertionError with what breaks a rule."""
        report = self.stop(within)
        is_told = self._ear.close(PATIENCE_SECONDS)
        violations = check_events(self.events, is_whole=True)
        if not is_told or violations or self.bug is not None:
            raise AssertionError(f"{violations or self.bug or 'events are missing'}: {self.told()}")
        return report

    def _take(self, event: Event) -> None:
        with self._heard:
            self._seen.append(event)
            self._heard.notify_all()
