"""Whether a program is ready for its users, decided from one snapshot of its jobs.

Ready means: each job that starts with the program has been ready, has ended, or has failed once, and the program is not
stopping. A job that waits for another one is not awaited itself: it is not ready because the other one is not, or
because of a job that is not awaited, such as one with a schedule.
"""

from __future__ import annotations

from typing import NamedTuple

from taskloom.core.awaited import is_awaited
from taskloom.core.model import Phase
from taskloom.scheduler.snapshots import Snapshot
from taskloom.text import first_of

__all__ = ["Readiness", "readiness"]

# More names than these make a line too long to read.
_MOST_NAMED = 5


class Readiness(NamedTuple):
    """Whether a program is ready, and why it is not."""

    phase: Phase
    missing: tuple[str, ...] = ()
    """The jobs that are awaited, in the order of the snapshot; empty if the program is stopping."""

    @property
    def is_ready(self) -> bool:
        """Whether the program is ready."""
        return self.phase is Phase.OPEN and not self.missing

    def __str__(self) -> str:
        if self.phase is not Phase.OPEN:
            return "stopping" if self.phase is Phase.STOPPING else "stopped"
        return f"waiting for {first_of(list(self.missing), _MOST_NAMED)}" if self.missing else "ready"


def readiness(snapshot: Snapshot) -> Readiness:
    """Return whether the program is ready. The snapshot has to have all jobs that are awaited."""
    if snapshot.phase is not Phase.OPEN:
        return Readiness(snapshot.phase)
    return Readiness(snapshot.phase, tuple(status.report.job for status in snapshot.jobs if is_awaited(status.report)))
