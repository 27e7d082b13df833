"""How many runs start at the same time: the others wait here, and one that is cancelled meanwhile ends at once.

A thousand interpreters that import their modules at once take longer in all than in turn, and nothing else of the
machine gets a share. A start counts until the run is entered, for SLOT_SECONDS at most: an import that hangs must not
keep other runs waiting.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any

__all__ = ["SLOT_SECONDS", "StartQueue", "most_starts"]

SLOT_SECONDS = 10.0


def most_starts() -> int:
    """Return how many runs may start at the same time: a start waits for the disk and for its supervisor, too."""
    return 2 * len(os.sched_getaffinity(0)) + 2


class StartQueue:
    """The runs that wait and those that start; a member of the IO thread, which calls all of it.

    `begin` has a run started by a later message. After an exception it may be called once more for the same run.
    """

    def __init__(self, most: int, clock: Callable[[], float], begin: Callable[[Any], object]) -> None:
        self.due = inf
        self._most = most
        self._clock = clock
        self._begin_run = begin
        self._waiting: deque[Any] = deque()
        # Until when each counts, in the order of their starts.
        self._starting: dict[Any, float] = {}

    def add(self, run: object) -> None:
        """Start the run as soon as there is room."""
        self._waiting.append(run)
        self._begin(self._clock())

    def remove(self, run: object) -> None:
        """Forget a run that does not wait or start any more; idempotent."""
        if self._starting.pop(run, None) is None:
            try:
                self._waiting.remove(run)
            except ValueError:
                return
        self._begin(self._clock())

    def next_timer(self) -> float:
        """Return when the oldest start stops to count; inf if no run waits."""
        return next(iter(self._starting.values()), inf) if self._waiting else inf

    def on_timer(self, now: float) -> None:
        """Give the place of a start that takes too long to another run."""
        for run in [run for run, until in self._starting.items() if until <= now]:
            del self._starting[run]
        self._begin(now)

    def struck(self, error: BaseException) -> None:
        """Go on with those that wait."""
        self._begin(self._clock())

    def _begin(self, now: float) -> None:
        while self._waiting and len(self._starting) < self._most:
            run = self._waiting[0]
            self._starting[run] = now + SLOT_SECONDS
            self._begin_run(run)
            self._waiting.popleft()
