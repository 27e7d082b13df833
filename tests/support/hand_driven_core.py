"""A lifecycle that a test drives step by step, so that the test fixes the order of all inputs."""

from __future__ import annotations

from collections.abc import Sequence

from taskloom.core import actions, inputs
from taskloom.core.actions import Action
from taskloom.core.events import Event, EventName
from taskloom.core.model import (
    ErrorInfo,
    How,
    JobSpec,
    JobState,
    Reason,
    ReasonKind,
)
from taskloom.core.run_reports import Whereabouts
from taskloom.core.waits import Wait
from taskloom.testing.clock import VirtualClock
from taskloom.testing.simulator import RecordedCore

__all__ = ["BOOM", "HandDrivenCore", "event_of", "running", "show"]

BOOM = ErrorInfo("RuntimeError", "boom", "Traceback: boom")
"""The error of every fake run that fails."""

_WITH_ERROR = (How.RAISED, How.PERMANENT, How.KILLED, How.LOST)


class HandDrivenCore(RecordedCore):
    """A recorded core with a method for each input. Each returns the actions; a refused command raises."""

    def __init__(self, clock: VirtualClock | None = None, seed: int | None = 0, *, stop_within: float = 30.0) -> None:
        super().__init__(seed, stop_within=stop_within)
        self.clock = clock or VirtualClock()

    def send(self, message: inputs.Input) -> list[Action]:
        """Hand in one input at the clock's time and return the actions. Raises the UsageError that refuses it."""
        return self.handle(message, self.clock.now())

    def add(self, *jobs: JobSpec) -> None:
        """Declare jobs."""
        for job in jobs:
            self.send(inputs.AddJob(job))

    def start_all(self) -> list[Action]:
        """Start all jobs that start automatically."""
        return self.send(inputs.StartAll())

    def start(self, job: str, *, is_now: bool = True) -> str:
        """Start a job and return the name of its new run, which the runner has not started yet."""
        found = self.send(inputs.StartJob(job, is_now))
        (run,) = [action.run for action in found if isinstance(action, actions.StartRun)]
        return run

    def arm(self, job: str) -> list[Action]:
        """Arm a job: it starts after its dependencies and its delay, by its schedule."""
        return self.send(inputs.ArmJob(job))

    def restart(self, job: str, text: str = "again", *, is_now: bool = False) -> list[Action]:
        """Restart a job by a user's command; `text` is the text of the reason."""
        return self.send(inputs.RestartJob(job, Reason(ReasonKind.USER, text), is_now))

    def reset(self, job: str, text: str = "fixed") -> list[Action]:
        """Forget a job's failures by a user's command; `text` is the text of the reason."""
        return self.send(inputs.ResetJob(job, Reason(ReasonKind.USER, text)))

    def pause(self, job: str, text: str = "maintenance") -> list[Action]:
        """Pause a job's schedule by a user's command; `text` is the text of the reason."""
        return self.send(inputs.PauseJob(job, Reason(ReasonKind.USER, text)))

    def resume(self, job: str, text: str = "done") -> list[Action]:
        """Resume a job by a user's command; `text` is the text of the reason."""
        return self.send(inputs.ResumeJob(job, Reason(ReasonKind.USER, text)))

    def reload(self, *jobs: JobSpec) -> list[Action]:
        """Replace all declarations by these."""
        return self.send(inputs.Reload(jobs))

    def unresponsive(self, run: str, poll_age: float = 5.0) -> list[Action]:
        """Report that the run has not polled for `poll_age` seconds."""
        return self.send(inputs.RunUnresponsive(run, poll_age))

    def responsive(self, run: str) -> list[Action]:
        """Report that the run polls again."""
        return self.send(inputs.RunResponsive(run))

    def run(self, job: str) -> str:
        """Start a job, report its run as started, and return the run's name."""
        run = self.start(job)
        self.started(run)
        return run

    def stop(self, job: str, text: str = "enough", run: str | None = None) -> list[Action]:
        """Stop a job, or only this run of it, by a user's command; `text` is the text of the reason."""
        return self.send(inputs.StopJob(job, Reason(ReasonKind.USER, text), run))

    def shutdown(self, within: float = 30.0) -> list[Action]:
        """Begin a shutdown."""
        return self.send(inputs.Shutdown(Reason(ReasonKind.SHUTDOWN), within))

    def hurry(self, within: float = 2.0) -> list[Action]:
        """Allow the shutdown at most `within` more seconds."""
        return self.send(inputs.HurryShutdown(within))

    def started(self, run: str, *, is_ready: bool = True) -> list[Action]:
        """Report that the runner started the run."""
        return self.send(inputs.RunStarted(run, is_ready))

    def start_failed(self, run: str) -> list[Action]:
        """Report that the runner could not start the run."""
        return self.send(inputs.RunStartFailed(run, BOOM))

    def ready(self, run: str) -> list[Action]:
        """Report that the task is ready."""
        return self.send(inputs.RunReady(run))

    def ended(
        self, run: str, how: How = How.RETURNED, *, was_requested: bool | None = None, callback_ran: bool = False
    ) -> list[Action]:
        """Report the end of the run's body. `was_asked`: after a cancel request; by default as in the core."""
        record = self.lifecycle.runs.get(run)
        if was_requested is None:
            was_requested = record is not None and record.requested is not None
        has_failed = how in _WITH_ERROR or (how is How.CANCELLED and not was_requested)
        error = BOOM if has_failed else None
        return self.send(inputs.RunEnded(run, how, error, was_requested, callback_ran))

    def lost(self, run: str, seconds: float = 0.0) -> list[Action]:
        """Report that the runner has lost the run, of which something may be left for `seconds`."""
        record = self.lifecycle.runs.get(run)
        was_requested = record is not None and record.requested is not None
        stopped_by = self.clock.now().mono + seconds
        return self.send(inputs.RunEnded(run, How.LOST, BOOM, was_requested, False, stopped_by))

    def released(self, run: str) -> list[Action]:
        """Report that nothing is left of a lost run."""
        return self.send(inputs.RunReleased(run))

    def placed(self, run: str, pid: int = 0, worker: str = "w1", host: str = "node1") -> list[Action]:
        """Report where the run executes."""
        return self.send(inputs.RunPlaced(run, Whereabouts(host, worker, pid)))

    def unreachable(self, run: str, seconds: float = 0.0) -> list[Action]:
        """Report that nothing was heard of the run's worker for `seconds`."""
        return self.send(inputs.RunUnreachable(run, self.clock.now().mono - seconds))

    def reachable(self, run: str) -> list[Action]:
        """Report that the run's worker was heard of again."""
        return self.send(inputs.RunReachable(run))

    def stack_captured(self, run: str, where: str = "task.py:7 in run") -> list[Action]:
        """Report the stack of an overdue run; `where` is its file, line and function."""
        return self.send(inputs.StackCaptured(run, where, "stack", 1.5))

    def recorded(self, job: str, *, is_recorded: bool = True) -> list[Action]:
        """Report that the instant for which the job waits is recorded, or could not be."""
        record = self.lifecycle.jobs[job].recording
        assert record is not None
        return self.send(inputs.InstantRecorded(job, record.due.wall, is_recorded))

    def callback_failed(self, run: str) -> list[Action]:
        """Report that a callback of the run raised."""
        return self.send(inputs.CallbackFailed(run, "terminate", BOOM))

    def advance(self, seconds: float) -> list[Action]:
        """Advance the clock with a tick at each deadline on the way, and return the actions of all ticks."""
        end = self.clock.now().mono + seconds
        found: list[Action] = []
        while (due := self.lifecycle.next_deadline()) is not None and due <= end:
            self.clock.advance_to(due)
            found += self.send(inputs.Tick())
        self.clock.advance_to(end)
        return found

    def state(self, job: str) -> JobState:
        """Return the state of the job."""
        return self.lifecycle.jobs[job].state


def event_of(found: Sequence[Action], name: EventName) -> Event:
    """Return the only event of this name. Raises ValueError if there is none or more than one."""
    (event,) = [action for action in found if isinstance(action, Event) and action.event is name]
    return event


def running(*jobs: JobSpec) -> HandDrivenCore:
    """Return a core at second 0 in which all jobs that start by themselves run."""
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(*jobs)
    stage.start_all()
    for run in list(stage.lifecycle.runs):
        stage.started(run)
    return stage


def show(found: Sequence[Action]) -> list[str]:
    """Return actions as short texts for assertions: `StartRun a#1`, `ended a#1 cancelled`, `job_added a`."""
    return [_show(action) for action in found]


def _show(action: Action) -> str:
    if isinstance(action, Event):
        subject = action.run or action.job
        parts = (action.event.value, subject, action.outcome.value if action.outcome else None)
        return " ".join(part for part in parts if part)
    if isinstance(action, actions.ReportStopProgress):
        return f"ReportStopProgress {','.join(action.runs)} +{action.more}"
    if isinstance(action, Wait):
        return f"Wait {action.job}"
    return " ".join([type(action).__name__, *([action[0]] if action else [])])
