"""What a whole stop may take: level by level, as `core.shutdown` goes, each level as long as its slowest job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from taskloom.core.graph import stop_levels
from taskloom.core.model import WAIT_FOR_EVER, JobSpec

__all__ = ["SlowStop", "WorstStop", "worst_stop"]

_MOST_NAMED = 8


class SlowStop(NamedTuple):
    """The job that a level of the stop waits for longest, and how long in seconds."""

    job: str
    seconds: float
    is_unbounded: bool = False
    """Whether it has `join: wait`: then `seconds` is the whole of the time to stop."""

    def __str__(self) -> str:
        return f"{self.job} ({'wait' if self.is_unbounded else f'{self.seconds:g} s'})"


class WorstStop(NamedTuple):
    """The longest that stopping all jobs takes, in seconds, and the jobs that make it so, in the order of the stop."""

    seconds: float
    chain: tuple[SlowStop, ...]

    def __str__(self) -> str:
        shown = [str(each) for each in self.chain]
        if len(shown) > _MOST_NAMED:
            left = len(shown) - _MOST_NAMED
            shown = [*shown[: _MOST_NAMED // 2], f"... {left:,} more ...", *shown[-_MOST_NAMED // 2 :]]
        return " -> ".join(shown)


def worst_stop(specs: Sequence[JobSpec], stop_within: float) -> WorstStop:
    """Return what stopping all jobs may take; `join: wait` counts as `stop_within`, the whole of the time.

    Dependents are stopped before what they depend on, all jobs (and replicas) of a level at once. Among jobs that
    wait for each other in a circle no level can be told: they count as one.
    """
    slowest = [_slowest(level, stop_within) for level in _levels(specs)]
    chain = tuple(each for each in slowest if each is not None and each.seconds > 0)
    return WorstStop(sum(each.seconds for each in chain), chain)


def _levels(specs: Sequence[JobSpec]) -> Iterable[Iterable[JobSpec]]:
    if not any(spec.after for spec in specs):
        return [specs]
    jobs = {spec.name: spec for spec in specs}
    try:
        levels = stop_levels({spec.name: [need.job for need in spec.after] for spec in specs})
    except ValueError:
        return [specs]
    return [[jobs[name] for name in level] for level in levels]


def _slowest(level: Iterable[JobSpec], stop_within: float) -> SlowStop | None:
    """Return the slowest job of a level; a disabled one has no run to wait for."""
    slowest, worst = None, -1.0
    for spec in level:
        within = spec.join.within
        seconds = stop_within if within == WAIT_FOR_EVER else within
        if spec.enabled and seconds > worst:
            slowest, worst = spec, seconds
    if slowest is None:
        return None
    return SlowStop(slowest.name, worst, slowest.join.within == WAIT_FOR_EVER)
