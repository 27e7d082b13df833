"""Make room when a history has reached its limit: log tails, then events, then runs, then what remains."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from taskloom.history.discards import (
    FIRST,
    Discarded,
    Key,
    discard,
    discard_gone_jobs,
    discard_runs,
    discard_starts,
    forget_reports,
)
from taskloom.history.space import Store
from taskloom.history.tables import actions, events, log_tails

__all__ = ["Relief"]


class Relief:
    """Deletes the oldest rows of one name until no more has to go."""

    def __init__(self, store: Store, start: str, most: float) -> None:
        """`start` is the one that is alive; `most` bytes are deleted in one transaction."""
        self._store, self._start, self._most = store, start, most
        self._after: Key = FIRST
        self.is_exhausted = False
        """Whether the last pass has deleted all that may be deleted, and still more had to go."""

    def run(self, excess: Callable[[], float], now: float, gone_before: float) -> Iterator[Discarded]:
        """Delete as long as `excess()` is above zero, with one transaction before each yield.

        Jobs without a run since `gone_before` lose also their last 20 runs, if all else was not enough.
        """
        name = self._store.name
        self.is_exhausted = False
        for stage in (
            lambda connection, most: discard(connection, log_tails, name, most),
            lambda connection, most: discard(connection, events, name, most),
            lambda connection, most: forget_reports(connection, name, self._start, most),
        ):
            yield from self._all_of(stage, excess)
        yield from self._runs(excess, now)
        for stage in (
            lambda connection, _: discard_starts(connection, name, self._start),
            lambda connection, most: discard(connection, actions, name, most, actions.c.start != self._start),
            lambda connection, _: discard_gone_jobs(connection, name, gone_before),
        ):
            yield from self._all_of(stage, excess)
        self.is_exhausted = excess() > 0

    def _all_of(self, stage: Callable[..., Discarded], excess: Callable[[], float]) -> Iterator[Discarded]:
        rows = 1
        while rows and (over := excess()) > 0:
            with self._store.begin() as connection:
                done = stage(connection, min(over, self._most))
            rows = done.rows
            yield done

    def _runs(self, excess: Callable[[], float], now: float) -> Iterator[Discarded]:
        """Go on where the last pass has ended: what is before that was among the last 20 then, and mostly still is."""
        is_second = self._after == FIRST
        while (over := excess()) > 0:
            with self._store.begin() as connection:
                done = discard_runs(connection, self._store.name, min(over, self._most), now=now, after=self._after)
            self._after = done.after or FIRST
            yield done
            if done.after is None:
                if is_second:
                    return
                is_second = True
