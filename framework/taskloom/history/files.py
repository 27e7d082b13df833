"""The file of a history in SQLite: who may read it, and whether it may be used at all.

Rows may be secret: the file is 0600 from its first moment on. SQLite gives the files beside it, `-wal` and `-shm`, the
mode and the owner of the file itself.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from taskloom.history.errors import HistoryUnusable
from taskloom.history.failures import reason_of
from taskloom.history.location import Target

__all__ = ["BESIDE", "LOG_FILES", "FileId", "check_to_read", "file_id", "make_file_ready", "make_folder_ready"]

LOG_FILES = ("-wal", "-shm")
BESIDE = (*LOG_FILES, "-journal")
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FileId(NamedTuple):
    """The file behind a path, whatever its name is later."""

    device: int
    inode: int


def file_id(path: str) -> FileId | None:
    """Return the file that has this name at the moment; None if none has. Raises OSError. A link is not followed."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return FileId(status.st_dev, status.st_ino)


def make_folder_ready(target: Target) -> None:
    """Check the folder; make it if it is missing and is the folder of state. Raises HistoryUnusable."""
    try:
        _check_folder(target)
    except (OSError, ValueError) as error:
        raise HistoryUnusable(target.in_quotes, reason_of(error)) from error


def make_file_ready(target: Target) -> None:
    """Make the file if it is missing, and check it. Raises HistoryUnusable.

    An existing file is not opened: its descriptor would have to be closed, and the locks that SQLite has for another
    connection of this process would end with it.
    """
    try:
        try:
            descriptor = os.open(target.path, _NEW_FILE, 0o600)
        except FileExistsError:
            pass
        else:
            try:
                os.fchmod(descriptor, 0o600)  # a umask may have taken the owner's own bits
            finally:
                os.close(descriptor)
        _check_file(target)
    except (OSError, ValueError) as error:
        raise HistoryUnusable(target.in_quotes, reason_of(error)) from error


def check_to_read(target: Target) -> None:
    """Check a file that is only read. Raises FileNotFoundError, and OSError with a sentence as its text."""
    if not stat.S_ISREG(os.stat(target.path).st_mode):  # noqa: PTH116
        raise OSError("it is not a regular file")


def _check_folder(target: Target) -> None:
    folder = os.path.dirname(target.path)  # noqa: PTH120
    where = f"folder {folder!r}"
    if target.is_in_state_folder:
        _make_folders(folder)
    try:
        status = os.stat(folder)  # noqa: PTH116
    except FileNotFoundError:
        raise OSError(f"{where} does not exist") from None
    if not stat.S_ISDIR(status.st_mode):
        raise OSError(f"{folder!r} is not a folder")
    link = os.lstat(folder)
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in (0, os.geteuid()):
        raise OSError(f"{where} is a symbolic link of uid {link.st_uid}")
    may_others_write = bool(status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX)
    if target.is_in_state_folder:
        if status.st_uid != os.geteuid():
            raise OSError(f"{where} belongs to uid {status.st_uid}")
        may_others_write = bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    if may_others_write:
        raise OSError(f"others may write to {where} (mode {stat.S_IMODE(status.st_mode):04o})")


def _make_folders(folder: str) -> None:
    """Make the folder and those above it that are missing, for the user alone."""
    missing = []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)  # noqa: PTH120
    for each in reversed(missing):
        try:
            os.mkdir(each, 0o700)  # noqa: PTH102
            os.chmod(each, 0o700)  # noqa: PTH101 - a umask may have taken the owner's own bits
        except FileExistsError:
            pass  # another program was faster
        except OSError as error:
            raise OSError(f"folder {each!r} cannot be made: {reason_of(error)}") from error


def _check_file(target: Target) -> None:
    for suffix in ("", *BESIDE):
        try:
            status = os.lstat(target.path + suffix)
        except FileNotFoundError:
            continue
        what = f"the file beside it, {os.path.basename(target.path) + suffix!r}," if suffix else "it"  # noqa: PTH119
        if stat.S_ISDIR(status.st_mode):
            raise OSError(f"{what} is a folder; expected a file")
        if stat.S_ISLNK(status.st_mode):
            raise OSError(f"{what} is a symbolic link; expected the path that it leads to")
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{what} is not a regular file")
        if status.st_uid != os.geteuid():
            raise OSError(f"{what} belongs to uid {status.st_uid}")
        if target.is_in_state_folder and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            os.chmod(target.path + suffix, 0o600)  # noqa: PTH101 - no other user can replace it in this folder
