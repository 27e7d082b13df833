"""The sources of the bytes of a job file: a regular file, or a stream, which can be read only once.

Streams are standard input (`-`), other open descriptors (`<(...)`, `/dev/stdin`, `/dev/fd/N`), named pipes and
`/dev/null`. They are read to their end. Directories, sockets and other devices are refused: reading a device may have
effects of its own.
"""

from __future__ import annotations

import errno
import os
import re
import select
import stat

from taskloom.jobfile.syntax.encoding import unreadable
from taskloom.jobfile.syntax.near_file import near_file
from taskloom.text import suggest

__all__ = ["bytes_of", "identity_of", "is_stream", "shown_path", "stream_bytes"]

_STDIN = "-"
_CHUNK = 1 << 20
# O_NONBLOCK because opening a pipe blocks until there is a writer, O_NOCTTY because opening a terminal may make it the
# controlling terminal.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_DESCRIPTOR = re.compile(r"/dev/fd/([0-9]{1,9})|/proc/self/fd/([0-9]{1,9})", re.ASCII)
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


def shown_path(path: str) -> str:
    """Return the path as messages show it: as it was given, standard input as `<stdin>`."""
    return "<stdin>" if path == _STDIN else path


def is_stream(path: str) -> bool:
    """Return whether a path names something that can be read only once. False if there is nothing with this name."""
    if path == _STDIN or _descriptor_of(path) is not None:
        return True
    try:
        found = os.stat(path)  # noqa: PTH116 - the path as it was typed
    except (OSError, ValueError):
        return False
    is_null = stat.S_ISCHR(found.st_mode) and found.st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116
    return is_null or stat.S_ISFIFO(found.st_mode)


def identity_of(path: str) -> str:
    """Return which file a path names, so that a file that is given twice is read once."""
    descriptor = _descriptor_of(path)
    try:
        if descriptor is not None:
            found = os.fstat(descriptor)
            return f"{found.st_dev}:{found.st_ino}"
        return os.path.realpath(path)
    except OSError:  # not open, or the working directory has been deleted
        return path


def _descriptor_of(path: str) -> int | None:
    """Return the number of the open descriptor that a path names; None for all other files.

    The descriptor itself is read. Opening it again by its name would be wrong for a pipe whose writer has ended: it
    would look like a pipe that waits for its first writer. A regular file is opened by its name all the same, and so
    read from its beginning.
    """
    if path == _STDIN:
        return 0
    found = _DESCRIPTOR.fullmatch(path)
    number = int(found[1] or found[2]) if found else _STANDARD.get(path)
    if number is None:
        return None
    try:
        mode = os.fstat(number).st_mode
    except OSError:
        return None
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else number


def bytes_of(path: str, limit: int) -> bytes:
    """Return at most `limit` + 1 bytes of the regular file at `path`. Never blocks. Raises only JobFileError."""
    try:
        descriptor = os.open(path, _FLAGS)
        try:
            # The open file is checked, not its name: another file could take its place between a check and the open.
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                kind = _KINDS.get(stat.S_IFMT(mode), "something else")
                raise unreadable(path, f"it is {kind}, not a regular file")
            return _read(descriptor, limit)
        finally:
            os.close(descriptor)
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        # In the message and not as a hint: the text of a JobFileError has no hints.
        near = suggest(near_file(path), before="; ") if is_missing else ""
        raise unreadable(path, _reason(error) + near) from error
    except ValueError as error:
        # Our own words, because they differ between Python versions.
        raise unreadable(path, "its path contains a NUL or half a surrogate pair") from error


def stream_bytes(path: str, limit: int) -> bytes:
    """Return the bytes of a stream up to its end, at most `limit` + 1. Raises JobFileError if it cannot be read.

    Waits for the end of the stream, and for the first writer of a named pipe. A signal handler that raises ends the
    wait. The descriptor of standard input stays open.
    """
    number = _descriptor_of(path)
    try:
        descriptor = os.open(path, _FLAGS) if number is None else os.dup(number)
        try:
            return _read(descriptor, limit, is_stream=True)
        finally:
            os.close(descriptor)
    except OSError as error:
        is_closed = path == _STDIN and error.errno == errno.EBADF
        raise unreadable(shown_path(path), "it is closed" if is_closed else _reason(error)) from error


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _read(descriptor: int, limit: int, *, is_stream: bool = False) -> bytes:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    chunks: list[bytes] = []
    wanted = limit + 1
    while wanted:
        if is_stream:
            # Returns when there is data or when the last writer has gone. Without it, a named pipe that has no writer
            # yet would look like an empty one.
            poller.poll()
        try:
            chunk = os.read(descriptor, min(wanted, _CHUNK))
        except BlockingIOError:  # another reader was faster
            continue
        if not chunk:
            break
        chunks.append(chunk)
        wanted -= len(chunk)
    return b"".join(chunks)
