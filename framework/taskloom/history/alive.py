"""Whether the program runs that writes a history: it holds a lock as long as it lives, however it ends."""

from __future__ import annotations

import os

import sqlalchemy as sa

from taskloom.history.location import LOCK_SUFFIX, Target
from taskloom.history.locks import is_own, is_session_locked
from taskloom.sync.record_lock import locked_by

__all__ = ["is_written"]


def is_written(target: Target, connection: sa.Connection, name: str) -> bool:
    """Return whether a program holds the lock of this history now; True if that cannot be found out.

    Nothing is locked for it: a program that starts meanwhile is not refused. Raises errors of the database.
    """
    if target.kind == "sqlite":
        path = target.path + LOCK_SUFFIX
        # Not asked of the kernel: this process would lose its own lock when it closes the file.
        return is_own(path) or _is_file_locked(path)
    return is_session_locked(connection, name)


def _is_file_locked(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return locked_by(descriptor) != 0
    except OSError:
        return True
    finally:
        os.close(descriptor)
