"""What a job remembers from earlier starts of the program, if a history is kept."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["RememberedJob"]


class RememberedJob(NamedTuple):
    """One job. All times are seconds since the epoch."""

    fingerprint: str
    """A hash of its task, params and schedule. If the job has another one now, its last instant is forgotten."""
    armed_at: float
    """When its schedule was armed for the first time with this fingerprint."""
    last_instant: float | None = None
    """The latest instant of its schedule that has started a run or was missed."""
    paused_since: float | None = None
    """Since when a user has paused it; None if it is not paused."""
    paused_reason: str = ""
    restarts: tuple[float, ...] = ()
    """When the latest counted restarts began, oldest first."""
    restart_delay: float = 0.0
    """The last restart delay without jitter, in seconds; 0.0 before the first failure."""
