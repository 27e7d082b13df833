"""What a whole stop may take: level by level, as `core.shutdown` goes, each level as long as its slowest job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from taskloom.core.graph import stop_levels
from taskloom.core.model import WAIT_FOR_EVER, JobSpec
from taskloom.text import duration

__all__ = ["SlowStop", "WorstStop", "worst_stop"]

_MOST_NAMED = 8


class SlowStop(NamedTuple):
    """The job that a level of the stop waits for longest, and how long in seconds."""

    job: str
    seconds: float
    is_unbounded: bool = False
    """Whether it has `join: wait`: then `seconds` is the whole of the time to stop."""

    def __str__(self) -> str:
        return f"{self.job} ({'wait' if self.is_unbounded else duration(self.seconds)})"


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
    chain: list[SlowStop] = []
    for level in reversed(_levels(specs)):
        slowest = _slowest(level, stop_within, chain[-1].job if chain else "")
        if slowest is not None and slowest.seconds > 0:
            chain.append(slowest)
    return WorstStop(sum(each.seconds for each in chain), tuple(reversed(chain)))


def _levels(specs: Sequence[JobSpec]) -> list[Sequence[JobSpec]]:
    if not any(spec.after for spec in specs):
        return [specs]
    jobs = {spec.name: spec for spec in specs}
    try:
        levels = stop_levels({spec.name: [need.job for need in spec.after] for spec in specs})
    except ValueError:
        return [specs]
    return [[jobs[name] for name in level] for level in levels]


def _slowest(level: Iterable[JobSpec], stop_within: float, below: str) -> SlowStop | None:
    """Return the slowest job of a level, and of equals one that depends on the job `below`.

    A disabled job has no run to wait for.
    """
    slowest, worst = None, (-1.0, False)
    for spec in level:
        within = spec.join.within
        seconds = stop_within if within == WAIT_FOR_EVER else within
        # Only to break a tie are the needs looked at: most files have tens of jobs in a level, some have thousands.
        if not spec.enabled or seconds < worst[0] or (seconds == worst[0] and worst[1]):
            continue
        rank = (seconds, any(need.job == below for need in spec.after))
        if rank > worst:
            slowest, worst = spec, rank
    if slowest is None:
        return None
    return SlowStop(slowest.name, worst[0], slowest.join.within == WAIT_FOR_EVER)
