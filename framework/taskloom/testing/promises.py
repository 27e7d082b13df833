"""What the lifecycle promises beyond its events: when it asks, hurries, names, reminds, and lets go.

Judges the steps of a history by the words of the design. It keeps its own books, computes every deadline for itself,
and never looks into the lifecycle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from taskloom.core import actions, inputs
from taskloom.core.events import Event
from taskloom.core.model import JobSpec, Reason, StartMode
from taskloom.errors import SchedulerStopped, UsageError
from taskloom.testing.history import Step
from taskloom.testing.ledger import Ledger, RunFacts, Violation, fact_of

__all__ = ["Promises"]

HURRY_SHARE = 0.75
FIRST_REMINDER_SECONDS, REMINDER_SECONDS, REMINDED_RUNS = 2.0, 3.0, 5
# Virtual seconds are added up in floats.
EPSILON_SECONDS = 1e-6
NEVER = float("inf")


@dataclass(slots=True)
class StopClock:
    """When a run that was asked has to be hurried, and named."""

    asked: float
    deadline: float
    not_before: float
    """When it was last set: what would have been due earlier is due then."""
    is_hurried: bool = False
    is_named: bool = False

    @property
    def hurry_at(self) -> float:
        """The second of the hurry."""
        if self.deadline == NEVER:
            return NEVER
        return max(self.asked + HURRY_SHARE * (self.deadline - self.asked), self.not_before)

    @property
    def name_at(self) -> float:
        """The second at which it is looked where it stands."""
        return max(self.deadline, self.not_before)

    def cut(self, deadline: float, now: float) -> None:
        """Leave less time; more is never given."""
        deadline = max(deadline, self.asked)
        if deadline < self.deadline:
            self.deadline, self.not_before = deadline, now


class Promises:
    """Walks a history; `ledger` folds its events on the way. `lateness`: by how many seconds a tick may be late."""

    def __init__(self, lateness: float = 0.0) -> None:
        self._lateness = lateness + EPSILON_SECONDS
        self.ledger = Ledger()
        self.violations: list[Violation] = []
        self._jobs: dict[str, JobSpec] = {}
        self._now = 0.0
        self._index = 0
        self._stop_deadline = NEVER
        self._clocks: dict[str, StopClock] = {}
        """Of the runs that are awaited, in the order of their asks."""
        self._remind_at = NEVER
        self._unstarted: set[str] = set()
        self._armed: dict[str, float] = {}
        self._unasked: dict[str, RunFacts] = {}
        """Runs that the shutdown found, and has not asked yet."""
        self._heights: dict[str, int] = {}
        self._stop_overs = 0
        self._active = {False: 0, True: 0}
        self._has_held = False
        self._was_work_over = True
        self._handlers: dict[type, Callable[[Any, Step], None]] = {
            Event: self._event,
            actions.StartRun: self._start_run,
            actions.AskRun: self._ask_run,
            actions.HurryRun: self._hurry_run,
            actions.NameRun: self._name_run,
            actions.RemindStopping: self._remind,
            actions.RunOver: self._run_over,
            actions.WorkOver: lambda *_: None,  # judged after the step
            actions.StopOver: self._stop_over,
        }

    def walk(self, step: Step) -> None:
        """Take in the next step."""
        self._index += 1
        self._now = step.now.mono
        if step.error is not None:
            self._judge_refusal(step, step.error)
            return
        self._missed()
        self._take_command(step)
        for action in step.actions:
            self._handlers[type(action)](action, step)
        self._judge_answers(step)
        self._judge_work_over(step)
        self._judge_levels()

    @property
    def waits_for_ever(self) -> bool:
        """Tell whether a stop without a deadline awaits a run that may take for ever: legal, and never over."""
        return self._is_stopping and any(clock.deadline == NEVER for clock in self._clocks.values())

    def close(self) -> None:
        """Judge what only the end can tell, for a history that went on until nothing more was due."""
        self._missed()
        self.ledger.close()
        if self._stop_overs != 1:
            self._broken("I7", f"StopOver came {self._stop_overs} times")

    def _broken(self, rule: str, text: str) -> None:
        self.violations.append(Violation(rule, self._index, text))

    def _expect_at(self, what: str, due: float) -> None:
        if not -EPSILON_SECONDS <= self._now - due <= self._lateness:
            self._broken("I7", f"{what} at {self._now:g} s, due at {due:g} s")

    # -- what came in

    def _take_command(self, step: Step) -> None:
        command = step.message
        if isinstance(command, inputs.AddJob):
            self._jobs[command.spec.name] = command.spec
            self._unstarted.add(command.spec.name)
        elif isinstance(command, inputs.StartAll):
            self._arm_all()
        elif isinstance(command, inputs.Shutdown) and self.ledger.stopping is None:
            self._stop_deadline = self._now + command.within
            self._unasked = {run.run: run for run in self.ledger.live.values() if run.asked is None}
            self._heights = _heights(self._jobs)
            self._cut_all()
        elif isinstance(command, inputs.HurryShutdown) and self._is_stopping:
            self._stop_deadline = min(self._stop_deadline, self._now + command.within)
            self._cut_all()

    @property
    def _is_stopping(self) -> bool:
        return self.ledger.stopping is not None and self.ledger.stopped is None

    def _arm_all(self) -> None:
        for name in list(self._unstarted):
            start = self._jobs[name].start
            if self._jobs[name].enabled and start.mode is StartMode.AUTO and start.delay_seconds > 0:
                self._unstarted.discard(name)
                self._armed[name] = self._now + start.delay_seconds
                self._became_active(name, 1)

    def _cut_all(self) -> None:
        for clock in self._clocks.values():
            clock.cut(self._stop_deadline, self._now)

    def _judge_refusal(self, step: Step, error: UsageError) -> None:
        command = step.message
        if isinstance(error, SchedulerStopped) and self.ledger.stopping is None:
            self._broken("I9", f"refused as stopped, and it was not: {command}")
        if isinstance(command, inputs.StartJob) and command.job in self._jobs and self.ledger.stopping is None:
            is_free = self._jobs[command.job].enabled and command.job not in self.ledger.live_of_job
            if is_free:
                self._broken("I9", f"a start was refused without need: {error}")

    # -- what came out

    def _event(self, event: Event, step: Step) -> None:
        fact = fact_of(event)
        run_before = self.ledger.live.get(fact.run or "")
        self.ledger.enter(fact)
        if fact.event == "queued":
            self._judge_queued(fact.job or "", step)
        elif fact.event == "skipped":
            self._disarm(fact.job or "")
        elif fact.event == "cancel_requested" and run_before is not None:
            self._begin_stop(run_before, step)
        elif fact.event in ("ended", "stop_overdue") and run_before is not None:
            clock = self._clocks.get(run_before.run)
            if fact.event == "stop_overdue" and (clock is None or not clock.is_named):
                self._broken("I7", f"{run_before.run} was found overdue, and nobody was sent to look")
            self._end_stop(run_before)
            if fact.event == "ended":
                self._unasked.pop(run_before.run, None)
                self._became_active(run_before.job, -1)

    def _judge_queued(self, job: str, step: Step) -> None:
        due = self._armed.get(job)
        if isinstance(step.message, inputs.Tick):
            if due is None:
                self._broken("I9", f"job {job} was started by time, and no delay was running")
            else:
                self._expect_at(f"job {job} was started after its delay", due)
        elif isinstance(step.message, inputs.StartAll):
            if job not in self._unstarted or self._jobs[job].start.mode is not StartMode.AUTO:
                self._broken("I2", f"job {job} was started by the start of all, and was started before or is manual")
        elif not isinstance(step.message, inputs.StartJob) or step.message.job != job:
            self._broken("I2", f"job {job} was started, and nobody had asked for it")
        self._disarm(job)
        self._unstarted.discard(job)
        if not self._jobs[job].enabled:
            self._broken("I9", f"job {job} was started, and is disabled")
        self._became_active(job, 1)

    def _disarm(self, job: str) -> None:
        if self._armed.pop(job, None) is not None:
            self._became_active(job, -1)

    def _begin_stop(self, run: RunFacts, step: Step) -> None:
        if not isinstance(step.message, inputs.StopJob | inputs.HurryShutdown):
            self._judge_order(run)
        self._unasked.pop(run.run, None)
        within = self._jobs[run.job].join.within
        deadline = min(self._now + within, max(self._now, self._stop_deadline))
        if not self._clocks:
            self._remind_at = self._now + FIRST_REMINDER_SECONDS
        self._clocks[run.run] = StopClock(self._now, deadline, self._now)

    def _end_stop(self, run: RunFacts) -> None:
        if self._clocks.pop(run.run, None) is not None and not self._clocks:
            self._remind_at = NEVER

    def _start_run(self, action: actions.StartRun, step: Step) -> None:
        run = self.ledger.live.get(action.run)
        if run is None or run.job != action.spec.name or run.started is not None or run.queued != self._now:
            self._broken("I4", f"StartRun of {action.run}, which was not just queued")
        if action.spec is not self._jobs.get(action.spec.name):
            self._broken("I4", f"StartRun of {action.run} with another declaration")

    def _ask_run(self, action: actions.AskRun, step: Step) -> None:
        run = self.ledger.live.get(action.run)
        if run is None or run.asked != self._now or run.reason != (action.reason.kind.value, action.reason.text):
            self._broken("I4", f"AskRun of {action.run} for {action.reason}, and its event does not say so")

    def _hurry_run(self, action: actions.HurryRun, step: Step) -> None:
        clock = self._clocks.get(action.run)
        if clock is None or clock.is_hurried:
            self._broken("I7", f"HurryRun of {action.run}, which is not awaited or was hurried before")
            return
        clock.is_hurried = True
        if not isinstance(step.message, inputs.HurryShutdown):
            self._expect_at(f"HurryRun of {action.run}", clock.hurry_at)

    def _name_run(self, action: actions.NameRun, step: Step) -> None:
        clock = self._clocks.get(action.run)
        if clock is None or clock.is_named:
            self._broken("I7", f"NameRun of {action.run}, which is not awaited or was named before")
            return
        clock.is_named = True
        self._expect_at(f"NameRun of {action.run}", clock.name_at)

    def _remind(self, action: actions.RemindStopping, step: Step) -> None:
        self._expect_at("a reminder", self._remind_at)
        self._remind_at = self._now + REMINDER_SECONDS
        awaited = list(self._clocks)
        if action.runs != tuple(awaited[:REMINDED_RUNS]) or action.more != len(awaited) - len(action.runs):
            self._broken("I7", f"a reminder named {action.runs} and {action.more} more, awaited are {awaited}")

    def _run_over(self, action: actions.RunOver, step: Step) -> None:
        if action.run in self.ledger.live:
            self._broken("I8", f"RunOver of {action.run}, which is live")
        if not isinstance(step.message, inputs.RunEnded | inputs.RunStartFailed) or step.message.run != action.run:
            self._broken("I8", f"RunOver of {action.run}, and nobody said that it is back")

    def _stop_over(self, action: actions.StopOver, step: Step) -> None:
        self._stop_overs += 1
        if self.ledger.stopped != self._now:
            self._broken("I7", "StopOver without scheduler_stopped")

    # -- after each step

    def _missed(self) -> None:
        """Note what should have come before now: the lifecycle names its own deadlines, and all are kept."""
        for what, due in self._due():
            if due < self._now - self._lateness:
                self._broken("I7", f"{what} was due at {due:g} s, it is {self._now:g} s")

    def _due(self) -> Iterator[tuple[str, float]]:
        if self._remind_at != NEVER:
            yield "a reminder", self._remind_at
        for run, clock in self._clocks.items():
            if not clock.is_hurried:
                yield f"HurryRun of {run}", clock.hurry_at
            if not clock.is_named:
                yield f"NameRun of {run}", clock.name_at
        for job, due in self._armed.items():
            yield f"the start of job {job} after its delay", due

    def _judge_answers(self, step: Step) -> None:
        """Judge that a step said all that it had to: nothing is dropped in silence."""
        message, found = step.message, step.actions
        told = [type(action) for action in found]
        names = [action.event.value for action in found if isinstance(action, Event)]
        for event, action in (("queued", actions.StartRun), ("cancel_requested", actions.AskRun)):
            if names.count(event) != told.count(action):
                self._broken("I4", f"{names.count(event)} {event}, {told.count(action)} {action.__name__}")
        if isinstance(message, inputs.RunEnded | inputs.RunStartFailed) and actions.RunOver(message.run) not in found:
            self._broken("I8", f"{message.run} is back, and nobody was told")
        if isinstance(message, inputs.RunStarted):
            run = self.ledger.live.get(message.run)
            if run is not None and run.started is None and run.ended is None:
                self._broken("I4", f"{message.run} started, and no event says so")
        if isinstance(message, inputs.StopJob):
            self._judge_stop(message.job, message.run, message.reason)
        if isinstance(message, inputs.HurryShutdown) and self._is_stopping:
            for name, clock in self._clocks.items():
                if not clock.is_hurried:
                    self._broken("I7", f"{name} was not hurried with all the others")

    def _judge_stop(self, job: str, only: str | None, reason: Reason) -> None:
        run = self.ledger.live_of_job.get(job)
        if run is not None and only in (None, run.run) and run.asked is None:
            self._broken("I2", f"job {job} was stopped, and {run.run} was not asked")
        if run is None and only is None and job in self._armed:
            self._broken("I2", f"job {job} was stopped for {reason}, and its delay goes on")

    def _became_active(self, job: str, change: int) -> None:
        is_daemon = self._jobs[job].daemon
        self._active[is_daemon] += change
        self._has_held = self._has_held or not is_daemon

    def _judge_work_over(self, step: Step) -> None:
        is_over = self._active[False] == 0 and (self._has_held or self._active[True] == 0)
        expected = int(is_over and not self._was_work_over)
        found = sum(isinstance(action, actions.WorkOver) for action in step.actions)
        if found != expected:
            self._broken("I9", f"WorkOver came {found} times, expected {expected}")
        self._was_work_over = is_over

    def _judge_order(self, run: RunFacts) -> None:
        """Judge an ask of the shutdown: nobody who needs the job may be awaited, or not even asked."""
        own = self._heights.get(run.job, 0)
        before = [name for name in (*self._clocks, *self._unasked) if self._height_of(name) < own]
        if before:
            self._broken("I7", f"job {run.job} was asked before {', '.join(before)}")

    def _height_of(self, run: str) -> int:
        return self._heights.get(self.ledger.live[run].job, 0)

    def _judge_levels(self) -> None:
        """Judge that the shutdown goes on: who was not asked yet waits for somebody who is above."""
        if not self._is_stopping:
            return
        awaited = [self._height_of(run) for run in self._clocks]
        for run in self._unasked:
            if not any(height < self._height_of(run) for height in awaited):
                self._broken("I7", f"{run} was not asked, and waits for nobody")
        if not awaited and not self._unasked:
            self._broken("I7", "nobody is awaited, and the stop is not over")


def _heights(jobs: dict[str, JobSpec]) -> dict[str, int]:
    """Return how many jobs stand above each one, on the longest way up through those that need it."""
    needed_by: dict[str, list[str]] = {name: [] for name in jobs}
    for name, job in jobs.items():
        for need in (each.job for each in job.after):
            needed_by.get(need, []).append(name)
    found: dict[str, int] = {}

    def height(name: str) -> int:
        if name not in found:
            found[name] = max((height(other) + 1 for other in needed_by[name]), default=0)
        return found[name]

    return {name: height(name) for name in jobs}
