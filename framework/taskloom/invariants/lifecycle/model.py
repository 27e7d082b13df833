"""The checker's own model of all jobs, built from inputs and events alone, and the events that it expects next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from taskloom.core.actions import Action, RecordInstant
from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.events import Event
from taskloom.core.inputs import Input, RunReleased, Tick
from taskloom.core.model import Hold, JobSpec, StartMode
from taskloom.core.policies import Missed
from taskloom.invariants.event_rules import EventRules, Fact, RunFacts, Violation
from taskloom.invariants.history import Step
from taskloom.invariants.lifecycle.expected_deadlines import ExpectedDeadlines
from taskloom.text import duration

__all__ = ["EPSILON_SECONDS", "NEVER", "Between", "Changeover", "FollowUp", "JobModel", "Model", "Wait"]

# Virtual time is a sum of floats.
EPSILON_SECONDS = 1e-6
# A difference of two times of the wall clock is less exact, and no step of it is that small.
CLOCK_ERROR_SECONDS = 1e-4
NEVER = float("inf")


class Between(NamedTuple):
    """A random number from `low` to `high`."""

    low: float
    high: float


@plain_members
class Wait(FastEnum):
    """The cause that a job without a run waits for."""

    COMMAND = "command"
    """Only a command starts it."""
    DEPENDENCY = "dependency"
    DELAY = "delay"
    BACKOFF = "backoff"
    FIRING = "firing"
    REMOVAL = "removal"
    """The end of runs that a reload stopped."""
    RECORD = "record"
    """The record of the instant for which its run starts."""


@plain_members
class FollowUp(FastEnum):
    """The consequence of the live run's end, as far as it is known before that end."""

    POLICY = "policy"
    """The restart policy decides."""
    NOTHING = "nothing"
    RETRY = "retry"
    """A restart after its delay: the watchdog requires it, whatever the policy says."""
    RESTART = "restart"
    """Another run at once, which does not count as a restart."""
    FIRING = "firing"
    """Another run at once, since the schedule fired during this one."""
    REMOVAL = "removal"
    """The job is removed."""


@dataclass(slots=True, eq=False)
class Changeover:
    """One reload that stopped runs and adds jobs, which wait for their end."""

    awaited: dict[str, None]
    """The runs that have neither ended nor become overdue, and those that are being killed."""
    outlived: list[str]
    """The runs that were not awaited to their end."""
    jobs: list[JobModel] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class JobModel:
    """One job. It has a live run, or waits for a cause, or has an end state."""

    spec: JobSpec
    wait: Wait | None = Wait.COMMAND
    end_state: str = ""
    """`finished`, `skipped` or `disabled`; empty if it has a run or waits."""
    is_dependency_impossible: bool = False
    """Whether it was skipped because a dependency became impossible."""
    run: RunFacts | None = None
    """The run whose thread may be alive; it may be abandoned."""
    last_run: RunFacts | None = None
    run_spec: JobSpec | None = None
    """The declaration that applies to the live run."""
    attempt: int = 0
    follow_up: FollowUp = FollowUp.POLICY
    instant: float | None = None
    """The next instant of its schedule: monotonic for `every`, wall time for a calendar; None if it is not armed."""
    latest_instant: float | None = None
    """The latest instant of a calendar that came."""
    recorded: float = 0.0
    """The instant whose record it waits for, in seconds of the wall clock."""
    begun_instants: set[str] = field(default_factory=set)
    """The instants for which runs have started, if they are recorded; none that may come again since the clock was set.
    """
    times_set_back: int = 0
    """How often the clock had been set back when the last of them was started."""
    delay: float = 0.0
    """The latest restart delay, without jitter."""
    changeover: Changeover | None = None
    """The last reload that added it, or let it begin again, and stopped runs."""
    held_wall: float = 0.0
    """Since when it waits for these runs, in seconds of the wall clock."""
    restarts: deque[float] = field(default_factory=deque)
    """When the latest counted restarts began."""
    has_failed: bool = False
    has_given_up: bool = False
    holds: dict[Hold, tuple[str, str]] = field(default_factory=dict)
    """How users hold it back, and the reason of each hold."""

    @property
    def catches_up(self) -> bool:
        """Return whether its instants are recorded before their runs start."""
        return self.spec.schedule is not None and self.spec.schedule.missed is Missed.CATCH_UP

    @property
    def is_paused(self) -> bool:
        """Return whether each firing is missed."""
        return Hold.PAUSED in self.holds

    @property
    def is_stopped(self) -> bool:
        """Return whether only a user starts it."""
        return Hold.STOPPED in self.holds

    @property
    def is_blocked(self) -> bool:
        """Return whether its live run was abandoned or lost."""
        return self.run is not None and self.run.outcome is not None

    @property
    def is_lost(self) -> bool:
        """Return whether it is blocked by a lost run, which is over at a known time."""
        return self.run is not None and self.run.outcome == "lost"

    @property
    def is_running(self) -> bool:
        """Return whether it has a run without a cancel request."""
        return self.run is not None and self.run.outcome is None and self.run.cancel_requested is None

    @property
    def is_pending(self) -> bool:
        """Return whether a run will start without a command."""
        return self.wait is not None and self.wait is not Wait.COMMAND

    @property
    def is_active(self) -> bool:
        """Return whether it keeps the program alive if it is not a daemon."""
        if self.is_blocked:
            another = (FollowUp.RETRY, FollowUp.RESTART, FollowUp.FIRING)
            is_awaited = self.spec.daemon or self.is_lost
            return self.instant is not None or (is_awaited and self.follow_up in another)
        return self.run is not None or self.is_pending

    @property
    def awaits_removal(self) -> bool:
        """Return whether runs that a reload stopped have to end before it begins."""
        return self.changeover is not None and bool(self.changeover.awaited)

    @property
    def is_auto_start(self) -> bool:
        """Return whether StartAll starts it."""
        is_auto = self.wait is Wait.COMMAND and self.spec.start.mode is StartMode.AUTO
        return is_auto and not self.is_stopped

    def finish(self, end_state: str) -> None:
        """Have it wait for nothing any more."""
        self.wait, self.end_state, self.is_dependency_impossible = None, end_state, False

    def wait_for(self, cause: Wait) -> None:
        """Have it wait for a run."""
        self.wait, self.end_state = cause, ""


class Model:
    """The state that all checks share; `now`, `wall`, `message` and `actions` are those of the step being checked."""

    def __init__(self, lateness: float, stop_within: float) -> None:
        self.lateness = lateness + EPSILON_SECONDS
        self.stop_within = stop_within
        """Seconds for the shutdown that follows the failure of an essential job."""
        self.event_rules = EventRules()
        self.violations: list[Violation] = []
        self.jobs: dict[str, JobModel] = {}
        self.now = self.wall = 0.0
        self.times_set_back = 0
        """How often the wall clock was set back."""
        self.message: Input | None = None
        self.actions: tuple[Action, ...] = ()
        self.is_tick = False
        self.deadlines: ExpectedDeadlines[tuple[str, str]] = ExpectedDeadlines()
        """Due seconds by (event, subject)."""
        self.expected: list[tuple[str, str, dict[str, Any]]] = []
        """Events that this step must bring: name, job or run, and the fields that are known."""
        self.changed: dict[str, None] = {}
        """Jobs that this step changed."""
        self.left: dict[str, float] = {}
        """Lost runs of which something may be left, and until when, in monotonic seconds."""
        self.dependents_waiting: dict[str, None] = {}
        """Jobs that wait for their dependencies."""
        self.has_started = False
        self.had_non_daemon = False
        """Whether a non-daemon job ever ran or waited, since a reload left daemons only: until then daemons alone keep
        the program alive.
        """
        self.has_essential_failed = False
        """Whether an essential job failed for good, which began a shutdown: that finishes the work at once."""
        self._step_number = 0
        self._families: dict[str, dict[str, None]] = {}
        self._dependents: dict[str, dict[str, None]] = {}

    def begin(self, step: Step) -> None:
        """Begin with the next step."""
        self._step_number += 1
        now, wall = step.now
        if (wall - now) - (self.wall - self.now) < -CLOCK_ERROR_SECONDS:
            self.times_set_back += 1
        self.now, self.wall = now, wall
        self.message, self.actions = step.message, step.actions
        self.is_tick = type(step.message) is Tick

    @property
    def may_start_runs(self) -> bool:
        """Return whether no shutdown has begun."""
        return self.event_rules.stopping is None

    def report(self, rule: str, text: str) -> None:
        """Record a violation."""
        self.violations.append(Violation(rule, self._step_number, text))

    def check_time(self, event: str, due: float) -> None:
        """Check that an event comes when it is due."""
        if not -EPSILON_SECONDS <= self.now - due <= self.lateness:
            self.report("I7", f"{event} at {duration(self.now)}, due at {duration(due)}")

    def end_left(self, run: str) -> bool:
        """Check that nothing is left of a lost run now. Return whether its runner has confirmed that."""
        due = self.left.pop(run, NEVER)
        self.deadlines.drop(("the release of a lost run", run))
        if isinstance(self.message, RunReleased) and self.message.run == run:
            return True
        self.check_time(f"the release of {run}", due)
        return False

    # -- events that the step must bring

    def expect(self, event: str, subject: str, **fields: Any) -> None:
        """Expect this event in the step."""
        self.expected.append((event, subject, fields))

    def is_expected(self, event: str, subject: str | None = None) -> bool:
        """Return whether the step must bring such an event, of this subject if one is given."""
        return any(name == event and subject in (None, of) for name, of, _ in self.expected)

    def count_expected(self, subject: str, event: str = "missed") -> int:
        """Return how many such events of the job the step must still bring."""
        return sum(name == event and of == subject for name, of, _ in self.expected)

    def fulfil(self, fact: Fact) -> bool:
        """Return whether the event was expected, and check its fields."""
        for number, (event, subject, fields) in enumerate(self.expected):
            if event == fact.event and subject in (fact.run or "", fact.job or ""):
                del self.expected[number]
                for name, wanted in fields.items():
                    self._compare(fact, name, wanted)
                return True
        return False

    def fulfil_action(self, name: str, subject: str) -> bool:
        """Return whether an action was expected."""
        if (name, subject, {}) in self.expected:
            self.expected.remove((name, subject, {}))
            return True
        return False

    def _compare(self, fact: Fact, name: str, wanted: Any) -> None:
        found = fact.data[name] if name in fact.data else getattr(fact, name, None)
        if isinstance(wanted, Between):
            fits = found is not None and wanted.low - EPSILON_SECONDS <= found <= wanted.high + EPSILON_SECONDS
        else:
            fits = found == wanted
        if not fits:
            self.report("I6", f"{fact.event} of {fact.run or fact.job} has {name} {found!r}, expected {wanted!r}")

    def check_fulfilled(self) -> None:
        """Check that the step brought every event that was expected."""
        for event, subject, fields in self.expected:
            details = ", ".join(f"{name} {value}" for name, value in fields.items())
            self.report("I9", f"{event} of {subject} was expected now and did not come{': ' * bool(details)}{details}")
        self.expected.clear()

    def events_of_step(self, event: str, job: str) -> Iterator[Event]:
        """Yield such events of the step, also later ones: only they show what was decided at random."""
        for action in self.actions:
            if isinstance(action, Event) and action.event.value == event and action.job == job:
                yield action

    def begins_firing(self, job: str) -> bool:
        """Return whether the step starts a first attempt of the job, or has the instant of one recorded."""
        if any(event.attempt == 1 for event in self.events_of_step("queued", job)):
            return True
        return any(isinstance(action, RecordInstant) and action.job == job for action in self.actions)

    # -- the jobs

    def mark_changed(self, name: str) -> None:
        """Have the job and its dependents checked after the step."""
        self.changed[name] = None

    def job_of(self, fact: Fact) -> JobModel | None:
        """Return the job of an event, or None if it is unknown."""
        return self.jobs.get(fact.job or "")

    def declare(self, spec: JobSpec) -> JobModel:
        """Add a job."""
        job = self.jobs[spec.name] = JobModel(spec)
        if not spec.enabled:
            job.finish("disabled")
        self._add_references(spec)
        return job

    def redeclare(self, job: JobModel, spec: JobSpec) -> None:
        """Replace a job's declaration."""
        self._remove_references(job.spec)
        job.spec = spec
        self._add_references(spec)

    def remove(self, name: str) -> None:
        """Remove a job."""
        self._remove_references(self.jobs.pop(name).spec)

    def members(self, family: str) -> Iterable[JobModel]:
        """Yield the job with this declared name, or its replicas."""
        return (self.jobs[name] for name in self._families.get(family, ()))

    def dependents(self, name: str) -> list[str]:
        """Return the names of the jobs that start after this one, which may be removed already."""
        job = self.jobs.get(name)
        family = job.spec.family if job is not None else name
        return list(self._dependents.get(family, ()))

    def _add_references(self, spec: JobSpec) -> None:
        self._families.setdefault(spec.family, {})[spec.name] = None
        for dependency in spec.after:
            self._dependents.setdefault(dependency.job, {})[spec.name] = None

    def _remove_references(self, spec: JobSpec) -> None:
        self._families[spec.family].pop(spec.name, None)
        for dependency in spec.after:
            self._dependents[dependency.job].pop(spec.name, None)
