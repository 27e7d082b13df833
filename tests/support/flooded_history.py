"""A history that is written as fast as it goes: rows as the recorder makes them, without a program."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from taskloom.core.model import Moment
from taskloom.history.database import Database, connect
from taskloom.history.location import parse_target
from taskloom.history.tables import actions, events, log_tails, runs, starts, upsert

__all__ = [
    "NOW",
    "HandClock",
    "counts",
    "database_at",
    "event_rows",
    "last_runs",
    "reader_of",
    "run_row",
    "runs_of",
    "start_row",
    "tail_row",
    "write_events",
    "write_runs",
    "write_starts",
]

NOW = 1_800_000_000.0  # on a full minute


class HandClock:
    """Both clocks, set by hand."""

    def __init__(self, wall: float = NOW, mono: float = 1000.0) -> None:
        self.wall, self.mono = wall, mono

    def now(self) -> Moment:
        """Read both."""
        return Moment(self.mono, self.wall)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.mono += seconds


@contextmanager
def database_at(place: str | Path, name: str = "jobs") -> Iterator[Database]:
    """Open the history of this name for writing, and close it after the block."""
    database = connect(parse_target(str(place), is_password_allowed=True), name)
    try:
        yield database
    finally:
        database.close()


def start_row(start: str = "s1", since: float = NOW, *, how: str = "running", **columns: Any) -> dict[str, Any]:
    """Return one start."""
    row = {"start": start, "since": since, "pid": 1, "alive_at": since, "how": how, "report": None}
    return row | columns


def run_row(
    job: str, number: int, at: float, *, start: str = "s1", seconds: float = 0.01, **columns: Any
) -> dict[str, Any]:
    """Return one firing that succeeded."""
    row = dict.fromkeys(column.name for column in runs.columns)
    row |= {
        "start": start,
        "run": f"{job}#{number}",
        "job": job,
        "attempt": 1,
        "runner": "thread",
        "instant": at,
        "is_unrecorded": False,
        "queued_at": at,
        "started_at": at + 0.001,
        "ended_at": at + 0.001 + seconds,
        "seconds": seconds,
        "outcome": "succeeded",
        "folded": 1,
        "counters": {"beats": 1},
    }
    return row | columns


def event_rows(row: dict[str, Any], seq: int) -> list[dict[str, Any]]:
    """Return the three events of a run, numbered from `seq`."""
    return [
        {
            "start": row["start"],
            "seq": seq + offset,
            "at": row[column],
            "event": event,
            "job": row["job"],
            "run": row["run"],
            "data": {"seq": seq + offset, "event": event, "job": row["job"], "run": row["run"], "attempt": 1},
        }
        for offset, (event, column) in enumerate(
            (("queued", "queued_at"), ("started", "started_at"), ("ended", "ended_at"))
        )
        if row[column] is not None
    ]


def tail_row(row: dict[str, Any], length: int = 1000) -> dict[str, Any]:
    """Return the log tail of a run."""
    text = random.Random(row["run"]).randbytes((length + 1) // 2).hex()[:length]  # PostgreSQL compresses what it can
    return {"start": row["start"], "run": row["run"], "at": row["ended_at"], "text": text, "truncated": 0}


def write_runs(
    database: Database, rows: list[dict[str, Any]], *, first_seq: int | None = 1, tail_bytes: int = 0
) -> int:
    """Write runs in one transaction, with their events, and tails of those that failed; return the next event's seq."""
    given: list[dict[str, Any]] = []
    if first_seq is not None:
        for row in rows:
            given += event_rows(row, first_seq + len(given))
    tails = [tail_row(row, tail_bytes) for row in rows if tail_bytes and row["outcome"] not in (None, "succeeded")]
    with database.begin() as connection:
        for table, many in ((runs, rows), (events, given), (log_tails, tails)):
            upsert(connection, table, [row | {"name": database.name} for row in many])
    return (first_seq or 1) + len(given)


def write_starts(database: Database, *rows: dict[str, Any]) -> None:
    """Write starts of the program."""
    with database.begin() as connection:
        upsert(connection, starts, [row | {"name": database.name} for row in rows])


def write_events(database: Database, *rows: dict[str, Any]) -> None:
    """Write events."""
    with database.begin() as connection:
        upsert(connection, events, [row | {"name": database.name} for row in rows])


def runs_of(database: Database, name: str | None = None) -> list[Any]:
    """Return all runs of the name, the oldest first."""
    with database.begin() as connection:
        return list(
            connection.execute(
                select(runs).where(runs.c.name == (name or database.name)).order_by(runs.c.queued_at, runs.c.run)
            ).all()
        )


def last_runs(database: Database, job: str, most: int = 20) -> list[str]:
    """Return the ids of the last runs of a job, the oldest first."""
    return [row.run for row in runs_of(database) if row.job == job][-most:]


def counts(database: Database, name: str | None = None) -> dict[str, int]:
    """Return how many rows of the name each table has."""
    with database.begin() as connection:
        return {
            table.name: connection.execute(
                select(func.count()).select_from(table).where(table.c.name == (name or database.name))
            ).scalar_one()
            for table in (starts, runs, events, actions, log_tails)
        }


@contextmanager
def reader_of(path: Path) -> Iterator[sqlite3.Connection]:
    """Hold a snapshot of the file open, as a program does that reads it for a long time."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM runs").fetchall()
        yield connection
    finally:
        connection.close()
