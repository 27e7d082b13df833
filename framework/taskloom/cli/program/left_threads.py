"""The threads that tasks or libraries have left running: they are named and awaited, each for the time of its job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from taskloom.cli.program.thread_owners import job_of, owner_of
from taskloom.clock import mono
from taskloom.runners.run_thread import RunThread
from taskloom.text import duration, first_of

__all__ = ["LeftThread", "LeftThreads"]

# More names than these make a log line too long to read.
_MOST_NAMED = 10
# How soon a second signal, which moves the deadline, is noticed.
_STEP_SECONDS = 0.05

# A job that a reload has removed has no join policy any more; this is the default one.
REMOVED_SECONDS = 10.0


class LeftThread(NamedTuple):
    """A non-daemon thread that is neither the main thread nor the thread of a run."""

    thread: threading.Thread
    job: str | None
    """The job whose run started it, directly or through other threads; None if that is unknown."""
    within: float
    """How many seconds the stop may wait for it; inf up to the deadline of the stop."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"thread": self.thread.name, "job": self.job}

    @property
    def limit(self) -> str:
        """How long it is awaited, for a log line."""
        return "" if self.within == float("inf") else f", at most {duration(self.within)}"


class LeftThreads:
    """The threads that are left at the end of a stop.

    `begun`: the monotonic second at which the stop began. `withins`: the seconds that each job has to stop, and
    `asked`: the monotonic second at which its last run was asked. `deadline` returns that of the whole stop. With
    `is_hard_exit` threads whose job is unknown are not awaited.
    """

    def __init__(
        self,
        *,
        begun: float,
        withins: Mapping[str, float],
        asked: Mapping[str, float],
        deadline: Callable[[], float],
        is_hard_exit: bool,
    ) -> None:
        self._begun = begun
        self._withins = withins
        self._asked = asked
        self._deadline = deadline
        self._is_hard_exit = is_hard_exit

    def find(self) -> list[LeftThread]:
        """Return the threads that are alive now."""
        return [
            self._describe(thread)
            for thread in threading.enumerate()
            if not (thread.daemon or thread is threading.main_thread() or isinstance(thread, RunThread))
        ]

    def awaited(self) -> list[LeftThread]:
        """Return those that are alive and have time left."""
        now = mono()
        return [left for left in self.find() if now < self._until(left)]

    def wait(self) -> None:
        """Wait until none of them has time left, those that they start meanwhile included."""
        while awaited := self.awaited():
            first = awaited[0]
            first.thread.join(max(0.0, min(_STEP_SECONDS, self._until(first) - mono())))

    def _describe(self, thread: threading.Thread) -> LeftThread:
        owner = owner_of(thread)
        if owner is None:
            return LeftThread(thread, None, 0.0 if self._is_hard_exit else float("inf"))
        return LeftThread(thread, owner.job, self._withins.get(owner.job, REMOVED_SECONDS))

    def _until(self, left: LeftThread) -> float:
        since = max(self._begun, self._asked.get(left.job or "", self._begun))
        return min(since + left.within, self._deadline())

    @staticmethod
    def names_of(threads: list[LeftThread], *, with_limits: bool = False) -> str:
        """Return the names of the threads, with their jobs, for a log line."""
        names = [
            f"{left.thread.name} ({job_of(owner_of(left.thread))}{left.limit if with_limits else ''})"
            for left in threads
        ]
        return first_of(names, _MOST_NAMED)
