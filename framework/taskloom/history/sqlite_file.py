"""A connection to a file of SQLite, set up so that what was committed survives a power loss.

The row of each PRAGMA is fetched and compared. Without that a refused switch to the write-ahead log goes unnoticed, and
so does an error of the disk: some are told only when the row is fetched.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from taskloom.history.errors import HistoryAbsent, HistoryFailed, HistoryUnusable
from taskloom.history.files import check_to_read
from taskloom.history.location import Target

__all__ = ["BUSY_SECONDS", "open_to_read", "open_to_write"]

BUSY_SECONDS = 1.0
"""For how long a write waits for another program that has locked the file."""

_APPLICATION = 0x546B4C6D  # "TkLm", in the header of the file
_OUR_TABLES = {"starts", "runs", "log_tails"}  # a file that was restored from a dump has no application id
_READ_BUSY_SECONDS = 5.0
_INCREMENTAL, _FULL, _IN_MEMORY = 2, 2, 2
# The log is cut to this after a checkpoint; retention may ask for less.
_LOG_BYTES = 4 * 1024 * 1024


def open_to_write(target: Target) -> sqlite3.Connection:
    """Open the file, which exists, for writing. Each statement is a transaction, unless BEGIN was executed.

    Raises HistoryUnusable for a database of another program, HistoryFailed for a file system that has no shared memory,
    and errors of sqlite3.
    """
    connection = _open(target.path, "rw", BUSY_SECONDS)
    try:
        _check_owner(connection, target)
        settings: list[tuple[str, Any, Any]] = [
            ("journal_mode", "WAL", "wal"),
            ("synchronous", "FULL", _FULL),
            ("journal_size_limit", _LOG_BYTES, _LOG_BYTES),
            ("temp_store", "MEMORY", _IN_MEMORY),
            ("foreign_keys", "OFF", 0),
        ]
        for name, value, expected in settings:
            _set(connection, target, name, value, expected)
        # New in SQLite 3.31, and of use only for files that others have made: not compared.
        connection.execute("PRAGMA trusted_schema = OFF").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def open_to_read(target: Target) -> Iterator[sqlite3.Connection]:
    """Open the file for reading, also while a program writes, and in a folder that cannot be written to.

    Raises HistoryAbsent, OSError and errors of sqlite3.
    """
    try:
        check_to_read(target)
    except FileNotFoundError:
        raise HistoryAbsent(target.in_quotes) from None
    try:
        connection = _open(target.path, "ro", _READ_BUSY_SECONDS)
        try:
            _one(connection, "PRAGMA schema_version")
        except BaseException:
            connection.close()
            raise
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        # To read the log, SQLite needs the file -shm. It is missing, so no program writes, and the folder does not
        # allow to make it.
        with _copy(target) as connection:
            yield connection
        return
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _copy(target: Target) -> Iterator[sqlite3.Connection]:
    """Read a copy of the file and its log, in a folder that no other user can read."""
    with tempfile.TemporaryDirectory(prefix="taskloom-history-") as folder:
        copy = f"{folder}/copy"
        for suffix in ("", "-wal"):
            try:
                shutil.copyfile(target.path + suffix, copy + suffix)
            except FileNotFoundError:
                if not suffix:
                    raise
        connection = _open(copy, "rw", _READ_BUSY_SECONDS)
        try:
            yield connection
        finally:
            connection.close()


def _open(path: str, mode: str, busy_seconds: float) -> sqlite3.Connection:
    # As a URI: `rw` does not make a missing file, which would have other rights. Every byte of a path can be escaped.
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?mode={mode}",
        uri=True,
        timeout=busy_seconds,
        isolation_level=None,
        check_same_thread=False,
    )
    # A damaged row must not hide the others.
    connection.text_factory = _any_text
    return connection


def _any_text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _check_owner(connection: sqlite3.Connection, target: Target) -> None:
    """Prepare a new file; refuse one that another program has made."""
    if _one(connection, "PRAGMA page_count") == 0:
        # Before the first page is written; later it would take a VACUUM.
        _set(connection, target, "auto_vacuum", "INCREMENTAL", _INCREMENTAL)
        _set(connection, target, "application_id", _APPLICATION, _APPLICATION)
        return
    if _one(connection, "PRAGMA application_id") == _APPLICATION:
        return
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()}
    if not tables:
        _set(connection, target, "application_id", _APPLICATION, _APPLICATION)
    elif not tables >= _OUR_TABLES:
        raise HistoryUnusable(target.in_quotes, "it is a database of another program")


def _set(connection: sqlite3.Connection, target: Target, name: str, value: Any, expected: Any) -> None:
    connection.execute(f"PRAGMA {name} = {value}").fetchall()
    found = _one(connection, f"PRAGMA {name}")
    if found != expected:
        reason = f"SQLite cannot set {name} to {value} here, it stays {found}"
        raise HistoryFailed(target.in_quotes, reason)


def _one(connection: sqlite3.Connection, statement: str) -> Any:
    """Return the first value of the first row."""
    rows = connection.execute(statement).fetchall()
    return rows[0][0] if rows else None
