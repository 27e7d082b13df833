"""Computes how long stopping all jobs may take.

Jobs stop level by level, as in `core.shutdown`, and each level takes as long as its slowest job. A run that is killed
at the end of its time is gone some milliseconds later, which does not count. Nor does the second that a stop waits for
a process which the kernel cannot kill. A run on a cluster may have to be given up as lost, which does count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from taskloom.core.graph import stop_levels
from taskloom.core.model import WAIT_FOR_EVER, JobSpec
from taskloom.core.stopping import KILL_SECONDS
from taskloom.text import duration

__all__ = ["SlowStop", "WorstStop", "worst_stop"]

_MOST_NAMED = 8


class SlowStop(NamedTuple):
    """The slowest job of a level of the stop, and its time in seconds."""

    job: str
    seconds: float
    is_unbounded: bool = False
    """Whether the job has `join: wait`. Then `seconds` is the time for the whole shutdown."""

    def __str__(self) -> str:
        return f"{self.job} ({'wait' if self.is_unbounded else duration(self.seconds)})"


class WorstStop(NamedTuple):
    """The longest time in seconds that stopping all jobs may take, and the jobs that determine it, in stop order."""

    seconds: float
    chain: tuple[SlowStop, ...]

    def __str__(self) -> str:
        shown = [str(each) for each in self.chain]
        if len(shown) > _MOST_NAMED:
            left = len(shown) - _MOST_NAMED
            shown = [*shown[: _MOST_NAMED // 2], f"... {left:,} more ...", *shown[-_MOST_NAMED // 2 :]]
        return " -> ".join(shown)


def worst_stop(specs: Sequence[JobSpec], stop_within: float) -> WorstStop:
    """Return how long stopping all jobs may take. `join: wait` counts as `stop_within`, the whole time.

    Dependents are stopped before their dependencies, and all jobs (and replicas) of a level at once. If there is a
    dependency cycle, all jobs count as one level.
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
        levels = stop_levels({spec.name: [dependency.job for dependency in spec.after] for spec in specs})
    except ValueError:
        return [specs]
    return [[jobs[name] for name in level] for level in levels]


def _seconds(spec: JobSpec, stop_within: float) -> float:
    if spec.join.within == WAIT_FOR_EVER:
        return stop_within
    return spec.join.within + (KILL_SECONDS if spec.runner.name == "dask" else 0.0)


def _slowest(level: Iterable[JobSpec], stop_within: float, below: str) -> SlowStop | None:
    """Return the slowest job of a level; among equally slow jobs, one that depends on the job `below`.

    Disabled jobs have no run to wait for, so they are skipped.
    """
    slowest, worst = None, (-1.0, False)
    for spec in level:
        seconds = _seconds(spec, stop_within)
        # Dependencies are compared only to break a tie: most files have tens of jobs in a level, some have thousands.
        if not spec.enabled or seconds < worst[0] or (seconds == worst[0] and worst[1]):
            continue
        rank = (seconds, any(dependency.job == below for dependency in spec.after))
        if rank > worst:
            slowest, worst = spec, rank
    if slowest is None:
        return None
    return SlowStop(slowest.name, worst[0], slowest.join.within == WAIT_FOR_EVER)
