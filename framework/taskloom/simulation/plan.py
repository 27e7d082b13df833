"""The assumptions of a simulation: how long runs work, which of them fail, and what happens to the machine.

Plain values, all times in seconds. `At` is an entry of a script. `RunBehaviour` draws from them, by the seed, what each
run of one job does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import NamedTuple, TypeVar

from taskloom.core import inputs
from taskloom.core.model import WAIT_FOR_EVER, JobSpec
from taskloom.core.policies import STOP_WITHIN_SECONDS, Condition
from taskloom.simulation.cuts import Cut, draw_cut

__all__ = [
    "FOR_EVER",
    "SHORT_WORK",
    "At",
    "ClockStep",
    "Fault",
    "Plan",
    "RunBehaviour",
    "Span",
    "Stall",
    "awaited_families",
    "matches",
]


class Span(NamedTuple):
    """A time drawn uniformly between two limits."""

    low: float
    high: float

    def draw(self, random: Random) -> float:
        """Draw a time. If both limits are equal, nothing is drawn from `random`."""
        return self.low if self.low == self.high else random.uniform(self.low, self.high)


class Fault(NamedTuple):
    """A fault of the run that a job has at this time."""

    job: str
    at: float
    """Seconds from the beginning."""


class ClockStep(NamedTuple):
    """The wall clock is set forward or back while the monotonic clock continues.

    A time service does this, or an operator, or a machine that wakes up from suspend.
    """

    by: float
    """Seconds; a negative number sets the clock back."""


class Stall(NamedTuple):
    """The program gets no CPU time for a while: everything that falls due in that time happens late."""

    seconds: float


class At(NamedTuple):
    """A command to the scheduler, a clock step or a stall, and its time in seconds from the beginning."""

    seconds: float
    command: inputs.Input | ClockStep | Stall


FOR_EVER = Span(WAIT_FOR_EVER, WAIT_FOR_EVER)
# The work of a run if its job has a schedule or if other jobs wait for its end. All other runs work until stopped.
SHORT_WORK = Span(1.0, 1.0)
_AT_ONCE = Span(0.0, 0.0)

Value = TypeVar("Value")
# Values for jobs by name or by a pattern such as `poll-*`; the last one that matches a job counts.
PerJob = tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The options of `taskloom simulate`."""

    seconds: float
    """How much virtual time passes."""
    start: float
    """Seconds since the epoch at the beginning."""
    seed: int = 0
    stop_within: float = STOP_WITHIN_SECONDS
    """The time limit of the stop at the end."""
    work: PerJob[Span] = ()
    """How long a run works before it returns."""
    stops_in: PerJob[Span] = ()
    """How long a run continues after its cancel was requested; by default it ends at once."""
    fail: PerJob[float] = ()
    """The share of the runs that fail, from 0.0 to 1.0."""
    cut: PerJob[float] = ()
    """The share of the runs on a cluster whose worker dies or is cut off, from 0.0 to 1.0."""
    crashes: tuple[Fault, ...] = ()
    """Runs that fail, and when."""
    hangs: tuple[Fault, ...] = ()
    """Runs that neither end nor poll from this time on."""
    clock_steps: tuple[tuple[float, ClockStep], ...] = ()
    """Each after its time in seconds from the beginning."""
    checked_steps: int | None = 100_000
    """How many steps of the core are checked against its invariants, from the first; None for all."""


def awaited_families(specs: Iterable[JobSpec]) -> set[str]:
    """Return the jobs for whose end other jobs wait."""
    ends = (Condition.SUCCEEDED, Condition.FINISHED)
    return {need.job for spec in specs for need in spec.after if need.condition in ends}


def matches(pattern: str, spec: JobSpec) -> bool:
    """Return whether a name or pattern matches the job: its own name, or the name that its replicas share."""
    return fnmatchcase(spec.name, pattern) or fnmatchcase(spec.family, pattern)


class RunBehaviour:
    """Draws what the runs of one job do.

    Each job has its own random numbers, so that adding a job changes nothing for the others.
    """

    __slots__ = ("_cut", "_cut_random", "_fails", "_random", "_seconds", "_stops_in", "work")

    def __init__(self, spec: JobSpec, plan: Plan, *, is_awaited: bool = False) -> None:
        usual = SHORT_WORK if spec.schedule is not None or is_awaited else FOR_EVER
        self.work = _last_match(plan.work, spec, usual)
        self._stops_in = _last_match(plan.stops_in, spec, _AT_ONCE)
        self._fails = _last_match(plan.fail, spec, 0.0)
        self._cut = _last_match(plan.cut, spec, 0.0)
        self._random = Random(f"{plan.seed} {spec.name}")
        self._cut_random = Random(f"{plan.seed} {spec.name} cut")  # so that cuts change no other fault
        self._seconds = plan.seconds

    def draw_run(self, now: float) -> tuple[float, bool]:
        """Return how long a run works that begins now, and whether it then fails.

        A run that fails does so at a random moment of its work or, if its work has no end, of the remaining time.
        """
        seconds = self.work.draw(self._random)
        if not self._fails or self._random.random() >= self._fails:
            return seconds, False
        if seconds == WAIT_FOR_EVER:
            seconds = max(0.0, self._seconds - now)
        return seconds * self._random.random(), True

    def draw_cut(self, now: float, work: float) -> Cut | None:
        """Return whether and how the worker of a run fails that begins now. `work`: how long the run works."""
        if not self._cut:
            return None
        return draw_cut(self._cut_random, self._cut, min(work, max(0.0, self._seconds - now)))

    def draw_stop(self) -> float:
        """Return how long a run continues after its cancel was requested."""
        return self._stops_in.draw(self._random)


def _last_match(entries: Sequence[tuple[str, Value]], spec: JobSpec, default: Value) -> Value:
    return next((value for pattern, value in reversed(entries) if matches(pattern, spec)), default)
