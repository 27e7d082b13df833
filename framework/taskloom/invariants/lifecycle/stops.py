"""I7: when a run that was asked is hurried and named, who is reminded of, and in which order everything stops."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from taskloom.core import actions, inputs
from taskloom.invariants.event_rules import RunFacts
from taskloom.invariants.lifecycle.model import NEVER, Books

__all__ = ["Stops"]

HURRY_SHARE = 0.75
FIRST_REMINDER_SECONDS, REMINDER_SECONDS, REMINDED_RUNS = 2.0, 3.0, 5
REMINDER = ("a reminder", "")


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

    def cut(self, deadline: float, now: float) -> bool:
        """Leave less time; more is never given. True when that changed anything."""
        deadline = max(deadline, self.asked)
        is_less = deadline < self.deadline
        if is_less:
            self.deadline, self.not_before = deadline, now
        return is_less


class Stops:
    """All runs that are awaited, and the whole stop."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._deadline = NEVER
        self._clocks: dict[str, StopClock] = {}
        """Of the runs that are awaited, in the order of their asks."""
        self._unasked: dict[str, RunFacts] = {}
        """Runs that the whole stop found, and has not asked yet."""
        self._heights: dict[str, int] = {}
        self._awaited_at: Counter[int] = Counter()
        self._unasked_at: Counter[int] = Counter()

    @property
    def is_going_on(self) -> bool:
        """Tell whether everything is being stopped, and it is not over."""
        ledger = self._books.ledger
        return ledger.stopping is not None and ledger.stopped is None

    @property
    def waits_for_ever(self) -> bool:
        """Tell whether a stop without a deadline awaits a run that may take for ever."""
        return self.is_going_on and any(clock.deadline == NEVER for clock in self._clocks.values())

    # -- the whole stop

    def begin_all(self, within: float) -> None:
        """Stop everything."""
        books = self._books
        self._deadline = books.now + within
        self._heights = _heights(books)
        self._unasked = {run.run: run for run in books.ledger.live.values() if run.asked is None}
        self._unasked_at = Counter(self._height_of(run.job) for run in self._unasked.values())
        self._awaited_at = Counter(self._height_of(books.ledger.live[run].job) for run in self._clocks)
        self._cut_all()

    def hurry_all(self, within: float) -> None:
        """Give everybody at most so many more seconds."""
        if self.is_going_on:
            self._deadline = min(self._deadline, self._books.now + within)
            self._cut_all()

    def judge_hurried(self) -> None:
        """Judge that nobody was left out of the hurry of all."""
        for run, clock in self._clocks.items():
            if self.is_going_on and not clock.is_hurried:
                self._books.broken("I7", f"{run} was not hurried with all the others")

    def _cut_all(self) -> None:
        for run, clock in self._clocks.items():
            if clock.cut(self._deadline, self._books.now):
                self._set_alarms(run, clock)

    # -- one run

    def begin(self, run: RunFacts, within: float, *, is_whole: bool) -> None:
        """It was asked; `is_whole`, for the reason for which everything stops."""
        books = self._books
        if is_whole and not isinstance(_message(books), inputs.HurryShutdown):
            self._judge_order(run)
        if self._unasked.pop(run.run, None) is not None:
            self._unasked_at[self._height_of(run.job)] -= 1
        if not self._clocks:
            books.alarms.set(REMINDER, books.now + FIRST_REMINDER_SECONDS)
        deadline = min(books.now + within, max(books.now, self._deadline))
        clock = self._clocks[run.run] = StopClock(books.now, deadline, books.now)
        self._awaited_at[self._height_of(run.job)] += 1
        self._set_alarms(run.run, clock)

    def end(self, run: RunFacts, *, is_overdue: bool = False) -> None:
        """It has ended, or is overdue."""
        books = self._books
        if self._unasked.pop(run.run, None) is not None:
            self._unasked_at[self._height_of(run.job)] -= 1
        clock = self._clocks.pop(run.run, None)
        if is_overdue and (clock is None or not clock.is_named):
            books.broken("I7", f"{run.run} was found overdue, and nobody was sent to look")
        if clock is not None:
            self._awaited_at[self._height_of(run.job)] -= 1
            books.alarms.drop(("MarkUrgent", run.run))
            books.alarms.drop(("CaptureStack", run.run))
            if not self._clocks:
                books.alarms.drop(REMINDER)

    def _set_alarms(self, run: str, clock: StopClock) -> None:
        if not clock.is_hurried:
            self._books.alarms.set(("MarkUrgent", run), clock.hurry_at)
        if not clock.is_named:
            self._books.alarms.set(("CaptureStack", run), clock.name_at)

    # -- what came out

    def hurry_run(self, action: actions.MarkUrgent) -> None:
        """Judge a hurry."""
        clock = self._clocks.get(action.run)
        if clock is None or clock.is_hurried:
            self._books.broken("I7", f"MarkUrgent of {action.run}, which is not awaited or was hurried before")
            return
        clock.is_hurried = True
        self._books.alarms.drop(("MarkUrgent", action.run))
        if not isinstance(_message(self._books), inputs.HurryShutdown):
            self._books.expect_at(f"MarkUrgent of {action.run}", clock.hurry_at)

    def name_run(self, action: actions.CaptureStack) -> None:
        """Judge a look where a run stands."""
        clock = self._clocks.get(action.run)
        if clock is None or clock.is_named:
            self._books.broken("I7", f"CaptureStack of {action.run}, which is not awaited or was named before")
            return
        clock.is_named = True
        self._books.alarms.drop(("CaptureStack", action.run))
        self._books.expect_at(f"CaptureStack of {action.run}", clock.name_at)

    def remind(self, action: actions.ReportStopProgress) -> None:
        """Judge a reminder."""
        books, awaited = self._books, list(self._clocks)
        due = books.alarms.due_of(REMINDER)
        books.expect_at("a reminder", NEVER if due is None else due)
        books.alarms.set(REMINDER, books.now + REMINDER_SECONDS)
        if action.runs != tuple(awaited[:REMINDED_RUNS]) or action.more != len(awaited) - len(action.runs):
            books.broken("I7", f"a reminder named {action.runs} and {action.more} more, awaited are {awaited}")

    # -- levels

    def _height_of(self, job: str) -> int:
        return self._heights.get(job, 0)

    def _judge_order(self, run: RunFacts) -> None:
        """Judge an ask of the whole stop: nobody who needs the job may be awaited, or not even asked."""
        own = self._height_of(run.job)
        if any(found and height < own for at in (self._awaited_at, self._unasked_at) for height, found in at.items()):
            live = self._books.ledger.live
            before = [one for one in (*self._clocks, *self._unasked) if self._height_of(live[one].job) < own]
            self._books.broken("I7", f"job {run.job} was asked before {', '.join(before)}")

    def judge_levels(self) -> None:
        """Judge that the whole stop goes on: who was not asked yet waits for somebody who is above."""
        if not self.is_going_on:
            return
        lowest = min((height for height, found in self._awaited_at.items() if found), default=NEVER)
        if any(found and height <= lowest for height, found in self._unasked_at.items()):
            self._books.broken("I7", f"{', '.join(self._unasked)} were not asked, and one waits for nobody")
        if not self._clocks and not self._unasked:
            self._books.broken("I7", "nobody is awaited, and the stop is not over")


def _message(books: Books) -> inputs.Input | None:
    return books.step.message if books.step is not None else None


def _heights(books: Books) -> dict[str, int]:
    """Return how many jobs stand above each one, on the longest way up through those that need it."""
    found: dict[str, int] = {}

    def height(name: str) -> int:
        if name not in found:
            found[name] = max((height(other) + 1 for other in books.dependents(name)), default=0)
        return found[name]

    return {name: height(name) for name in books.jobs}
