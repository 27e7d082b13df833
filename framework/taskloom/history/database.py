"""The database of a history: one connection, over which one thread writes; and connections that only read.

    database = connect(target, name)          # locked, checked, and brought up to date
    with database.begin() as connection:      # one transaction
        upsert(connection, runs, rows)
    database.close()

All errors are HistoryError, with a sentence for the user. After one the transaction is rolled back. If `is_usable` is
False then, close the database and connect again; else the next `begin` may work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from taskloom.history.location import Target

__all__ = ["Database", "connect", "read_only"]


class Database:
    """A history that this process writes. One thread at a time may use it; `abort` is for any thread."""

    target: Target
    name: str
    moved: str
    """Where a damaged file was moved to when this one was made in its place; "" if there was none."""

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Give the connection for one transaction, which is committed at the end. Raises HistoryError."""
        raise NotImplementedError
        yield

    @contextmanager
    def outside(self) -> Iterator[Any]:
        """Give the driver's connection, in no transaction: for PRAGMAs of SQLite. Raises HistoryError."""
        raise NotImplementedError
        yield

    @property
    def is_usable(self) -> bool:
        """Return whether the connection is alive, as far as is known without asking the server."""
        raise NotImplementedError

    def is_lost(self) -> bool:
        """Return whether the file was deleted or replaced, or the server has ended the lock. Raises HistoryError."""
        raise NotImplementedError

    def move_aside(self) -> str:
        """Close a damaged file and rename it; return its new path. Connect again for a new one. Raises HistoryError."""
        raise NotImplementedError

    def abort(self) -> None:
        """Make a command that another thread waits for fail soon. Raises nothing."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connection, and give up the lock. Idempotent; raises nothing."""
        raise NotImplementedError

    def leave_behind(self) -> None:
        """In a forked child: keep all as it is, for the parent. Nothing else may be called there."""
        raise NotImplementedError


def connect(target: Target, name: str) -> Database:
    """Open the history of this name for writing, in less than about 10 s.

    Takes the lock of the name, makes the file or the tables, and brings older tables up to date.

    Raises HistoryHeld if another program writes it, HistoryTooNew, HistoryCorrupt, PackageMissing, HistoryUnusable for
    what the user has to change, and HistoryFailed for what may work later. All are HistoryError.
    """
    raise NotImplementedError


@contextmanager
def read_only(target: Target) -> Iterator[Connection]:
    """Give a connection that can only read; it works while a program writes, and after one was killed.

    Raises HistoryAbsent if nothing was written yet, and other HistoryErrors. `connection` is in one transaction: all
    that is read belongs together.
    """
    raise NotImplementedError
    yield
