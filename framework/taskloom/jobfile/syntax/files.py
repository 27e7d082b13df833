"""From a path to bytes: regular files only, never more than the limit, and never waiting for anybody."""

from __future__ import annotations

import os
import stat

from taskloom.diagnostics import Place, Problem
from taskloom.errors import JobFileError

__all__ = ["bytes_of", "unreadable"]

_CHUNK = 1 << 20
# O_NONBLOCK because opening a FIFO waits for its writer, O_NOCTTY because opening a terminal may adopt it.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def unreadable(path: str, why: str, hint: str = "") -> JobFileError:
    """Return the error for a file of which not even a line can be shown."""
    return JobFileError([Problem(Place(path, 1, 1), f"cannot read the file: {why}", hint)])


def bytes_of(path: str, limit: int) -> bytes:
    """Return at most `limit` + 1 bytes of the regular file at `path`. Raises JobFileError alone."""
    try:
        return _bytes_of(path, limit)
    except OSError as error:
        raise unreadable(path, (error.strerror or str(error)).lower()) from error
    except ValueError as error:
        # In words of our own: each Python has others.
        raise unreadable(path, "its path holds a NUL or half a character") from error


def _bytes_of(path: str, limit: int) -> bytes:
    descriptor = os.open(path, _FLAGS)
    try:
        # What was opened is looked at; between a look at the name and an open, another file could take its place.
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
