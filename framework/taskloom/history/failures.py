"""The meaning of an error of a database, in words: SQLite's, PostgreSQL's, and the file system's."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from taskloom.history.errors import HistoryCorrupt, HistoryError, HistoryFailed
from taskloom.history.location import Target
from taskloom.text import printable, shortened

__all__ = ["explained", "explaining", "has_stuck_lock", "reason_of"]

# The low byte of an extended result code is the kind.
_KIND = 0xFF
_SQLITE = {
    sqlite3.SQLITE_BUSY: "another program keeps it locked",
    sqlite3.SQLITE_LOCKED: "another connection keeps it locked",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it cannot be written to",
    sqlite3.SQLITE_CANTOPEN: "the file, or one beside it, cannot be opened",
    sqlite3.SQLITE_IOERR: "input/output error",
    sqlite3.SQLITE_INTERRUPT: "it took too long, and was interrupted",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
    sqlite3.SQLITE_PERM: "permission denied",
    sqlite3.SQLITE_PROTOCOL: "its locks cannot be used on this file system",
}
_DAMAGED = {
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is not a database",
}
_SYSTEM = {
    errno.EACCES: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EISDIR: "it is a folder; expected a file",
    errno.ELOOP: "it is a symbolic link; expected the path that it leads to",
    errno.ENOTDIR: "a part of its path is not a folder",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ENOLCK: "the file system has no locks",
}
_LONGEST = 300


def explained(error: BaseException, target: Target) -> HistoryError:
    """Return the error as one sentence, without a password. An error that has its sentence already is returned."""
    if isinstance(error, HistoryError):
        return error
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    code = getattr(cause, "sqlite_errorcode", None)
    if isinstance(code, int) and code & _KIND in _DAMAGED:
        return HistoryCorrupt(target.in_quotes, _DAMAGED[code & _KIND])
    return HistoryFailed(target.in_quotes, target.masked(reason_of(cause)))


def reason_of(error: BaseException) -> str:
    """Return the reason of an error of a driver or of the system, in lower case where it is ours."""
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int) and code & _KIND in _SQLITE:
        name = getattr(error, "sqlite_errorname", "")
        extended = f" ({name})" if code != code & _KIND else ""
        return _SQLITE[code & _KIND] + extended
    if isinstance(error, OSError) and error.errno is not None:
        return _SYSTEM.get(error.errno) or (error.strerror or str(error)).lower()
    # Psycopg's "connection failed: " says nothing that libpq's own text does not.
    lines = [line.strip().removeprefix("connection failed: ") for line in str(error).splitlines() if line.strip()]
    return shortened(printable(lines[0] if lines else type(error).__name__), _LONGEST).rstrip(".")


def has_stuck_lock(error: HistoryError) -> bool:
    """Return whether SQLite waits in vain for a lock of its log.

    After an unlock that failed the lock is its own, and only a new connection gets it again.
    """
    cause = error.__cause__
    cause = cause.orig if isinstance(cause, DBAPIError) else cause
    return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_PROTOCOL


@contextmanager
def explaining(target: Target, *others: type[Exception]) -> Iterator[None]:
    """Turn each error of the database, of its driver and of these `others` into a HistoryError."""
    try:
        yield
    except HistoryError:
        raise
    except Exception as error:
        if not (isinstance(error, (SQLAlchemyError, sqlite3.Error, *others)) or _is_of_psycopg(error)):
            raise
        raise explained(error, target) from error


def _is_of_psycopg(error: Exception) -> bool:
    """Psycopg is imported only if it is used."""
    return any(kind.__module__.partition(".")[0] == "psycopg" for kind in type(error).__mro__)
