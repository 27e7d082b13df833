"""What the judge knows of each job, from inputs and events alone, and what it has to see next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.events import Event
from taskloom.core.model import JobSpec, StartMode
from taskloom.invariants.event_rules import EventRules, Fact, RunFacts, Violation
from taskloom.invariants.history import Step
from taskloom.invariants.lifecycle.expected_deadlines import ExpectedDeadlines
from taskloom.text import duration

__all__ = ["EPSILON_SECONDS", "NEVER", "Between", "Books", "JobBook", "Next", "Wait"]

# Virtual seconds are added up in floats.
EPSILON_SECONDS = 1e-6
NEVER = float("inf")


class Between(NamedTuple):
    """A number that chance decided: no less, no more."""

    low: float
    high: float


@plain_members
class Wait(FastEnum):
    """What a job without a run waits for."""

    PERSON = "person"
    DEPENDENCY = "dependency"
    DELAY = "delay"
    BACKOFF = "backoff"
    FIRING = "firing"


@plain_members
class Next(FastEnum):
    """What follows the live run, as far as it is known before its end."""

    POLICY = "policy"
    NOTHING = "nothing"
    RETRY = "retry"
    """The watchdog wants a restart, whatever the policy says."""
    AGAIN = "again"
    """Another run at once, not counted."""
    FIRING = "firing"
    REMOVAL = "removal"


@dataclass(slots=True, eq=False)
class JobBook:
    """One job. It has a live run, or waits for something, or is at rest."""

    spec: JobSpec
    wait: Wait | None = Wait.PERSON
    rest: str = ""
    """`finished`, `skipped` or `disabled`, where it is at rest."""
    is_lost: bool = False
    """Whether it was skipped because what it waited for could not come any more."""
    run: RunFacts | None = None
    """The run whose thread may be alive, an abandoned one too."""
    last: RunFacts | None = None
    run_spec: JobSpec | None = None
    """The declaration that the live run keeps."""
    attempt: int = 0
    follows: Next = Next.POLICY
    is_unresponsive: bool = False
    # The schedule: its next instant, monotonic for `every`, wall for a calendar; None while it is not armed.
    instant: float | None = None
    # The restarts: the last delay without jitter, and when the latest counted ones began.
    delay: float = 0.0
    restarts: deque[float] = field(default_factory=deque)
    has_failed: bool = False
    has_given_up: bool = False
    was_active: bool = False

    @property
    def is_blocked(self) -> bool:
        """Tell whether its live run was abandoned."""
        return self.run is not None and self.run.outcome is not None

    @property
    def is_running(self) -> bool:
        """Tell whether it has a run that nobody asked to stop."""
        return self.run is not None and self.run.outcome is None and self.run.asked is None

    @property
    def is_pending(self) -> bool:
        """Tell whether a run will come by itself."""
        return self.wait is not None and self.wait is not Wait.PERSON

    @property
    def is_active(self) -> bool:
        """Tell whether it keeps a program alive, daemons apart."""
        if self.run is not None:
            return self.run.outcome is None
        return self.wait is not None and self.wait is not Wait.PERSON

    @property
    def starts_itself(self) -> bool:
        """Tell whether the start of all starts it."""
        return self.wait is Wait.PERSON and self.spec.start.mode is StartMode.AUTO

    def come_to_rest(self, how: str) -> None:
        """Wait for nothing any more."""
        self.wait, self.rest, self.is_lost = None, how, False

    def wait_for(self, what: Wait) -> None:
        """Have no run, and wait for one."""
        self.wait, self.rest = what, ""


class Books:
    """All that the parts of the judge share; `now`, `wall` and `step` are those of the step that is judged."""

    def __init__(self, lateness: float, stop_within: float) -> None:
        self.lateness = lateness + EPSILON_SECONDS
        self.stop_within = stop_within
        """What a stop gets that an essential job brings about."""
        self.ledger = EventRules()
        self.violations: list[Violation] = []
        self.jobs: dict[str, JobBook] = {}
        self.now = self.wall = 0.0
        self.index = 0
        self.step: Step | None = None
        self.alarms: ExpectedDeadlines[tuple[str, str]] = ExpectedDeadlines()
        """What has to come: (what, of whom)."""
        self.owed: list[tuple[str, str, dict[str, Any]]] = []
        """Events that this step has to bring: name, job or run, and what is in it."""
        self.touched: dict[str, None] = {}
        self.waiting: dict[str, None] = {}
        """Jobs that wait for others."""
        self.has_started = False
        self.has_held = False
        """Whether a job that is no daemon ever ran or waited: daemons alone keep the program alive until then."""
        self._families: dict[str, dict[str, None]] = {}
        self._dependents: dict[str, dict[str, None]] = {}

    def begin(self, step: Step) -> None:
        """Turn to the next step."""
        self.index += 1
        self.now, self.wall = step.now
        self.step = step

    @property
    def is_open(self) -> bool:
        """Tell whether runs may start."""
        return self.ledger.stopping is None

    def broken(self, rule: str, text: str) -> None:
        """Note a violation."""
        self.violations.append(Violation(rule, self.index, text))

    def expect_at(self, what: str, due: float) -> None:
        """See that it comes now because it is due now."""
        if not -EPSILON_SECONDS <= self.now - due <= self.lateness:
            self.broken("I7", f"{what} at {duration(self.now)}, due at {duration(due)}")

    # -- what has to be seen in this step

    def owe(self, event: str, subject: str, **fields: Any) -> None:
        """Have the step bring this event."""
        self.owed.append((event, subject, fields))

    def owes(self, event: str) -> bool:
        """Tell whether the step has to bring such an event."""
        return any(owed == event for owed, _, _ in self.owed)

    def pay(self, fact: Fact) -> bool:
        """Tell whether the event was owed, and see that it says what it has to."""
        for number, (event, subject, fields) in enumerate(self.owed):
            if event == fact.event and subject in (fact.run or "", fact.job or ""):
                del self.owed[number]
                for name, wanted in fields.items():
                    self._compare(fact, name, wanted)
                return True
        return False

    def pay_action(self, name: str, subject: str) -> bool:
        """Tell whether an action was owed."""
        if (name, subject, {}) in self.owed:
            self.owed.remove((name, subject, {}))
            return True
        return False

    def _compare(self, fact: Fact, name: str, wanted: Any) -> None:
        found = fact.data[name] if name in fact.data else getattr(fact, name, None)
        if isinstance(wanted, Between):
            fits = found is not None and wanted.low - EPSILON_SECONDS <= found <= wanted.high + EPSILON_SECONDS
        else:
            fits = found == wanted
        if not fits:
            self.broken("I6", f"{fact.event} of {fact.run or fact.job} says {name} {found!r}, expected {wanted!r}")

    def judge_owed(self) -> None:
        """See that the step brought all that it had to."""
        for event, subject, fields in self.owed:
            words = ", ".join(f"{name} {value}" for name, value in fields.items())
            self.broken("I9", f"{event} of {subject} had to come now, and did not{': ' * bool(words)}{words}")
        self.owed.clear()

    def coming(self, event: str, job: str) -> Iterator[Event]:
        """Yield such events of the step: what chance decided, and nothing else tells."""
        for action in self.step.actions if self.step is not None else ():
            if isinstance(action, Event) and action.event.value == event and action.job == job:
                yield action

    # -- the jobs

    def touch(self, job: str) -> None:
        """Have those looked at after the step that depend on this job."""
        self.touched[job] = None

    def declare(self, spec: JobSpec) -> JobBook:
        """Take in a new job."""
        book = self.jobs[spec.name] = JobBook(spec)
        if not spec.enabled:
            book.come_to_rest("disabled")
        self._enter(spec)
        return book

    def redeclare(self, book: JobBook, spec: JobSpec) -> None:
        """Put another declaration in the place of the old one."""
        self._strike_out(book.spec)
        book.spec = spec
        self._enter(spec)

    def forget(self, job: str) -> None:
        """Strike out a job."""
        self._strike_out(self.jobs.pop(job).spec)

    def members(self, family: str) -> Iterable[JobBook]:
        """Yield the job of this declared name, or its replicas."""
        return (self.jobs[name] for name in self._families.get(family, ()))

    def dependents(self, job: str) -> list[str]:
        """Return the names of those that start after this job, also of one that is gone."""
        book = self.jobs.get(job)
        family = book.spec.family if book is not None else job
        return list(self._dependents.get(family, ()))

    def _enter(self, spec: JobSpec) -> None:
        self._families.setdefault(spec.family, {})[spec.name] = None
        for need in spec.after:
            self._dependents.setdefault(need.job, {})[spec.name] = None

    def _strike_out(self, spec: JobSpec) -> None:
        self._families[spec.family].pop(spec.name, None)
        for need in spec.after:
            self._dependents[need.job].pop(spec.name, None)
