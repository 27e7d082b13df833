"""The runs that a placement has not reported the end of."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from taskloom.runners.dask.protocol.placement_io import PlaceRun

__all__ = ["PlacedRun", "RunState"]

# Between two submissions of a run whose tasks end without a claim or a grant: the first follows at once.
_FIRST_AGAIN_SECONDS, _LONGEST_AGAIN_SECONDS = 1.0, 15.0


class RunState(Enum):
    """The state of a run that has not ended."""

    WAITING = "waiting"
    """It waits until a pause is over: its last tasks have ended without a grant."""
    QUEUED = "queued"
    """It waits for a slot."""
    SUBMITTED = "submitted"
    """It is a Dask task; none of its executions was granted."""
    GRANTED = "granted"
    """It was granted to one execution."""


@dataclass(slots=True, eq=False)
class PlacedRun:
    """One run."""

    order: PlaceRun
    number: int
    """The number of the run in its placement: the queue is sorted by it."""
    state: RunState = RunState.QUEUED
    key: str = ""
    """The key of its latest Dask task."""
    workers: tuple[str, ...] = ()
    """The addresses that this task may be executed at."""
    submissions: int = 0
    address: str = ""
    execution: str = ""
    """The execution that it is granted to, at `address`."""
    granted_by: int = 0
    """No request before this number has carried the grant."""
    pid: int = 0
    kept: dict[str, float] = field(default_factory=dict)
    """Commands that wait for the grant: URGENT and POLL_INTERVAL."""
    is_cancelled: bool = False
    ended_there: bool = False
    """Our function has returned: nothing of the run is left, though its end was not reported yet."""

    @property
    def id(self) -> str:
        return self.order.run

    @property
    def task(self) -> str:
        return self.order.task

    def next_key(self, session: str) -> str:
        """Count a submission, and return its key, which no other one has."""
        order = self.order
        again = f"-{self.submissions}" if self.submissions else ""
        self.submissions += 1
        self.key = f"taskloom-{session}-{order.job}-{order.attempt}-{order.run}{again}"
        return self.key

    def pause(self) -> float:
        """Return the seconds before the next submission."""
        if self.submissions < 2:
            return 0.0
        return min(_FIRST_AGAIN_SECONDS * 2.0 ** min(self.submissions - 2, 10), _LONGEST_AGAIN_SECONDS)
