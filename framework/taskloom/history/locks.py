"""The lock of a history: one program writes it at a time.

SQLite: a record lock, fcntl(2), of the file PATH.lock, which is kept. It ends with the process, whatever ends it, and
children that it has forked do not hold it. Its one trap: a process loses it when it closes any descriptor of the file;
so the file is opened once, and a second lock in this process is refused by a table.

PostgreSQL: an advisory lock of the session, whose key is a hash of the name. It ends with the connection.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat

from sqlalchemy import Connection, text

from taskloom.history.errors import HistoryFailed, HistoryHeld, HistoryUnusable, Holder
from taskloom.history.failures import reason_of
from taskloom.history.files import FileId, file_id
from taskloom.history.location import LOCK_SUFFIX, Target
from taskloom.sync.own_descriptor import OwnDescriptor
from taskloom.sync.record_lock import locked_by

__all__ = ["FileLock", "has_session_lock", "is_own", "is_session_locked", "lock_schema", "lock_session", "session_name"]

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_MODE = 0o600
# More programs than these do not end between our attempt to lock and our question who holds the lock.
_ATTEMPTS = 20

# The locks of this process, by the path of the lock file and by the file. In a forked child they are the parent's.
_OWN: dict[str | FileId, FileLock] = {}

# PostgreSQL keeps 63 bytes of the application_name: "taskloom ", the name, a blank and a pid.
_LONGEST_NAME = 44
_SESSION = re.compile(r"taskloom \S+ (\d+)")


class FileLock:
    """The lock of one file of SQLite, held from the construction until `release`.

    Raises HistoryHeld, HistoryUnusable for a lock file that the user has to remove, and HistoryFailed.
    """

    was_there = False
    """Whether the lock file existed before: then the database is one of ours."""

    def __init__(self, target: Target, name: str) -> None:
        self.pid = os.getpid()
        self._path = target.path + LOCK_SUFFIX
        self._shown = target.in_quotes
        self._own: OwnDescriptor | None = None
        self._file: FileId | None = None
        if not self._reserve(self._path):
            raise HistoryHeld(name, Holder(self.pid))
        try:
            self._lock(name)
        except OSError as error:
            self.release()
            raise HistoryFailed(self._shown, f"its lock file: {reason_of(error)}") from error
        except BaseException:
            self.release()
            raise

    def is_held(self) -> bool:
        """Return whether the lock file has its name still: another program can lock a new one. Raises OSError."""
        return self._own is not None and self._own.is_ours() and file_id(self._path) == self._file

    def release(self) -> None:
        """Give up the lock. Idempotent; raises nothing. In a forked child this does not end the parent's lock."""
        own, self._own = self._own, None
        for key in (self._path, self._file):
            if key is not None and _OWN.get(key) is self:
                del _OWN[key]
        if own is not None:
            own.close()

    def discard(self) -> None:
        """Remove the lock file if it was made for this lock, which is given up. Raises nothing."""
        try:
            if not self.was_there and self.is_held():
                os.unlink(self._path)  # noqa: PTH108
        except OSError:
            pass
        self.release()

    def _reserve(self, key: str | FileId) -> bool:
        """Return whether no other lock of this process has this key; the kernel would grant it a second time."""
        other = _OWN.setdefault(key, self)
        if other is not self and other.pid != self.pid:
            _OWN[key] = other = self  # this process was forked from the one that holds it
        return other is self

    def _lock(self, name: str) -> None:
        for _ in range(_ATTEMPTS):
            known = file_id(self._path)
            if known is not None and not self._reserve(known):  # under another path
                raise HistoryHeld(name, Holder(self.pid))
            self._file, self.was_there = known, self.was_there or known is not None
            descriptor = os.open(self._path, _FLAGS, _MODE)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                    raise HistoryUnusable(self._shown, f"{self._path!r} is not a regular file of this user")
                if stat.S_IMODE(status.st_mode) != _MODE:
                    os.fchmod(descriptor, _MODE)  # an unusual umask
                holder = _lock_or_find_holder(descriptor)
                found = FileId(status.st_dev, status.st_ino)
                if holder is None and file_id(self._path) == found and self._reserve(found):
                    self._file, self._own = found, OwnDescriptor(descriptor)
                    descriptor = -1
                    return
            finally:
                if descriptor >= 0:
                    os.close(descriptor)
            if holder is not None and holder.pid >= 0:
                raise HistoryHeld(name, holder)
            self._forget_file()  # it was replaced just now, or its holder has ended
        raise OSError(errno.EAGAIN, "it changes all the time")

    def _forget_file(self) -> None:
        if self._file is not None and _OWN.get(self._file) is self:
            del _OWN[self._file]
        self._file = None


def is_own(path: str) -> bool:
    """Return whether this process holds the lock of this lock file, under whichever path. Raises OSError."""
    found = file_id(path)
    locks = (_OWN.get(path), None if found is None else _OWN.get(found))
    return any(lock is not None and lock.pid == os.getpid() for lock in locks)


_ENDED = Holder(-1)


def _lock_or_find_holder(descriptor: int) -> Holder | None:
    """Lock the file; if another process holds the lock, return that, or _ENDED if it has ended by now."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        pid = locked_by(descriptor)
        return _ENDED if pid == 0 else Holder(max(pid, 0))
    return None


def session_name(name: str) -> str:
    """Return the `application_name` of a session that writes the history of this name."""
    return f"taskloom {name[:_LONGEST_NAME]} {os.getpid()}"


def lock_session(connection: Connection, name: str) -> Holder | None:
    """Take the lock of this name for the session. Return None, or the session that holds it."""
    key = _key(f"history of {name}")
    # The second attempt is for a session that ends between the first one and the question who holds the lock.
    for _ in range(2):
        if connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar():
            return None
        row = connection.execute(_HOLDER, _halves(key)).first()
        if row is not None:
            found = _SESSION.fullmatch(row.application_name or "")
            return Holder(int(found[1]) if found else 0, _machine(row.address), f"session {row.pid} of PostgreSQL")
    return Holder(0)


def has_session_lock(connection: Connection, name: str) -> bool:
    """Return whether the server session behind the connection holds the lock of this name.

    It does not behind a pooler that gives each transaction another session.
    """
    return connection.execute(_OWN_LOCK, _halves(_key(f"history of {name}"))).first() is not None


def _machine(address: str | None) -> str:
    """Return the address of another machine; "" if the server is on this one, or does not say."""
    return "" if address is None or address.startswith("127.") or address == "::1" else address


def is_session_locked(connection: Connection, name: str) -> bool:
    """Return whether any session holds the lock of this name."""
    return connection.execute(_HOLDER, _halves(_key(f"history of {name}"))).first() is not None


def lock_schema(connection: Connection) -> None:
    """Let one program at a time make or change the tables. Held until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _key("schema")})


# `objsubid = 1`: a key of 64 bits. The name and the address of a session are told to other users, too.
_HOLDER = text("""
    SELECT l.pid AS pid, a.application_name AS application_name, host(a.client_addr) AS address
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.classid = :high AND l.objid = :low AND l.objsubid = 1 AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")
_OWN_LOCK = text("""
    SELECT 1 FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.classid = :high AND l.objid = :low AND l.objsubid = 1 AND l.granted
    AND l.pid = pg_backend_pid()
""")


def _key(subject: str) -> int:
    """Return a key of 64 bits with a sign, as PostgreSQL takes it."""
    return int.from_bytes(hashlib.sha256(f"taskloom {subject}".encode()).digest()[:8], signed=True)


def _halves(key: int) -> dict[str, int]:
    unsigned = key & 0xFFFF_FFFF_FFFF_FFFF
    return {"high": unsigned >> 32, "low": unsigned & 0xFFFF_FFFF}
