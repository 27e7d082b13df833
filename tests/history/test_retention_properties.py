"""Whatever the order of the slices, and wherever the program dies between them: what is promised is there."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.support.flooded_history import HandClock, database_at, run_row, runs_of, start_row, write_runs, write_starts

from taskloom.history.database import Database
from taskloom.history.retention import Pruner

KIB = 1024
LIVES, MANY_LIVES = 3, 12


class Life:
    """A program that writes, prunes, and is killed, again and again; its clock is set forward now and then."""

    def __init__(self, path: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = HandClock()
        self.path = path
        self.written: Counter[str] = Counter()
        self.order: dict[str, list[tuple[str, str]]] = {}
        self.size: float = self.chance.choice([600 * KIB, 1024 * KIB, float("inf")])
        self.keep: float = self.chance.choice([0.0, 3600.0, 30 * 86400.0, float("inf")])

    def live(self, number: int) -> None:
        """Run once; the end is a kill."""
        start = f"s{number}"
        with database_at(self.path) as database:
            write_starts(database, start_row(start, self.clock.wall))
            pruner = Pruner(database, start, keep=self.keep, size=self.size, clock=self.clock)
            seq = 1
            for _ in range(self.chance.randrange(1, 6)):
                act = self.chance.random()
                if act < 0.6:
                    seq = self.write(database, start, seq)
                    pruner.wrote(100, 50_000)
                self.clock.advance(self.chance.choice([0.0, 1.0, 61.0, 700.0, 7200.0]))
                for _ in range(self.chance.randrange(5)):
                    pruner.step()
                self.check(database)
            with database.begin() as connection:
                connection.execute(text("update starts set how = 'lost' where how = 'running'"))
        if self.chance.random() < 0.1:
            self.clock.wall += self.chance.choice([7200.0, 400 * 86400.0])

    def write(self, database: Database, start: str, seq: int) -> int:
        """Let one job run for a while."""
        job = self.chance.choice(["a", "b", "c"])
        rows: list[dict[str, Any]] = []
        for _ in range(self.chance.randrange(1, 60)):
            self.clock.advance(self.chance.choice([0.5, 5.0, 90.0]))
            self.written[job] += 1
            outcome = self.chance.choice(["succeeded"] * 4 + ["failed"])
            rows.append(run_row(job, self.written[job], self.clock.wall, start=start, outcome=outcome))
        self.order.setdefault(job, []).extend((row["start"], row["run"]) for row in rows)
        return write_runs(database, rows, first_seq=seq, tail_bytes=4000)

    def check(self, database: Database) -> None:
        """Check what holds at each moment."""
        rows = runs_of(database)
        kept = {(row.start, row.run) for row in rows}
        for job, order in self.order.items():
            missing = [run for run in order[-20:] if run not in kept]
            assert missing == [], f"of the last 20 of {job}"
        singles = {(row.start, row.run) for row in rows if row.folded == 1}
        for order in self.order.values():
            assert set(order[-20:]) <= singles
        with database.begin() as connection:
            tails = connection.execute(text("select start, run from log_tails")).all()
        assert {(tail.start, tail.run) for tail in tails} <= kept
        assert all(row.counters == {"beats": row.folded} for row in rows)
        if self.keep == self.size == float("inf"):
            assert sum(row.folded for row in rows) == sum(self.written.values())


@pytest.mark.parametrize("lives", [LIVES, pytest.param(MANY_LIVES, marks=pytest.mark.long)])
def test_the_last_runs_are_there_no_tail_is_alone_and_sums_are_true(
    lives: int, tmp_path: Path, record_property: Any
) -> None:
    for _ in range(1 if lives == LIVES else 10):
        seed = random.randrange(10**6)
        record_property("told", f"seed of retention: {seed}")
        life = Life(tmp_path / f"{seed}.sqlite", seed)
        for number in range(lives):
            life.live(number)
