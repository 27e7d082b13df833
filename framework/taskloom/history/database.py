"""The database of a history: one connection, over which one thread writes; and connections that only read.

    database = connect(target, name)          # locked, checked, and brought up to date
    with database.begin() as connection:      # one transaction
        upsert(connection, runs, rows)
    database.close()

All errors are HistoryError, with a sentence for the user. After one the transaction is rolled back. If `is_usable` is
False then, close the database and connect again; else the next `begin` may work.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

from taskloom.clock import wall
from taskloom.history.errors import (
    HistoryAbsent,
    HistoryCorrupt,
    HistoryError,
    HistoryFailed,
    HistoryHeld,
    HistoryUnusable,
    PackageMissing,
)
from taskloom.history.location import Target

try:
    from sqlalchemy import Connection, NullPool, create_engine, text
except ImportError as error:
    raise PackageMissing("sqlalchemy", "history", "" if error.name == "sqlalchemy" else str(error)) from error

from taskloom.history.failures import explaining, has_stuck_lock
from taskloom.history.files import BESIDE, LOG_FILES, FileId, file_id, make_file_ready, make_folder_ready
from taskloom.history.locks import FileLock, has_session_lock, lock_session, session_name
from taskloom.history.postgresql_session import open_session
from taskloom.history.schema import bring_up_to_date, check_revision
from taskloom.history.sqlite_file import open_to_read, open_to_write

__all__ = ["Database", "connect", "read_only"]

# In others of PostgreSQL some texts cannot be stored. SQL_ASCII is any bytes.
_ENCODINGS = ("UTF8", "SQL_ASCII")

# A forked child must never close these: SQLite would remove the parent's log with the last connection that it knows.
_LEFT_BEHIND: list[Any] = []


class Database:
    """A history that this process writes. One thread at a time may use it; `abort` is for any thread.

    `moved`: where a damaged file was moved to when this one was made in its place; "" if there was none.
    """

    def __init__(self, target: Target, name: str, driver: Any, lock: FileLock | None, moved: str = "") -> None:
        self.target, self.name, self.moved = target, name, moved
        self._pid = os.getpid()
        self._driver = driver
        self._lock = lock
        self._file: FileId | None = None if lock is None else file_id(target.path)
        self._beside: dict[str, FileId] = {}
        self._has_stuck_lock = False
        # Its own descriptor of the same socket, which is not given to another file while it is used.
        self._wire = None if lock else socket.socket(fileno=os.dup(driver.fileno()))
        try:
            self._connection = _wrapped(driver, target)
        except BaseException:
            self._close_driver()
            raise

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Give the connection for one transaction, which is committed at the end. Raises HistoryError.

        Errors that are not the database's pass through, and end the transaction as well.
        """
        if not self.is_usable:
            raise HistoryFailed(self.target.in_quotes, "the connection is closed")
        try:
            with explaining(self.target), self._connection.begin():
                if self._lock is not None:
                    # Not when the first row is written: then a reader's lock could no longer be waited for.
                    self._connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield self._connection
        except HistoryError as error:
            self._has_stuck_lock = self._has_stuck_lock or has_stuck_lock(error)
            raise

    @contextmanager
    def outside(self) -> Iterator[Any]:
        """Give the driver's connection, in no transaction: for PRAGMAs of SQLite. Raises HistoryError."""
        if not self.is_usable:
            raise HistoryFailed(self.target.in_quotes, "the connection is closed")
        with explaining(self.target):
            yield self._driver

    @property
    def is_usable(self) -> bool:
        """Return whether the connection is alive, as far as is known without asking the server."""
        if self._connection.closed or self._connection.invalidated or self._has_stuck_lock:
            return False
        return self._lock is not None or not self._driver.closed

    def is_lost(self) -> bool:
        """Return whether one of the files was deleted or replaced, or the server has ended the lock.

        Raises HistoryError.
        """
        if self._lock is None:
            with self.begin() as connection:
                return not has_session_lock(connection, self.name)
        with explaining(self.target, OSError):
            is_replaced = self._file is None or file_id(self.target.path) != self._file
            return is_replaced or not self._lock.is_held() or self._has_lost_log()

    def _has_lost_log(self) -> bool:
        """Return whether the log or its index is not the one that is open: others would read and lock another one.

        To close the connection copies the log into the file, also if it has no name any more. Raises OSError.
        """
        for suffix in LOG_FILES:
            found = file_id(self.target.path + suffix)
            if found is not None and self._beside.setdefault(suffix, found) == found:
                continue
            if found is not None or suffix in self._beside:
                return True
        return False

    def move_aside(self) -> str:
        """Close a damaged file and rename it; return its new path. Connect again for a new one. Raises HistoryError."""
        if self._lock is None:
            raise HistoryUnusable(self.target.in_quotes, "a database of a server cannot be moved")
        self.close_connection()
        try:
            return _move_aside(self.target)
        finally:
            self.close()

    def abort(self) -> None:
        """Make a command that another thread waits for fail soon. Raises nothing."""
        try:
            if self._wire is not None:
                self._wire.shutdown(socket.SHUT_RDWR)
            else:
                self._driver.interrupt()
        except Exception:  # noqa: BLE001 - closed meanwhile, which is as good; the driver has errors of its own
            pass

    def close(self) -> None:
        """Close the connection, and give up the lock. Idempotent; raises nothing."""
        if os.getpid() != self._pid:
            self.leave_behind()
            return
        self.close_connection()
        if self._lock is not None:
            self._lock.release()

    def leave_behind(self) -> None:
        """Keep all as it is for the parent. Called in a forked child, where nothing else may be called."""
        _keep_for_ever(self._driver, self._connection)
        if self._wire is not None:
            self._wire.close()  # one of several descriptors of this connection: it stays open

    def close_connection(self) -> None:
        """Close the connection, and keep the lock of a file. Idempotent; raises nothing."""
        try:
            self._connection.close()
        except Exception:  # noqa: BLE001 - a server that is gone, a disk that is full: what was committed is safe
            pass
        self._close_driver()

    def _close_driver(self) -> None:
        try:
            self._driver.close()
        except Exception:  # noqa: BLE001 - as above
            pass
        if self._wire is not None:
            self._wire.close()


def connect(target: Target, name: str) -> Database:
    """Open the history of this name for writing, in less than about 10 s.

    Takes the lock of the name, makes the file or the tables, and brings older tables up to date.

    Raises HistoryHeld if another program writes it, HistoryTooNew, HistoryCorrupt, PackageMissing, HistoryUnusable for
    what the user has to change, and HistoryFailed for what may work later. All are HistoryError.
    """
    with explaining(target, OSError):
        return _connect_file(target, name) if target.kind == "sqlite" else _connect_server(target, name)


@contextmanager
def read_only(target: Target) -> Iterator[Connection]:
    """Give a connection that can only read; it works while a program writes, and after one was killed.

    It is in one transaction: all that is read belongs together. Raises HistoryAbsent if nothing was written yet,
    HistoryTooNew, HistoryOutdated, and other HistoryErrors.
    """
    with ExitStack() as closing:
        with explaining(target, OSError):
            connection = closing.enter_context(_reading(target))
            if not check_revision(connection, target):
                raise HistoryAbsent(target.in_quotes)
        with explaining(target):
            yield connection


@contextmanager
def _reading(target: Target) -> Iterator[Connection]:
    with ExitStack() as closing:
        if target.kind == "sqlite":
            driver: Any = closing.enter_context(open_to_read(target))
        else:
            driver = open_session(target, f"taskloom history {os.getpid()}", is_read_only=True)
            closing.callback(driver.close)
        connection = closing.enter_context(_wrapped(driver, target))
        closing.enter_context(connection.begin())
        if target.kind == "sqlite":
            connection.exec_driver_sql("BEGIN")
        yield connection


def _connect_file(target: Target, name: str) -> Database:
    make_folder_ready(target)
    lock = FileLock(target, name)
    moved = ""
    try:
        try:
            return _open_file(target, name, lock, "")
        except HistoryCorrupt as error:
            # A file that was never ours is not moved: the user may have named a wrong one.
            if not (target.is_in_state_folder or lock.was_there):
                raise HistoryUnusable(target.in_quotes, error.reason) from error
            moved = _move_aside(target)
        return _open_file(target, name, lock, moved)
    except HistoryUnusable:
        lock.discard()
        raise
    except BaseException:
        lock.release()
        raise


def _open_file(target: Target, name: str, lock: FileLock, moved: str) -> Database:
    make_file_ready(target)
    with explaining(target):
        driver = open_to_write(target)
    return _made_ready(Database(target, name, driver, lock, moved))


def _connect_server(target: Target, name: str) -> Database:
    database = Database(target, name, open_session(target, session_name(name)), None)
    try:
        with database.begin() as connection:
            encoding = connection.execute(text("SHOW server_encoding")).scalar()
            if encoding not in _ENCODINGS:
                raise HistoryUnusable(target.in_quotes, f"its encoding is {encoding}; expected UTF8")
            holder = lock_session(connection, name)
            if holder is not None:
                raise HistoryHeld(name, holder)
        if database.is_lost():
            reason = "the lock of a session does not last; is there a pooler that gives each transaction another one?"
            raise HistoryUnusable(target.in_quotes, reason)
    except BaseException:
        database.close()
        raise
    return _made_ready(database)


def _made_ready(database: Database) -> Database:
    try:
        with database.begin() as connection:
            bring_up_to_date(connection, database.target)
    except BaseException:
        database.close_connection()
        raise
    return database


def _move_aside(target: Target) -> str:
    """Rename the file and those beside it; return the new path."""
    time = datetime.fromtimestamp(wall(), UTC).strftime("%Y%m%dT%H%M%SZ")
    new = first = f"{target.path}.corrupt-{time}"
    number = 1
    while os.path.lexists(new):
        number += 1
        new = f"{first}-{number}"
    with explaining(target, OSError):
        # The log first: with another file of the same name it would be applied to that.
        for suffix in (*BESIDE, ""):
            try:
                os.rename(target.path + suffix, new + suffix)  # noqa: PTH104
            except FileNotFoundError:
                pass
    return new


def _wrapped(driver: Any, target: Target) -> Connection:
    """Return SQLAlchemy's connection over this one of the driver, and over no other."""
    unused = [driver]

    def give() -> Any:
        if not unused:  # SQLAlchemy would connect again by itself, without the lock
            raise HistoryFailed(target.in_quotes, "the connection was lost")
        return unused.pop()

    if target.kind == "sqlite":
        engine = create_engine("sqlite://", creator=give, poolclass=NullPool)
    else:
        engine = create_engine("postgresql+psycopg://", creator=give, poolclass=NullPool, use_native_hstore=False)
    return engine.connect()


def _keep_for_ever(*objects: object) -> None:
    """Let the objects outlive the interpreter: their destructors must not run in this process."""
    try:
        import ctypes

        for each in objects:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))
    except (ImportError, OSError, AttributeError):
        pass  # a Python without libffi: they live until the interpreter ends
    _LEFT_BEHIND.extend(objects)
