"""The memory of schedules: where `missed: catch-up` records an instant before its run starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from taskloom.core.model import JobSpec
from taskloom.errors import InvalidJob

__all__ = ["Memory", "NoMemory", "needs_memory", "refuse_without_memory"]


class Memory(Protocol):
    """Keeps what schedules remember from one start of the program to the next.

    - `record_instant` is called on the scheduler's thread. It must not block: it queues, and another thread writes.
    - `done(True)` says that the record survives a crash, `done(False)` that it could not be written. Any thread may
      call it, also inside of `record_instant`. Only the first call counts.
    - Without an answer within a second, or if it raises, the run starts all the same and is marked `unrecorded`.
    """

    def record_instant(self, job: str, instant: float, done: Callable[[bool], None]) -> None:
        """Record that a run of the job starts for this instant, in seconds since the epoch."""


class NoMemory:
    """Accepts schedules that catch up and remembers nothing: for runs that only try something."""

    def record_instant(self, job: str, instant: float, done: Callable[[bool], None]) -> None:
        """Answer at once, without a record."""
        done(True)


def needs_memory(spec: JobSpec) -> bool:
    """Return whether the job can only be used with a memory."""
    return spec.schedule is not None and spec.schedule.catches_up


def refuse_without_memory(specs: Iterable[JobSpec]) -> None:
    """Raise InvalidJob for the first job that needs a memory."""
    for spec in specs:
        if needs_memory(spec):
            raise InvalidJob(spec.name, ["cannot use 'catch-up' as schedule.missed without a memory; pass memory=…"])
