"""What a history database has, read by plain SQL: independent of the package's own reader.

Nothing here writes. A file that is not there yet, or has no tables yet, has no rows.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from taskloom.invariants.checker import check_events

__all__ = ["StoredHistory", "broken_rules"]

Row = dict[str, Any]

_JSON = {"data", "paths", "command", "report", "counters", "progress", "caller", "restarts", "jobs"}
_ORDER = {"events": "start, seq", "starts": "since", "runs": "start, queued_at, run", "actions": "at"}
_NOT_THERE = ("no such table", "unable to open", "does not exist")


class StoredHistory:
    """One database: the path of an SQLite file, or the URL of a PostgreSQL database."""

    def __init__(self, place: str) -> None:
        self.place = place

    @property
    def is_file(self) -> bool:
        """Whether it is an SQLite file."""
        return "://" not in self.place

    def rows(self, table: str, **where: object) -> list[Row]:
        """Return the rows of a table with these values, in the order in which they came to be."""
        mark = "?" if self.is_file else "%s"
        chosen = " and ".join(f"{column} = {mark}" for column in where) or "1 = 1"
        order = f" order by {_ORDER[table]}" if table in _ORDER else ""
        statement = f"select * from {table} where {chosen}{order}"  # noqa: S608 - the test's own words
        found = self.query(statement, *where.values())
        return [{name: _decoded(name, value) for name, value in row.items()} for row in found]

    def query(self, statement: str, *values: object) -> list[Row]:
        """Execute a statement that reads."""
        try:
            return self._query_file(statement, values) if self.is_file else self._query_server(statement, values)
        except Exception as error:
            if any(text in str(error) for text in _NOT_THERE):
                return []
            raise

    def _query_file(self, statement: str, values: tuple[object, ...]) -> list[Row]:
        if not Path(self.place).exists():
            return []
        try:
            return _query(f"{Path(self.place).absolute().as_uri()}?mode=ro", statement, values)
        except sqlite3.OperationalError as error:
            if "readonly" not in str(error):
                raise
        # It was killed while the tables were made: the next writer takes that back. A copy shows what it will find.
        with tempfile.TemporaryDirectory() as folder:
            for suffix in ("", "-journal", "-wal"):
                if Path(self.place + suffix).exists():
                    shutil.copy(self.place + suffix, f"{folder}/{Path(self.place).name}{suffix}")
            return _query(f"file:{quote(folder)}/{quote(Path(self.place).name)}", statement, values)

    def _query_server(self, statement: str, values: tuple[object, ...]) -> list[Row]:
        import psycopg
        from psycopg.rows import dict_row

        own_schema = "-c search_path=taskloom"
        with psycopg.connect(self.place, connect_timeout=30, row_factory=dict_row, options=own_schema) as connection:
            connection.read_only = True
            return list(connection.execute(statement.encode(), values))

    def problems(self) -> list[str]:
        """Return what the database itself says about its state; nothing if it is sound."""
        if not self.is_file:
            return []  # a server checks its files itself
        said = [str(value) for row in self.query("pragma integrity_check") for value in row.values()]
        return [] if said in ([], ["ok"]) else said

    def mode(self) -> int:
        """Return the mode of the file, with those of its journals included."""
        parts = [Path(self.place + suffix) for suffix in ("", "-wal", "-shm", ".lock")]
        found = 0
        for part in parts:
            if part.exists():
                found |= part.stat().st_mode & 0o777
        return found


def _query(uri: str, statement: str, values: tuple[object, ...]) -> list[Row]:
    connection = sqlite3.connect(uri, uri=True, timeout=30)
    try:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(statement, values)]
    finally:
        connection.close()


def _decoded(name: str, value: object) -> object:
    return json.loads(value) if name in _JSON and isinstance(value, str) and value else value


def broken_rules(stored: StoredHistory, current: str | None = None) -> list[str]:
    """Return how the rows break the rules that each stored history keeps (numbers as in the list of invariants).

    `current`: the start that may be alive; all others have ended or are lost.
    """
    starts = {row["start"]: row for row in stored.rows("starts")}
    runs, events = stored.rows("runs"), stored.rows("events")
    found = stored.problems()
    found += _doubles("I1: rows of run", ((row["name"], row["start"], row["run"]) for row in runs))
    found += _doubles("I4: events with number", ((row["name"], row["start"], row["seq"]) for row in events))
    for start, row in starts.items():
        if start != current and row["how"] == "running":
            found.append(f"I1: start {start} is over, and is not marked")
    for run in runs:
        found += _wrong_run(run, starts.get(run["start"]), is_current=run["start"] == current)
    is_folded = any(run["folded"] > 1 for run in runs)
    for start in starts:
        own = [row for row in events if row["start"] == start]
        found += _wrong_events(start, own, [run for run in runs if run["start"] == start], is_folded=is_folded)
    instants = (
        (run["name"], run["job"], run["instant"])
        for run in runs
        if run["instant"] is not None and not run["is_unrecorded"]
    )
    return found + _doubles("I10: runs of one instant", instants)


def _doubles(what: str, keys: Iterable[tuple[Any, ...]]) -> list[str]:
    return [f"{what} {key}: {count}" for key, count in Counter(keys).items() if count > 1]


def _wrong_run(run: Row, start: Row | None, *, is_current: bool) -> list[str]:
    who = f"run {run['run']} of {run['start']}"
    if start is None:
        return [f"I5: {who} belongs to no start"]
    if run["outcome"] is None:
        return [] if is_current else [f"I1: {who} has no outcome"]
    found = []
    if run["ended_at"] is None:
        found.append(f"I1: {who} is {run['outcome']}, and has no end")
    if run["seconds"] is not None and run["seconds"] < 0:
        found.append(f"I1: {who} took {run['seconds']} s")
    if run["outcome"] == "lost" and start["how"] != "lost":
        found.append(f"I1: {who} is lost, its start is {start['how']}")
    return found


def _wrong_events(start: str, events: list[Row], runs: list[Row], *, is_folded: bool) -> list[str]:
    """Check the events of one start: gapless, legal, and told by the rows of the runs."""
    numbers = [row["seq"] for row in events]
    if numbers != list(range(1, len(numbers) + 1)) and is_folded:
        return []  # the events of the runs for which another row stands now are gone with them
    found = [] if numbers == list(range(1, len(numbers) + 1)) else [f"I4: events of {start} have gaps: {numbers[:50]}"]
    found += [f"{broken.rule}: {start}: {broken.text}" for broken in check_events(row["data"] for row in events)]
    by_run = {run["run"]: run for run in runs}
    ended: dict[str, str] = {}
    for row in events:
        data: Mapping[str, Any] = row["data"]
        if row["event"] in ("queued", "started", "ended") and row["run"] not in by_run:
            found.append(f"I5: {start}: {row['event']} of {row['run']}, which has no row")
        if row["event"] == "ended":
            ended[row["run"]] = data["outcome"]
    for name, run in by_run.items():
        told = ended.get(name)
        if told is not None and run["outcome"] != told:
            found.append(f"I5: {start}: {name} ended {told}, its row says {run['outcome']}")
        if told is None and run["outcome"] not in (None, "lost") and len(events) and run["folded"] in (None, 1):
            found.append(f"I5: {start}: {name} is {run['outcome']}, no event says so")
    return found
