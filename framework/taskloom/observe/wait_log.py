"""The log of what the scheduler decides, for `taskloom run --verbose`: what jobs wait for, and when they are ready."""

from __future__ import annotations

from taskloom.core.events import Event, EventName
from taskloom.core.model import Moment
from taskloom.core.waits import Wait
from taskloom.observe.console import Console
from taskloom.observe.wait_text import WaitDescriber
from taskloom.scheduler.failure_text import LogLine
from taskloom.text import measured

__all__ = ["WaitLog"]

# A wait comes after the events of the same message: what ended, and then what is waited for.
_AFTER_EVENTS_SECONDS = 1e-6


class WaitLog:
    """A listener of the scheduler, for events and for waits: called on one thread."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._describer = WaitDescriber()
        # When the latest run of each job has started, in monotonic seconds.
        self._started: dict[str, float] = {}

    def on_wait(self, wait: Wait) -> None:
        """Log what is new about what a job waits for."""
        at = Moment(wait.at.mono + _AFTER_EVENTS_SECONDS, wait.at.wall)
        for line in self._describer.describe(wait):
            self._console.log_line(line, wait.job, at)

    def on_event(self, event: Event) -> None:
        """Log that a run is ready, unless that is so by its start; and forget removed jobs."""
        job = event.job
        if job is None:
            return
        if event.event is EventName.STARTED:
            self._started[job] = event.mono
        elif event.event is EventName.READY:
            seconds = event.mono - self._started.get(job, event.mono)
            if seconds > 0:
                line = LogLine(f"ready after {measured(seconds)}", "DEBUG", "runs became ready")
                self._console.log_line(line, job, Moment(event.mono, event.at))
        elif event.event is EventName.JOB_REMOVED:
            self._started.pop(job, None)
            self._describer.forget(job)
