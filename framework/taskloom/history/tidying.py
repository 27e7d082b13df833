"""The ordinary work of retention: folding frequent firings, and deleting what is older than `keep`."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sqlalchemy import ColumnElement, Table

from taskloom.history.ages import FUTURE_SECONDS
from taskloom.history.discards import (
    FIRST,
    Discarded,
    Key,
    active_jobs,
    discard,
    discard_runs,
    discard_starts,
    fold_job,
)
from taskloom.history.space import Store
from taskloom.history.tables import actions, events, log_tails, runs, starts

__all__ = ["Folding", "delete_aged"]

SETTLED_SECONDS = 600.0
"""Until then all runs of a job can be seen, however frequent they are."""

REREAD_SECONDS = 120.0
"""How far before the last pass a run may have been queued that was written since."""


class Folding:
    """Folds the firings of one name, each pass from where the one before has ended."""

    def __init__(self, store: Store, since: float) -> None:
        """Rows before `since` were folded by an earlier start of the program."""
        self._store = store
        self._since = since
        self._from = since
        self._reached: dict[str, Key] = {}

    def run(self, now: float, *, is_pressed: bool = False) -> Iterator[Discarded]:
        """Do one pass, with one transaction before each yield. If it is pressed, no minute has to be over."""
        settled = math.inf if is_pressed else now - SETTLED_SECONDS
        with self._store.begin() as connection:
            jobs = active_jobs(connection, self._store.name, self._since)
        for job in jobs:
            yield from self._fold(job, now, settled)
        # A clock that was set back makes this earlier than it was.
        self._since = now - REREAD_SECONDS

    def _fold(self, job: str, now: float, settled: float) -> Iterator[Discarded]:
        is_last = False
        while not is_last:
            after = self._reached.get(job, (self._from, "", ""))
            if after[0] > now + FUTURE_SECONDS:  # the clock was set back
                after = (now - REREAD_SECONDS, "", "")
            with self._store.begin() as connection:
                done, is_last = fold_job(connection, self._store.name, job, now=now, settled=settled, after=after)
            self._reached[job] = done.after or after
            yield done


def delete_aged(store: Store, start: str, cutoff: float, now: float, most: float) -> Iterator[Discarded]:
    """Delete what is older than `cutoff`, but the last 20 runs of each job; with one transaction before each yield.

    `start` is the one that is alive: nothing of it goes. "" leaves out none, for one that has run for longer than that.
    `most` bytes are deleted in one transaction.
    """
    name = store.name
    for table in (log_tails, events, actions):
        yield from _aged(store, table, most, table.c.start != start, table.c.at < cutoff)
    after: Key | None = FIRST
    while after is not None:
        conditions = (runs.c.start != start, runs.c.queued_at < cutoff, runs.c.ended_at < cutoff)
        with store.begin() as connection:
            done = discard_runs(connection, name, most, *conditions, now=now, after=after)
        after = done.after
        yield done
    with store.begin() as connection:
        done = discard_starts(connection, name, start, starts.c.since < cutoff, starts.c.alive_at < cutoff)
    yield done


def _aged(store: Store, table: Table, most: float, *conditions: ColumnElement[bool]) -> Iterator[Discarded]:
    done = Discarded(1)
    while done.rows:
        with store.begin() as connection:
            done = discard(connection, table, store.name, most, *conditions)
        yield done
