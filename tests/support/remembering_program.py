"""A program that is started again and again on a fake clock, with a memory that survives."""

from __future__ import annotations

from tests.support.hand_driven_core import HandDrivenCore

from taskloom.core import actions, inputs
from taskloom.core.events import Event, EventName
from taskloom.core.model import JobSpec
from taskloom.core.remembered import Recollection, RememberedJob
from taskloom.history.memory import JobMemory
from taskloom.scheduler.fingerprint import fingerprint
from taskloom.testing.clock import VirtualClock

__all__ = ["RememberingProgram", "events_of", "told"]


class RememberingProgram:
    """One program. `stage` is the core of its present start; the monotonic clock of each start begins at 0."""

    def __init__(self, *specs: JobSpec, wall: float = 0.0) -> None:
        self.specs = specs
        self.wall = wall
        self.remembered: dict[str, RememberedJob] = {}
        self.stage = HandDrivenCore()
        self.start()

    @property
    def now(self) -> float:
        """The time of the wall clock."""
        return self.stage.clock.now().wall

    def recollection(self) -> Recollection:
        """Return what the history knows about the present declarations."""
        return Recollection(self.remembered, {spec.name: fingerprint(spec) for spec in self.specs})

    def start(self) -> None:
        """Start the program, with all jobs."""
        self._committed: list[tuple[str, float]] = []
        self._durable = 0
        self.stage = HandDrivenCore(VirtualClock(0.0, self.wall))
        self.stage.send(inputs.AddJobs(self.specs, self.recollection()))
        self.stage.start_all()

    def advance(self, seconds: float, *, is_recorded: bool | None = True) -> None:
        """Let time pass. Each record is answered at once (None: never), and each run ends at once."""
        end = self.stage.clock.now().mono + seconds
        self.work(is_recorded=is_recorded)
        while (due := self.stage.lifecycle.next_deadline()) is not None and due <= end:
            self.stage.clock.advance_to(due)
            self.stage.send(inputs.Tick())
            self.work(is_recorded=is_recorded)
        self.stage.clock.advance_to(end)

    def work(self, *, is_recorded: bool | None = True) -> None:
        """Answer the records that are waited for, and begin and end all runs."""
        for job in list(self.stage.lifecycle.jobs.values()):
            if job.recording is not None and is_recorded is not None:
                if is_recorded:
                    self.commit(job.spec.name, job.recording.due.wall)
                self.stage.recorded(job.spec.name, is_recorded=is_recorded)
            if job.run is not None and job.run.started is None:
                self.stage.started(job.run.id)
                self.stage.ended(job.run.id)

    def commit(self, job: str, instant: float) -> None:
        """Record an instant, as the history does before the run starts, and with it all events so far."""
        self._committed.append((job, instant))
        self._durable = len(list(self.stage.history.events))

    def kill(self, lost_events: int = 0) -> None:
        """End the present start at once; its last events did not reach the history."""
        events = list(self.stage.history.events)
        memory = JobMemory()
        memory.load(self.remembered)
        for event in events[: max(len(events) - lost_events, self._durable)]:
            memory.add(event)
        for job, instant in self._committed:
            memory.record(job, instant)
        self.remembered = memory.jobs
        self.wall = self.now

    def restart_after(self, seconds: float) -> None:
        """Kill the program, and start it again when the wall clock has gone on by so much."""
        self.kill()
        self.wall += seconds
        self.start()


def events_of(stage: HandDrivenCore, name: EventName) -> list[Event]:
    """Return such events of a start, in order."""
    return [event for event in stage.history.events if event.event is name]


def told(stage: HandDrivenCore) -> list[str]:
    """Return what came of the instants: `run 01:00:00 made_up`, `missed 2 until 02:00:00 down`, `record 03:00:00`."""
    lines = []
    for step in stage.history.steps:
        for action in step.actions:
            if isinstance(action, actions.RecordInstant):
                lines.append(f"record {_clock(action.instant)}")
            elif isinstance(action, Event) and action.event is EventName.MISSED:
                data = action.data
                lines.append(f"missed {data['count']} until {data['instant'][11:19]} {data['why']}")
            elif isinstance(action, Event) and action.event is EventName.QUEUED:
                marks = [mark for mark in ("made_up", "unrecorded") if action.data.get(mark)]
                lines.append(" ".join(["run", str(action.data.get("instant", "now"))[11:19] or "now", *marks]))
    return lines


def _clock(wall: float) -> str:
    hours, minutes = divmod(int(wall) // 60, 60)
    return f"{hours % 24:02}:{minutes:02}:{int(wall) % 60:02}"
