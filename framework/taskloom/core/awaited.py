"""The jobs for which users wait until the program is ready.

The rule is here once, for the records of the core and for the reports that were made from them: a probe that comes
every second reads the records, and makes no report of ten thousand jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from taskloom.core.model import JobState, WaitingFor

if TYPE_CHECKING:
    from taskloom.core.lifecycle import Lifecycle

__all__ = ["JobFacts", "awaited_jobs", "first_awaited", "is_awaited"]

_IN_A_RUN = (JobState.RUNNING, JobState.STOPPING)


class JobFacts(Protocol):
    """The facts about a job that decide whether it is awaited: of its record, or of its report."""

    @property
    def outcomes(self) -> Mapping[Any, int] | None:
        """How many of its runs ended in each way."""

    @property
    def starts_at_once(self) -> bool:
        """Whether it starts with the program: by itself, without a delay and without a schedule."""

    @property
    def is_ready(self) -> bool:
        """Whether its run is ready."""

    @property
    def is_stopped(self) -> bool:
        """Whether a user stopped it, so that nothing but a user starts it."""

    @property
    def state(self) -> JobState:
        """Its state."""

    @property
    def waiting_for(self) -> WaitingFor | None:
        """What it waits for, if it waits."""


def is_awaited(job: JobFacts) -> bool:
    """Return whether the program is not ready because of this job."""
    if job.outcomes or not job.starts_at_once or job.is_ready or job.is_stopped:
        return False
    if job.state is JobState.WAITING:
        return job.waiting_for is not WaitingFor.DEPENDENCY
    return job.state in _IN_A_RUN


def awaited_jobs(core: Lifecycle) -> Iterator[str]:
    """Yield the names of the jobs that are awaited, in the order of their declarations."""
    return (name for name, job in core.jobs.items() if is_awaited(job))


def first_awaited(core: Lifecycle) -> Iterator[str]:
    """Yield the name of the first job that is awaited, if there is one."""
    return islice(awaited_jobs(core), 1)
