"""Reads the bytes of a job file: regular files only, never more than the limit, and without blocking."""

from __future__ import annotations

import os
import stat

from taskloom.diagnostics import Place, Problem
from taskloom.errors import JobFileError

__all__ = ["bytes_of", "unreadable"]

_CHUNK = 1 << 20
# O_NONBLOCK because opening a FIFO blocks until there is a writer, O_NOCTTY because opening a terminal may make it the
# controlling terminal.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def unreadable(path: str, why: str, hint: str = "") -> JobFileError:
    """Return the error for a file of which no line can be shown."""
    return JobFileError([Problem(Place(path, 1, 1), f"cannot read the file: {why}", hint)])


def bytes_of(path: str, limit: int) -> bytes:
    """Return at most `limit` + 1 bytes of the regular file at `path`. Raises only JobFileError."""
    try:
        return _bytes_of(path, limit)
    except OSError as error:
        raise unreadable(path, (error.strerror or str(error)).lower()) from error
    except ValueError as error:
        # Our own words, because they differ between Python versions.
        raise unreadable(path, "its path contains a NUL or half a surrogate pair") from error


def _bytes_of(path: str, limit: int) -> bytes:
    descriptor = os.open(path, _FLAGS)
    try:
        # The open file is checked, not its name: another file could take its place between a check and the open.
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise unreadable(path, f"it is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a regular file")
        chunks: list[bytes] = []
        wanted = limit + 1
        while wanted and (chunk := os.read(descriptor, min(wanted, _CHUNK))):
            chunks.append(chunk)
            wanted -= len(chunk)
        return b"".join(chunks)
    finally:
        os.close(descriptor)
