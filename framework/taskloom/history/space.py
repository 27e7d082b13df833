"""How much room a history takes, and how a file of SQLite gets smaller.

SQLite appends whole pages to its write-ahead log with each commit (3.40, measured). A checkpoint copies them into the
file, but no further than the oldest snapshot that a reader holds. As long as a reader holds one, the log is not begun
again: each commit makes it longer, also one that deletes. Pages that become free stay in the file until
`incremental_vacuum` has moved them to its end, and the file is cut at the next checkpoint.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Table, cast, func, literal, literal_column, select
from sqlalchemy.types import Float, LargeBinary

from taskloom.history.tables import AnyText, Json, actions, events, log_tails, runs, starts

__all__ = ["PostgresSpace", "Space", "SqliteSpace", "Store", "space_of", "weight"]

TABLES = (log_tails, events, runs, actions, starts)
ROW_BYTES = 200
"""The bytes of a row beside its long columns: its header, its numbers, and its entries in the indexes."""

RESERVE = 32 * 1024 * 1024
MOST_ROWS = 1000  # of one transaction
LEAST_ROWS = 8
LEAST_GROWTH = 500.0  # bytes of the log for each row, however short it is
MANY_PAGES = 256  # free ones: 1 MiB is not worth moving
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
    # `length` counts the characters of a text. That of a blob is known without reading it.
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


class Space(ABC):
    """How much room the rows of one name take. All sizes in bytes."""

    is_pinned = False
    """Whether a reader keeps the write-ahead log from becoming shorter."""

    def __init__(self, limit: float, reserve: float) -> None:
        self._limit = self.limit = limit
        self.reserve = reserve
        """The part of the limit that rows do not get: for the write-ahead log, and until the next slice."""

    @property
    def high(self) -> float:
        """The room for rows."""
        return self.limit - self.reserve

    @property
    def is_stretched(self) -> bool:
        """Whether more is needed than the limit: rows that are always kept."""
        return self.limit > self._limit

    def stretch(self, high: float) -> None:
        """Take this as the room for rows if it is more than the limit leaves."""
        self.limit = max(self._limit, high + self.reserve)

    @property
    def batch_rows(self) -> int:
        """How many rows one transaction may write at the moment."""
        return MOST_ROWS

    @property
    def is_log_long(self) -> bool:
        """Whether the write-ahead log is to be made shorter."""
        return False

    @abstractmethod
    def remaining(self) -> float:
        """Return how much may still be written before the limit is reached; below zero if it is exceeded."""

    def wrote(self, rows: int, bytes_: int) -> None:  # noqa: B027 - not every kind has to
        """Count what was written."""

    def freed(self, bytes_: float) -> None:  # noqa: B027 - not every kind has to
        """Count what was deleted."""

    @abstractmethod
    def used(self, store: Store) -> float:
        """Return how much the rows take; what was deleted is not counted."""

    def relax(self, store: Store) -> None:  # noqa: B027 - not every kind has to
        """Make a long write-ahead log shorter."""

    def shrink(self, store: Store) -> bool:
        """Give some free room back to the file system; return whether more could be given."""
        return False


class SqliteSpace(Space):
    """A file with its write-ahead log."""

    def __init__(self, store: Store, name: str, size: float) -> None:
        with store.begin() as connection:
            # Other names in the same file have limits of their own. Not `!=`, for which SQLite uses no index.
            others = weight_of(connection, lambda column: (column < name) | (column > name)) * 1.5
        super().__init__(size + others, min(size / 4, RESERVE))
        with store.outside() as driver:
            self._path = next(row[2] for row in driver.execute("PRAGMA database_list").fetchall() if row[1] == "main")
            self._page = _one(driver, "PRAGMA page_size")
            # A checkpoint after each eighth of the reserve, but not later than SQLite would by itself.
            pages = max(1, min(1000, int(self.reserve / 8 / self._page)))
            _one(driver, f"PRAGMA wal_autocheckpoint = {pages}")
            _one(driver, f"PRAGMA journal_size_limit = {pages * self._page}")
        self._store = store
        self._count_pages()
        self._row_growth = float(self._page)
        self._log_before = self._log()

    @property
    def batch_rows(self) -> int:
        """Not more than fill half of what is left, as far as the last transactions tell."""
        if math.isinf(self.limit):
            return MOST_ROWS
        return max(LEAST_ROWS, min(MOST_ROWS, int(max(self.remaining(), 0.0) / 2 / self._row_growth)))

    @property
    def is_log_long(self) -> bool:
        """Return whether it takes a quarter of the reserve."""
        return self._log() > self.reserve / 4

    def remaining(self) -> float:
        """Return what the file and its log leave of the limit; the file will have all pages after a checkpoint."""
        return self.limit - max(_size_of(self._path), self._pages * self._page) - self._log()

    def wrote(self, rows: int, bytes_: int) -> None:
        """Learn how much longer the log becomes with each row."""
        self._count_pages()
        log = self._log()
        if log > self._log_before and rows > 0:
            self._row_growth = max((log - self._log_before) / rows, self._row_growth * 0.9, LEAST_GROWTH)
        self._log_before = log

    def used(self, store: Store) -> float:
        """Return the pages in use."""
        with store.outside() as driver:
            return float((_one(driver, "PRAGMA page_count") - _one(driver, "PRAGMA freelist_count")) * self._page)

    def relax(self, store: Store) -> None:
        """Copy a long log into the file, and begin it again. Waits for no reader."""
        self.is_pinned = False
        if self.is_log_long:
            with store.outside() as driver:
                self._checkpoint(driver)
            self.is_pinned = self.is_log_long
        self._count_pages()
        self._log_before = self._log()

    def shrink(self, store: Store) -> bool:
        """Move some free pages out of the file if they are many, or the file is too large."""
        with store.outside() as driver:
            free, pages = _one(driver, "PRAGMA freelist_count"), _one(driver, "PRAGMA page_count")
            is_wanted = free > max(MANY_PAGES, pages // 4) or (free > 0 and pages * self._page > self.high)
            if self.is_pinned or not is_wanted:
                return False
            # Not `execute`: before Python 3.12 it takes one step of this statement, and so frees one page.
            driver.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
            after = _one(driver, "PRAGMA freelist_count")
            self._checkpoint(driver)
        return after < free

    def _count_pages(self) -> None:
        with self._store.outside() as driver:
            self._pages = _one(driver, "PRAGMA page_count")

    def _checkpoint(self, driver: Any) -> None:
        waits = _one(driver, "PRAGMA busy_timeout")
        _one(driver, "PRAGMA busy_timeout = 0")
        try:
            # Passive copies what it can. The other does nothing at all if a reader is in the way.
            driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            _one(driver, f"PRAGMA busy_timeout = {waits}")

    def _log(self) -> int:
        return _size_of(f"{self._path}-wal")


class PostgresSpace(Space):
    """The rows of one name in the tables that several names share.

    Not the size of the tables: they keep the room of deleted rows for new ones, and autovacuum sees to that. The rows
    are measured when much was written since the last time, which reads all of them, and are counted in between.
    """

    def __init__(self, store: Store, name: str, size: float) -> None:
        super().__init__(size, size / 16)
        self._name = name
        self._counted = self._written = 0.0
        self._measure(store)

    def remaining(self) -> float:
        """Return what the rows leave of the limit, as far as it is known."""
        return self.limit - self._counted

    def wrote(self, rows: int, bytes_: int) -> None:
        """Count it; rows that were there before are counted twice until they are measured."""
        self._counted += bytes_ + rows * ROW_BYTES
        self._written += bytes_ + rows * ROW_BYTES

    def freed(self, bytes_: float) -> None:
        """Count it."""
        self._counted = max(0.0, self._counted - bytes_)

    def used(self, store: Store) -> float:
        """Return how much it is, and measure before if that is due."""
        if self._written > self.limit / 16:
            self._measure(store)
        return self._counted

    def _measure(self, store: Store) -> None:
        with store.begin() as connection:
            self._counted = weight_of(connection, lambda column: column == self._name)
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
        return Path(path).stat().st_size
    except OSError:  # deleted meanwhile: the writer notices that by itself
        return 0
