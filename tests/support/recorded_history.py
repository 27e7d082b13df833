"""Histories that a test writes row by row, as programs do, but without a program."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from taskloom.history import tables
from taskloom.history.location import LOCK_SUFFIX

NAME = "jobs-3f2a"
NOW = 1_790_000_000.0
"""The present of the tests: 2026-09-21, 14:13:20 UTC."""


class RecordedHistory:
    """A SQLite file with the tables of a history. `name`: that of the program in all rows."""

    def __init__(self, path: Path, *, name: str = NAME) -> None:
        self.path, self._name = path, name
        self._engine = sa.create_engine("sqlite://", creator=lambda: _connect(path), poolclass=sa.StaticPool)
        with self._engine.begin() as connection:
            tables.metadata.create_all(connection)
            connection.execute(tables.versions.insert(), {"version_num": tables.HEAD})

    def close(self) -> None:
        """Close it, as a program does at its end."""
        self._engine.dispose()

    def start(self, start: str = "aaaa1111", **columns: Any) -> None:
        """Add a start, which has ended unless `how` says otherwise."""
        row = {"since": NOW - 7200, "pid": 4711, "alive_at": NOW - 3600, "how": "ended", **columns}
        if row["how"] == "ended":
            row = {"ended_at": NOW - 3600, "exit_code": 0, **row}
        self._add(tables.starts, {"name": self._name, "start": start, **row})

    def run(self, run: str, *, start: str = "aaaa1111", began: float = NOW - 3600, **columns: Any) -> None:
        """Add a run, which succeeded unless `outcome` says otherwise."""
        row = {"outcome": "succeeded", "seconds": 1.0, "queued_at": began, "started_at": began, **columns}
        if row["outcome"] is not None:
            row = {"ended_at": began + (row["seconds"] or 0.0), **row}
        job = run.rpartition("#")[0] or run
        self._add(tables.runs, {"name": self._name, "start": start, "run": run, "job": job, "attempt": 1, **row})

    def event(self, **columns: Any) -> None:
        """Add an event."""
        self._add(tables.events, {"name": self._name, "start": "aaaa1111", **columns})

    def action(self, action: str, **columns: Any) -> None:
        """Add an action."""
        row = {
            "name": self._name,
            "start": "aaaa1111",
            "id": 1,
            "at": NOW - 60,
            "action": action,
            "jobs": [],
            "caller": {},
        }
        self._add(tables.actions, {**row, **columns})

    def tail(self, run: str, text: str, *, start: str = "aaaa1111", truncated: int = 0) -> None:
        """Add the last lines of a run."""
        row = {"name": self._name, "start": start, "run": run, "at": NOW, "text": text, "truncated": truncated}
        self._add(tables.log_tails, row)

    def execute(self, statement: str) -> None:
        """Damage it."""
        with self._engine.begin() as connection:
            connection.execute(sa.text(statement))

    def _add(self, table: sa.Table, row: Mapping[str, Any]) -> None:
        with self._engine.begin() as connection:
            connection.execute(table.insert(), dict(row))


def _connect(path: Path) -> Any:
    import sqlite3

    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL").fetchone()
    connection.execute("PRAGMA synchronous=OFF").fetchone()
    return connection


_HOLD = """
import fcntl, os, sys
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.lockf(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_a_child(path: Path) -> Iterator[None]:
    """Hold the lock of a history as the program that writes it does, in another process."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, f"{path}{LOCK_SUFFIX}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        yield
        child.communicate(timeout=30)
