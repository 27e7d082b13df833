"""One log file on disk: append whole lines, rotate, and keep the folder below its total.

A file is opened for each piece that is appended, so one that was moved or removed is made again, and ten thousand jobs
need no descriptors. A lock on the folder is held meanwhile: several programs may have the same folder.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

__all__ = ["FileLimits", "append", "file_name", "locked", "make_folder", "trim"]

# Small enough for a thousand jobs, and enough for a look at what a job did last.
_LEAST_FILE_BYTES = 64 * 1024
_OUTSIDE = re.compile(r"[^A-Za-z0-9_.-]|^\.")
_ROTATED = re.compile(r".+\.log\.[1-9][0-9]*", re.DOTALL)
_LOG = re.compile(r".+\.log(\.[1-9][0-9]*)?", re.DOTALL)
# File systems allow 255 bytes; the end of the name and the number of a rotated file are added.
_MOST_NAME = 200


class FileLimits(NamedTuple):
    """How large log files may become."""

    file_bytes: int = 10 * 1024 * 1024
    files: int = 5
    """For each job, with the one that is written."""
    total_bytes: int = 1024 * 1024 * 1024
    """For the folder; the oldest rotated files are removed."""

    def file_bytes_for(self, jobs: int) -> int:
        """Return the size at which a file is rotated: with many jobs a smaller one, so that the total can be kept."""
        share = self.total_bytes // (2 * max(1, jobs))
        return max(min(_LEAST_FILE_BYTES, self.file_bytes), min(self.file_bytes, share))


def file_name(job: str) -> str:
    """Return the name of the log file of a job, safe for any name: no path, no hidden file, not too long."""
    name = _OUTSIDE.sub(lambda found: "".join(f"%{byte:02x}" for byte in found[0].encode("utf-8", "replace")), job)
    return f"{name[:_MOST_NAME]}.log"


def make_folder(path: str) -> None:
    """Make a folder for its owner alone, unless it exists. Raises OSError."""
    os.makedirs(path, mode=0o700, exist_ok=True)  # noqa: PTH103 - paths are text here


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """Hold the lock of a folder; make the folder if it is missing.

    Raises BlockingIOError if another program has the lock, and OSError if the folder cannot be opened.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        descriptor = os.open(folder, flags)
    except FileNotFoundError:
        make_folder(folder)
        descriptor = os.open(folder, flags)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass  # some network file systems have no locks
        yield
        # A child that was forked meanwhile has a copy of the descriptor: closing alone would leave it locked.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def append(path: str, content: bytes, file_bytes: int, files: int) -> bool:
    """Append whole lines; rotate first if the file would become too large. Return whether it was rotated.

    All or nothing: if the disk gets full, what was written of `content` is taken back. Raises OSError.
    """
    is_rotated = False
    descriptor = _open(path)
    try:
        size = os.fstat(descriptor).st_size
        if size and size + len(content) > file_bytes:
            _rotate(path, files)
            is_rotated = True
            os.close(descriptor)
            descriptor = -1  # it may not become open again
            descriptor = _open(path)
            size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            content = b"\n" + content  # a program was killed while it wrote
        _write_whole(descriptor, content, size)
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return is_rotated


def _open(path: str) -> int:
    # Non-blocking: a pipe in the place of the file would block. No link is followed: others may write to the folder.
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    descriptor = os.open(path, flags, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def _write_whole(descriptor: int, content: bytes, size: int) -> None:
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        if len(rest) < len(content):
            os.ftruncate(descriptor, size)
        raise


def _rotate(path: str, files: int) -> None:
    if files < 2:
        os.unlink(path)  # noqa: PTH108 - paths are text here
        return
    for number in range(files - 1, 0, -1):
        before = path if number == 1 else f"{path}.{number - 1}"
        try:
            os.replace(before, f"{path}.{number}")  # noqa: PTH105 - the same
        except FileNotFoundError:
            pass


def trim(folder: str, total_bytes: int) -> None:
    """Remove the oldest rotated log files until all log files of the folder together have `total_bytes` at most."""
    total, rotated = 0, []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _LOG.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                total += status.st_size
                if _ROTATED.fullmatch(entry.name):
                    rotated.append((status.st_mtime_ns, entry.path, status.st_size))
    for _, path, size in sorted(rotated):
        if total <= total_bytes:
            return
        try:
            os.unlink(path)  # noqa: PTH108 - the same
        except FileNotFoundError:
            pass  # another program has removed it
        total -= size
