"""How much room a history takes, and how a file of SQLite gets smaller.

What SQLite does (3.40, measured): a commit appends whole pages to the write-ahead log. A checkpoint copies them into the
file, but no further than the oldest snapshot that a reader holds. As long as a reader holds one, the log is not begun
anew: each commit makes it longer, also one that deletes. Pages that become free stay in the file until
`incremental_vacuum` has moved them to its end, and the file is cut at the next checkpoint.
"""

from __future__ import annotations

import math
import os
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Table, cast, func, literal, literal_column, select
from sqlalchemy.types import Float, LargeBinary

from taskloom.history.tables import AnyText, Json, actions, events, log_tails, runs, starts

__all__ = ["PostgresSpace", "Space", "SqliteSpace", "Store", "space_of", "weight"]

TABLES = (log_tails, events, runs, actions, starts)
ROW_BYTES = 200
"""What a row takes beside its long columns: its header, its numbers, and its entries in the indexes."""

RESERVE = 32 * 1024 * 1024
VACUUM_PAGES = 128  # of one slice: about 0.5 MiB that is written, some 10 ms


class Store(Protocol):
    """The database as the writer thread has it."""

    name: str

    def begin(self) -> AbstractContextManager[Connection]:
        """Give the connection for one transaction."""

    def outside(self) -> AbstractContextManager[Any]:
        """Give the driver's connection, in no transaction; errors become the same as those of `begin`."""


def weight(table: Table, dialect: str) -> ColumnElement[float]:
    """Return about how many bytes one row of this table takes."""
    if dialect == "postgresql":
        return literal_column(f"pg_column_size({table.name}.*)", Float) + literal(ROW_BYTES)
    # Of text `length` counts characters; of a blob it is known without reading it.
    texts = [column for column in table.columns if isinstance(column.type, AnyText | Json)]
    lengths: list[ColumnElement[Any]] = [func.coalesce(func.length(cast(column, LargeBinary)), 0) for column in texts]
    return sum(lengths, start=literal(ROW_BYTES))


def weight_of(connection: Connection, condition: Any) -> float:
    """Return about how many bytes all rows take whose name meets the condition; reads all of them."""
    dialect = connection.dialect.name
    total = 0.0
    for table in TABLES:
        summed = select(func.sum(weight(table, dialect))).where(condition(table.c.name))
        total += float(connection.execute(summed).scalar() or 0.0)
    return total


class Space(Protocol):
    """How much room the rows of one name take. All sizes in bytes."""

    limit: float
    high: float
    """The room for rows: the limit without the reserve for the write-ahead log."""
    batch_rows: int
    """How many rows one transaction may write at the moment."""
    is_pinned: bool
    """Whether a reader keeps the write-ahead log from becoming shorter."""

    def left(self) -> float:
        """Return how much may still be written before the limit is reached; below zero if it is exceeded."""

    def wrote(self, rows: int, bytes_: int) -> None:
        """Count what was written."""

    def used(self, store: Store) -> float:
        """Return how much the rows take, with what was deleted not counted."""

    def shrink(self, store: Store) -> bool:
        """Give some free room back to the file system; return whether more could be given."""


class SqliteSpace:
    """A file with its write-ahead log."""

    def __init__(self, store: Store, name: str, size: float) -> None:
        with store.begin() as connection:
            # Other names in the same file are somebody else's share.
            others = weight_of(connection, lambda column: column != name) * 1.5
        self.limit = size + others
        self.reserve = min(size / 4, RESERVE)
        self.high = self.limit - self.reserve
        self.is_pinned = False
        with store.outside() as driver:
            self._path = next(row[2] for row in driver.execute("PRAGMA database_list").fetchall() if row[1] == "main")
            self._page = _one(driver, "PRAGMA page_size")
            if not math.isinf(self.reserve):
                # A checkpoint after each eighth of the reserve, but not later than SQLite would by itself.
                pages = max(1, min(1000, int(self.reserve / 8 / self._page)))
                _one(driver, f"PRAGMA wal_autocheckpoint = {pages}")
                _one(driver, f"PRAGMA journal_size_limit = {pages * self._page}")
        self._row_growth = float(self._page)
        self._log_before = self._log()

    @property
    def batch_rows(self) -> int:
        """Not more rows than could double the log up to the limit, as far as the last transactions tell."""
        if math.isinf(self.limit):
            return 1000
        return max(8, min(1000, int(max(self.left(), 0.0) / 2 / self._row_growth)))

    def left(self) -> float:
        """Return what the file and its log leave of the limit."""
        return self.limit - self._file() - self._log()

    def wrote(self, rows: int, bytes_: int) -> None:
        """Learn how much longer the log becomes with each row."""
        log = self._log()
        if log > self._log_before and rows > 0:
            growth = (log - self._log_before) / rows
            self._row_growth = max(growth, self._row_growth * 0.9, 500.0)
        self._log_before = log

    def used(self, store: Store) -> float:
        """Return the pages in use."""
        with store.outside() as driver:
            return float((_one(driver, "PRAGMA page_count") - _one(driver, "PRAGMA freelist_count")) * self._page)

    def shrink(self, store: Store) -> bool:
        """Make a checkpoint, and move some free pages out of the file if they are many, or the file too large."""
        with store.outside() as driver:
            self._checkpoint(driver)
            if self.is_pinned:
                return False
            free, pages = _one(driver, "PRAGMA freelist_count"), _one(driver, "PRAGMA page_count")
            if free == 0 or (free <= max(256, pages // 4) and pages * self._page <= self.high):
                return False
            # Not `execute`: before Python 3.12 it takes one step of this statement, and so frees one page.
            driver.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
            after = _one(driver, "PRAGMA freelist_count")
            self._checkpoint(driver)
            return after < free

    def _checkpoint(self, driver: Any) -> None:
        """Copy the log into the file; begin the log anew if that leaves a short one. Waits for no reader."""
        waits = _one(driver, "PRAGMA busy_timeout")
        try:
            _one(driver, "PRAGMA busy_timeout = 0")
            _, frames, copied = driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self.is_pinned = copied < frames
            if not self.is_pinned and self._log() > self.reserve / 4:
                # A reader that began since then may refuse it; what matters is whether the log became shorter.
                self.is_pinned = bool(_one(driver, "PRAGMA wal_checkpoint(TRUNCATE)"))
        finally:
            _one(driver, f"PRAGMA busy_timeout = {waits}")
            self._log_before = self._log()

    def _file(self) -> int:
        return _size_of(self._path)

    def _log(self) -> int:
        return _size_of(f"{self._path}-wal")


class PostgresSpace:
    """The rows of one name in the tables that several names share.

    Not the size of the tables: they keep the room of deleted rows for new ones. It is measured once, and then counted;
    `MEASURE_EVERY` bytes later it is measured again.
    """

    is_pinned = False
    batch_rows = 1000

    def __init__(self, store: Store, name: str, size: float) -> None:
        self._name = name
        self.limit = self.high = size
        self._measured = 0.0
        self._written = 0.0
        self._measure(store)

    def left(self) -> float:
        """Return what the rows leave of the limit, as far as it is known."""
        return self.limit - self._measured - self._written

    def wrote(self, rows: int, bytes_: int) -> None:
        """Count it."""
        self._written += bytes_ + rows * ROW_BYTES

    def used(self, store: Store) -> float:
        """Measure it again if much was written since, or if it seems to exceed the limit."""
        if self._written > self.limit / 16 or self._measured > self.limit * 13 / 16:
            self._measure(store)
        return self._measured + self._written

    def shrink(self, store: Store) -> bool:
        """Leave that to autovacuum."""
        return False

    def _measure(self, store: Store) -> None:
        with store.begin() as connection:
            self._measured = weight_of(connection, lambda column: column == self._name)
        self._written = 0.0


def space_of(store: Store, name: str, size: float) -> Space:
    """Return how the room of this name is measured."""
    with store.begin() as connection:
        dialect = connection.dialect.name
    return PostgresSpace(store, name, size) if dialect == "postgresql" else SqliteSpace(store, name, size)


def _one(driver: Any, pragma: str) -> int:
    """Return the first value of a PRAGMA; 0 if it has none. Its row is always fetched: an error may come only then."""
    row = driver.execute(pragma).fetchone()
    return 0 if row is None or row[0] is None else int(row[0])


def _size_of(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # deleted meanwhile: whoever writes notices that by itself
        return 0
