"""The memory of a job: what is restored from earlier starts of the program, if a history is kept."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from taskloom.core.policies import HELD_BACK_SECONDS

__all__ = ["NOTHING_REMEMBERED", "Recollection", "RememberedJob", "latest_instant"]


class RememberedJob(NamedTuple):
    """One job. All times are seconds since the epoch."""

    fingerprint: str
    """A hash of its task, params and schedule. If the job has another one now, its last instant is forgotten."""
    armed_at: float
    """When it was first declared with this fingerprint; inf while a user has stopped it, so nothing is made up for."""
    last_instant: float | None = None
    """The latest instant of its schedule that has started a run or was missed."""
    paused_since: float | None = None
    """Since when a user has paused it; None if it is not paused."""
    paused_reason: str = ""
    restarts: tuple[float, ...] = ()
    """When the latest counted restarts began, oldest first."""
    restart_delay: float = 0.0
    """The last restart delay without jitter, in seconds; 0.0 before the first failure."""


class Recollection(NamedTuple):
    """All that is remembered of the jobs of one command, by their names."""

    jobs: Mapping[str, RememberedJob] = MappingProxyType({})
    fingerprints: Mapping[str, str] = MappingProxyType({})
    """The fingerprints of the present declarations; empty without a history. Data of `job_added` and `reloaded`."""


NOTHING_REMEMBERED = Recollection()


def latest_instant(old: float | None, new: float | None) -> float | None:
    """Return the later instant of a job: `new` is the one that has come last. Both in seconds since the epoch.

    If the old one is so far ahead that the wall clock was corrected since, the new one counts.
    """
    if old is None or new is None:
        return new if old is None else old
    return new if new > old or old - new > HELD_BACK_SECONDS else old
