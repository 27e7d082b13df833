"""Whether rows reach the database: on or degraded, why and since when; and when to try again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from taskloom.clock import Clock
from taskloom.core.model import Moment
from taskloom.history.model import HistoryState
from taskloom.history.queue import Rank, dropped_text
from taskloom.text import measured, rough

__all__ = ["SLOW_SECONDS", "Health"]

# Seconds between the attempts; the last one is repeated.
RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
SLOW_SECONDS = 5.0
"""A transaction that takes longer is shown as degraded while it takes, and logged after it."""


class Health:
    """The state of one history. The writer thread changes it; any thread may read it.

    `log`: called with a level and a text, once when a trouble begins and once when it has ended.
    """

    def __init__(self, log: Callable[[str, str], object], clock: Clock) -> None:
        self._log, self._clock = log, clock
        # The trouble, and since when. One attribute, so that a reader never sees half of a change.
        self._trouble: tuple[str, float] | None = None
        self._writing: Moment | None = None
        # Why some rows are not written at the moment, although the database takes rows.
        self._limit: tuple[str, float] | None = None
        self._failures = 0
        self._lost_before: Counter[Rank] = Counter()
        self.retry_at = 0.0
        """The monotonic second of the next attempt, while it is degraded."""

    @property
    def is_degraded(self) -> bool:
        """Whether the last attempt has failed."""
        return self._trouble is not None

    def state(self, **counted: Any) -> HistoryState:
        """Return the state as it is now. Any thread may ask."""
        trouble = self._trouble or self._slow() or self._limit
        if trouble is None:
            return HistoryState("on", **counted)
        return HistoryState("degraded", trouble[0], trouble[1], **counted)

    def _slow(self) -> tuple[str, float] | None:
        writing = self._writing
        if writing is None:
            return None
        took = self._clock.now().mono - writing.mono
        return (f"a write has taken {rough(took)} so far", writing.wall) if took > SLOW_SECONDS else None

    # -- on the writer thread

    def fail(self, reason: str, dropped: Counter[Rank], *, at_once: bool = False) -> None:
        """Record that an attempt has failed. `dropped`: what was lost so far; its growth is logged at the end.

        `at_once`: whether the next attempt need not wait.
        """
        self._writing = None
        now = self._clock.now()
        delay = RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
        self.retry_at = now.mono + (0.0 if at_once and not self._failures else delay)
        self._failures += 1
        if self._trouble is None:
            self._lost_before = dropped
            self._log("warning", f"the history is degraded: {reason}; jobs run on, and what happens is kept in memory")
            self._trouble = (reason, now.wall)
        else:
            self._trouble = (reason, self._trouble[1])

    def heal(self, dropped: Counter[Rank]) -> None:
        """Record that rows reach the database."""
        trouble, self._trouble = self._trouble, None
        self._failures = 0
        if trouble is None:
            return
        lost = dropped_text(dropped - self._lost_before)
        tail = f"; lost meanwhile: {lost}" if lost else "; nothing was lost"
        self._log("info", f"the history works again after {rough(self._clock.now().wall - trouble[1])}{tail}")

    def limit(self, reason: str) -> None:
        """Record why some rows cannot be written at the moment; "" if all can."""
        before = self._limit[0] if self._limit is not None else ""
        if reason and not before:
            self._log("warning", reason)
        elif before and not reason:
            self._log("info", "the history takes all rows again")
        if reason != before:
            self._limit = (reason, self._clock.now().wall) if reason else None

    def begin_write(self) -> None:
        """Record that a transaction begins."""
        self._writing = self._clock.now()

    def end_write(self) -> None:
        """Record that it has ended, and log if it was slow."""
        writing, self._writing = self._writing, None
        took = self._clock.now().mono - writing.mono if writing is not None else 0.0
        if took > SLOW_SECONDS:
            self._log("warning", f"the history is slow: a write took {measured(took)}")
