"""A recorder with its database, for tests: faults at chosen calls of the database, and its rows read from outside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select
from tests.support.history_events import START, EventMaker

from taskloom.clock import mono
from taskloom.core.events import Event
from taskloom.history import tables
from taskloom.history.database import Database, connect, read_only
from taskloom.history.errors import HistoryFailed
from taskloom.history.location import Target, parse_target
from taskloom.history.model import ActionRow, Opened, StartInfo
from taskloom.history.recorder import Recorder

__all__ = ["PATIENCE", "Faults", "FaultyDatabase", "RecorderBench", "failed", "stored"]

PATIENCE = 30.0
"""Seconds; reached only when a test fails."""


class Faults:
    """Decides at which calls of the database an error is raised. The writer thread asks, a test changes it."""

    def __init__(
        self, error: Callable[[], BaseException] | None = None, *, at: int = 0, for_ever: bool = False
    ) -> None:
        self.count = 0
        self.error = error
        self.at = at
        self.for_ever = for_ever
        self.cuts_connection = False
        """Whether the connection is unusable after an error."""

    def check(self, database: FaultyDatabase | None = None) -> None:
        """Count one call, and raise the error if this is one of those that fail."""
        self.count += 1
        if self.error is None or not self.at or not (self.count == self.at or (self.for_ever and self.count > self.at)):
            return
        if database is not None and self.cuts_connection:
            database.is_cut = True
        raise self.error()

    def stop(self) -> None:
        """Let all later calls work."""
        self.at = 0


class FaultyDatabase:
    """A real database with faults: when a transaction begins, before its commit and after it, when its file is checked.

    It has what the writer uses of `Database`.
    """

    def __init__(self, real: Database, faults: Faults) -> None:
        self._real, self._faults = real, faults
        self.is_cut = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    @property
    def is_usable(self) -> bool:
        return not self.is_cut and self._real.is_usable

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        self._faults.check(self)
        with self._real.begin() as connection:
            yield connection
            self._faults.check(self)
        self._faults.check(self)

    def is_lost(self) -> bool:
        self._faults.check(self)
        return self._real.is_lost()


class RecorderBench(AbstractContextManager["RecorderBench"]):
    """A recorder of the name `demo`, closed at the end of the block."""

    def __init__(
        self, place: Path | Target, faults: Faults | None = None, *, start: str = "aaaa", **options: Any
    ) -> None:
        self.faults = faults or Faults()
        self.target = place if isinstance(place, Target) else parse_target(str(place))
        self.lines: list[tuple[str, str]] = []
        self.events = EventMaker()
        self.recorder = Recorder(
            self.target,
            name="demo",
            start=StartInfo(start, START, 4242, ("jobs.yaml",), ("taskloom", "run")),
            log=lambda level, text: self.lines.append((level, text)),
            connect=self._connect,
            **options,
        )

    def _connect(self, target: Target, name: str) -> Any:
        self.faults.check()
        return FaultyDatabase(connect(target, name), self.faults)

    def open(self, within: float = PATIENCE) -> Opened:
        """Open it. `within`: how long it waits for a database that fails."""
        return self.recorder.open(within)

    def put(self, *events: Event) -> None:
        """Put events."""
        for event in events:
            self.recorder.put(event)

    def act(self, action: str = "stop") -> bool:
        """Put an action, and return whether it was committed."""
        return self.answer(lambda done: self.recorder.put_action(ActionRow(START, action, ("tick",), {"pid": 7}), done))

    def record(self, job: str, instant: float) -> bool:
        """Record an instant, and return whether it was committed."""
        return self.answer(lambda done: self.recorder.record_instant(job, instant, done))

    def answer(self, call: Callable[[Callable[[bool], object]], object]) -> bool:
        """Return the answer to a call with `done`."""
        answers: list[bool] = []
        came = threading.Event()

        def done(is_written: bool) -> None:
            answers.append(is_written)
            came.set()

        call(done)
        assert came.wait(PATIENCE)
        return answers[0]

    def until_written(self) -> None:
        """Return once an action is committed, and so all that was put before it."""
        until = mono() + PATIENCE
        while not self.act("flush"):
            assert mono() < until, self.lines

    def finish(self, report: Mapping[str, Any] | None = None, code: int = 0) -> bool:
        """Finish it."""
        return self.recorder.finish(report or {}, code, mono() + PATIENCE)

    def rows(self, table: str, **where: object) -> list[dict[str, Any]]:
        """Return the rows of a table with these values."""
        return stored(self.target, table, **where)

    def __exit__(self, *_: object) -> None:
        self.recorder.close()
        self.recorder._thread.join(PATIENCE)
        assert not self.recorder._thread.is_alive()


def stored(target: Target, name: str, **where: object) -> list[dict[str, Any]]:
    """Return the rows of a table with these values, in the order of their keys."""
    table = tables.metadata.tables[name]
    chosen = [table.c[column] == value for column, value in where.items()]
    with read_only(target) as connection:
        rows = connection.execute(select(table).where(*chosen).order_by(*table.primary_key)).mappings()
        return [dict(row) for row in rows]


def failed() -> HistoryFailed:
    """Return the error of a disk."""
    return HistoryFailed("'demo.sqlite'", "the disk is full")
