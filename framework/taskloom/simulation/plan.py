"""What a simulation assumes: how long runs work, which of them fail, and the trouble that comes when.

Plain values, all times in seconds. `Manners` turns them into what one job's runs do, drawn from the seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import NamedTuple, TypeVar

from taskloom.core.model import WAIT_FOR_EVER, JobSpec
from taskloom.core.policies import STOP_WITHIN_SECONDS, Condition

__all__ = [
    "FOR_EVER",
    "SHORT_WORK",
    "ClockStep",
    "Fault",
    "Plan",
    "RunBehaviour",
    "Span",
    "awaited_families",
    "matches",
]


class Span(NamedTuple):
    """A time between two others, each as likely."""

    low: float
    high: float

    def draw(self, random: Random) -> float:
        """Draw a time; one that is fixed draws nothing."""
        return self.low if self.low == self.high else random.uniform(self.low, self.high)


class Fault(NamedTuple):
    """What comes over the run that a job has then."""

    job: str
    at: float
    """Seconds from the beginning."""


class ClockStep(NamedTuple):
    """The wall clock is set forward, or back by a negative number."""

    seconds: float
    at: float
    """Seconds from the beginning."""


FOR_EVER = Span(WAIT_FOR_EVER, WAIT_FOR_EVER)
# A job with a schedule does something short and ends, and so does one whose end others wait for; any other serves
# until it is stopped.
SHORT_WORK = Span(1.0, 1.0)
_AT_ONCE = Span(0.0, 0.0)

Value = TypeVar("Value")
# What was written for the jobs of a name or a pattern such as `poll-*`; the last that fits counts.
Said = tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What `simulate` is asked for."""

    seconds: float
    """How long, in virtual time."""
    start: float
    """Seconds since the epoch at the beginning."""
    seed: int = 0
    stop_within: float = STOP_WITHIN_SECONDS
    """What the stop at the end gets."""
    work: Said[Span] = ()
    """How long a run works until it returns."""
    stops_in: Said[Span] = ()
    """How long a run goes on once it was asked to stop; at once where nothing is said."""
    fail: Said[float] = ()
    """Which share of the runs fails, from 0.0 to 1.0."""
    crashes: tuple[Fault, ...] = ()
    """Fail then."""
    hangs: tuple[Fault, ...] = ()
    """Neither end nor poll from then on."""
    clock_steps: tuple[ClockStep, ...] = ()
    checked_steps: int | None = 100_000
    """How many steps of the core are held against what it promises, from the first; None for all."""


def awaited_families(specs: Iterable[JobSpec]) -> set[str]:
    """Return the jobs whose end others wait for."""
    ends = (Condition.SUCCEEDED, Condition.FINISHED)
    return {need.job for spec in specs for need in spec.after if need.condition in ends}


def matches(pattern: str, spec: JobSpec) -> bool:
    """Tell whether a name or pattern means the job: by its own name, or by that which its replicas share."""
    return fnmatchcase(spec.name, pattern) or fnmatchcase(spec.family, pattern)


class RunBehaviour:
    """What the runs of one job do. Each job draws for itself, so that one more job changes nothing for the others."""

    __slots__ = ("_fails", "_random", "_seconds", "_stops_in", "work")

    def __init__(self, spec: JobSpec, plan: Plan, *, is_awaited: bool = False) -> None:
        usual = SHORT_WORK if spec.schedule is not None or is_awaited else FOR_EVER
        self.work = _last_of(plan.work, spec, usual)
        self._stops_in = _last_of(plan.stops_in, spec, _AT_ONCE)
        self._fails = _last_of(plan.fail, spec, 0.0)
        self._random = Random(f"{plan.seed} {spec.name}")
        self._seconds = plan.seconds

    def draw_run(self, now: float) -> tuple[float, bool]:
        """Return how long a run works that begins now, and whether it fails then.

        One that fails does so at a drawn moment of its work; where that has no end, of the time that is left.
        """
        seconds = self.work.draw(self._random)
        if not self._fails or self._random.random() >= self._fails:
            return seconds, False
        if seconds == WAIT_FOR_EVER:
            seconds = max(0.0, self._seconds - now)
        return seconds * self._random.random(), True

    def draw_stop(self) -> float:
        """Return how long a run goes on that is asked to stop."""
        return self._stops_in.draw(self._random)


def _last_of(said: Sequence[tuple[str, Value]], spec: JobSpec, usual: Value) -> Value:
    return next((value for pattern, value in reversed(said) if matches(pattern, spec)), usual)
