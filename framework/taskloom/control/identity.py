"""The identity of a running program: a lock on its name, which says who holds it.

The lock is a record lock of fcntl(2). It ends with the process, whatever ends it, and children that it has forked do
not hold it; a lock of flock(2) and a listening socket would live on in them. Its one trap: a process loses it when it
closes any descriptor of the file. So the file is opened once, and `held_by` opens no file that this process has locked.

A lock file is `FOLDER/NAME.lock`, and its content is JSON: `pid`, `name`, `start` (the start's id), `since`, `path`
(what the program runs) and `socket`. It is removed while it is locked; a program that gets a lock checks that the file
still has its name.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from typing import Any, NamedTuple

from taskloom.sync.own_descriptor import OwnDescriptor
from taskloom.sync.record_lock import locked_by
from taskloom.text import to_json

__all__ = [
    "ELSEWHERE",
    "LOCK_SUFFIX",
    "SOCKET_SUFFIX",
    "Claim",
    "Holder",
    "NameTaken",
    "announced_in",
    "held_by",
    "in_folder",
]

LOCK_SUFFIX, SOCKET_SUFFIX = ".lock", ".sock"

ELSEWHERE = "@"
"""Between name and start's id, in the file name of a program whose socket is in a folder that few clients know."""

# More programs than these do not end between our opening and our locking of their lock file.
_ATTEMPTS = 100
_MOST_BYTES = 65_536

_FileId = tuple[int, int]

# The lock files of this process. To open one for reading, and close it, would give up the lock.
_OWN: dict[_FileId, Holder] = {}


class Holder(NamedTuple):
    """A running program, as its lock file describes it."""

    name: str
    pid: int
    start: str
    """The id of its start."""
    since: float
    """Seconds since the epoch."""
    path: str
    """The real path of the first file or folder that it runs; "" for standard input, a pipe, or a host program."""
    socket: str
    """The path of its control socket; "" if it has none."""


class NameTaken(Exception):
    """Another program holds the lock of this name. `holder`: None if it has not described itself yet."""

    def __init__(self, pid: int, holder: Holder | None) -> None:
        self.pid, self.holder = pid, holder
        super().__init__(f"pid {pid} holds the name")


class Claim:
    """The lock of one name in one folder, held from the construction until `release`.

    `folder`: a descriptor of the folder, which stays the caller's. Raises NameTaken, and OSError if there can be no
    lock file.
    """

    def __init__(self, folder: int, file: str, holder: Holder) -> None:
        self._file = file
        self._own: OwnDescriptor | None = None
        self._id: _FileId | None = None
        self._holder = holder
        self._lock(folder)

    def describe(self, holder: Holder) -> None:
        """Write who holds the lock. Raises OSError, for a full disk for instance; the lock is held all the same."""
        self._holder = holder
        if self._own is None or self._id is None:
            return
        _OWN[self._id] = holder
        content = to_json(holder._asdict()).encode()
        os.ftruncate(self._own.number, 0)
        os.pwrite(self._own.number, content, 0)

    def is_in(self, folder: int) -> bool:
        """Return whether the lock file still has its name in this folder."""
        return self._own is not None and self._own.is_ours() and _has_name(folder, self._file, self._own.number)

    def renew(self, folder: int) -> None:
        """Make the lock again, after its file was removed, or closed by a task.

        Raises NameTaken if another program was faster, and OSError.

        The lock on the removed file is given up: no program can find it.
        """
        if not self.is_in(folder):
            self.forget()
            self._lock(folder)

    def release(self, folder: int) -> None:
        """Remove the lock file and give up the lock. Idempotent; raises nothing."""
        try:
            if self.is_in(folder):
                os.unlink(self._file, dir_fd=folder)
        except OSError:
            pass  # a file system that became read-only: the lock ends all the same
        self.forget()

    def forget(self) -> None:
        """Close the lock file. In a forked child this does not end the lock of the parent process."""
        own, self._own = self._own, None
        if own is not None:
            if self._id is not None:
                _OWN.pop(self._id, None)
            own.close()

    def _lock(self, folder: int) -> None:
        for _ in range(_ATTEMPTS):
            _refuse_own(folder, self._file)
            descriptor = _open(folder, self._file)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _has_name(folder, self._file, descriptor):
                    self._own = OwnDescriptor(descriptor)
                    self._id = _id_of(os.fstat(descriptor))
                    self._try_to_describe()
                    return
            except OSError as error:
                taken = error.errno in (errno.EACCES, errno.EAGAIN)
                other = _holder_in(descriptor) if taken else None
                pid = locked_by(descriptor) if taken else 0
                os.close(descriptor)
                if not taken:
                    raise
                if pid or other:
                    raise NameTaken(pid if pid > 0 else other.pid if other else 0, other) from None
                continue  # it has ended meanwhile
            os.close(descriptor)  # its holder has removed it just before it gave up the lock
        raise OSError(errno.EAGAIN, "its lock file changes all the time")

    def _try_to_describe(self) -> None:
        try:
            self.describe(self._holder)
        except OSError:
            pass  # no space: the lock alone protects the name


def in_folder(folder: int, *, elsewhere: bool = False) -> list[Holder]:
    """Return the programs that hold a lock in this folder, by name. Raises OSError if it cannot be read.

    `elsewhere`: those instead that only announce themselves here.
    """
    files = sorted(
        file for file in os.listdir(folder) if file.endswith(LOCK_SUFFIX) and elsewhere == (ELSEWHERE in file)
    )
    return [holder for file in files if (holder := held_by(folder, file)) is not None]


def announced_in(folder: int) -> list[str]:
    """Return the lock files of programs that only announce themselves here. Raises OSError if it cannot be read."""
    return [file for file in _locks_in(folder) if ELSEWHERE in file]


def _locks_in(folder: int) -> list[str]:
    return sorted(file for file in os.listdir(folder) if file.endswith(LOCK_SUFFIX))


def held_by(folder: int, file: str) -> Holder | None:
    """Return the program that holds this lock; None if none does, or if the file is not one of this user or of root."""
    try:
        status = os.stat(file, dir_fd=folder, follow_symlinks=False)
        own = _OWN.get(_id_of(status))
        if own is not None:
            return own
        if not _is_ours(status):
            return None
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None
    try:
        pid = locked_by(descriptor)
        holder = _holder_in(descriptor) if pid else None
        if holder is None:
            return None
        # The kernel's word counts; it has none about a process of another pid namespace.
        return holder if pid < 0 else holder._replace(pid=pid)
    finally:
        os.close(descriptor)


def _refuse_own(folder: int, file: str) -> None:
    """Raise NameTaken if this process has locked the file: the kernel would grant it the same lock again."""
    try:
        own = _OWN.get(_id_of(os.stat(file, dir_fd=folder, follow_symlinks=False)))
    except OSError:
        return
    if own is not None:
        raise NameTaken(own.pid, own)


def _open(folder: int, file: str) -> int:
    """Return a descriptor of the lock file. Raises OSError; under this name there may be anything."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    descriptor = os.open(file, flags, 0o600, dir_fd=folder)
    if not _is_ours(os.fstat(descriptor)):
        os.close(descriptor)
        raise OSError(errno.EEXIST, f"{file} is not a file of this user")
    return descriptor


def _is_ours(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and (os.geteuid() == 0 or status.st_uid in (os.geteuid(), 0))


def _has_name(folder: int, file: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(file, dir_fd=folder, follow_symlinks=False), os.fstat(descriptor))
    except OSError:
        return False


def _holder_in(descriptor: int) -> Holder | None:
    """Return what the file says; None if it says nothing that makes sense, since its holder has not written it yet."""
    try:
        data: Any = json.loads(os.pread(descriptor, _MOST_BYTES, 0))
        holder = Holder(**{field: kind(data[field]) for field, kind in _FIELDS.items()})
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return holder


_FIELDS: dict[str, Any] = {"name": str, "pid": int, "start": str, "since": float, "path": str, "socket": str}


def _id_of(status: os.stat_result) -> _FileId:
    return status.st_dev, status.st_ino
