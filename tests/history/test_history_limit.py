"""The limit of a file holds at every step, whichever program reads it meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.support.flooded_history import (
    NOW,
    HandClock,
    database_at,
    last_runs,
    reader_of,
    run_row,
    start_row,
    tail_row,
    write_starts,
)

from taskloom.history.database import Database
from taskloom.history.queue import Rank, Row, RowQueue
from taskloom.history.retention import Pruned, Pruner, Room
from taskloom.history.stored import write_rows

MIB = 2**20
# As the recorder does.
RANKS: Mapping[Room, frozenset[Rank]] = {
    Room.ALL: frozenset(Rank),
    Room.RUNS: frozenset(Rank) - {Rank.TAIL, Rank.EVENT},
    Room.PROMISES: frozenset({Rank.ACTION}),
    Room.NOTHING: frozenset(),
}
EACH_SECOND = 2500  # firings
FAILS_EACH = 1000  # firings
EVENT_EACH = 4  # firings: events are dropped first, so that more of them only take time
TOGETHER = 500  # firings between two transactions: 0.2 s
TAIL = 64 * 1024


class Flood:
    """A job that fires thousands of times a second, and the way of its rows into the file, without threads."""

    def __init__(self, database: Database, path: Path, size: int) -> None:
        self.clock = HandClock()
        self.queue = RowQueue()
        self.fired = self.failed = 0
        self.largest = 0
        self.longest_log = 0
        self.last = Pruned()
        self.rooms: set[Room] = set()
        self._database, self._path = database, path
        self._pruner = Pruner(database, "s1", size=size, clock=self.clock)
        self._template = run_row("tick", 0, NOW)
        for column in ("name", "start", "run"):
            del self._template[column]

    def fire(self, count: int) -> None:
        """Let the job fire, and write as much as may be written."""
        for first in range(0, count, TOGETHER):
            for _ in range(min(TOGETHER, count - first)):
                self._put()
            self.step()

    def _put(self) -> None:
        self.fired += 1
        self.queue.begin_group()
        self.clock.advance(1 / EACH_SECOND)
        at, run = self.clock.wall, f"tick#{self.fired}"
        is_failed = self.fired % FAILS_EACH == 0
        times = {"instant": at, "queued_at": at, "started_at": at, "ended_at": at}
        values = {**self._template, **times, "outcome": "failed" if is_failed else "succeeded"}
        self.queue.put(Row(("runs", "s1", run), values, Rank.FAILED if is_failed else Rank.SUCCEEDED))
        if self.fired % EVENT_EACH and not is_failed:
            return
        ended = {"at": at, "event": "ended", "job": "tick", "run": run, "data": {"event": "ended", "run": run}}
        self.queue.put(Row(("events", "s1", self.fired), ended, Rank.EVENT))
        if is_failed:
            self.failed += 1
            tail = tail_row({"start": "s1", "run": run, "ended_at": at}, TAIL)
            del tail["start"], tail["run"]
            self.queue.put(Row(("log_tails", "s1", run), tail, Rank.TAIL))

    def step(self) -> None:
        """Write batches and prune, in turn, until nothing is left that may be written."""
        more = True
        while more:
            limit = self._pruner.batch()
            self.rooms.add(limit.room)
            batch = self.queue.take(RANKS[limit.room], limit.rows, limit.bytes)
            more = bool(batch.rows)
            if batch.rows:
                with self._database.begin() as connection:
                    write_rows(connection, self._database.name, batch.rows, self.clock.wall)
                self._pruner.wrote(len(batch.rows), batch.size)
                self._measure()
            if self.clock.mono >= self._pruner.due:
                self.last = self._pruner.step()
                self._measure()

    def _measure(self) -> None:
        log = Path(f"{self._path}-wal").stat().st_size
        self.longest_log = max(self.longest_log, log)
        self.largest = max(self.largest, self._path.stat().st_size + log)

    def finish(self) -> None:
        """Let time pass until everything is written."""
        for _ in range(100):
            self.clock.advance(1.0)
            self.step()
            if not len(self.queue):
                return
        pytest.fail(f"{len(self.queue)} rows are still waiting: {self.last}")


@pytest.mark.parametrize(
    ("size", "firings"),
    [(1 * MIB, 3_000), pytest.param(16 * MIB, 1_000_000, marks=pytest.mark.long)],
    ids=["1 MiB", "16 MiB over a million firings"],
)
def test_the_limit_holds_at_every_step_of_a_flood_with_a_reader_open(tmp_path: Path, size: int, firings: int) -> None:
    path = tmp_path / "h.sqlite"
    part = firings // 10
    with database_at(path) as database, ExitStack() as readers:
        write_starts(database, start_row())
        flood = Flood(database, path, size)
        flood.fire(2 * part)
        reader = readers.enter_context(reader_of(path))
        flood.fire(6 * part)
        trouble, rooms = flood.last.trouble, flood.rooms
        for _ in range(10):
            reader.close()
            reader = readers.enter_context(reader_of(path))
            flood.fire(part // 10)
        reader.close()
        flood.fire(part)
        flood.finish()

        kept = database_runs(database)
        assert last_runs(database, "tick") == [f"tick#{number}" for number in range(firings - 19, firings + 1)]
    assert flood.fired == firings
    assert flood.largest <= size
    assert flood.longest_log > 0
    assert Room.PROMISES in rooms
    assert "cannot become smaller while a reader holds it open" in trouble
    assert flood.last.trouble == ""
    # Events and tails were lost to the limit, but no run.
    assert sum(row.folded for row in kept) == firings
    assert sum(row.outcome == "failed" for row in kept) == flood.failed
    assert flood.queue.dropped[Rank.SUCCEEDED] == flood.queue.dropped[Rank.FAILED] == 0


def database_runs(database: Database) -> list[Any]:
    """Return how many runs each row stands for, and their outcome."""
    with database.begin() as connection:
        return list(connection.execute(text("select outcome, folded from runs")).all())
