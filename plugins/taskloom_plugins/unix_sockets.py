"""Listens on the path of a unix socket. The socket of a program that still runs is never taken away.

The kernel does not remove the file of a unix socket when its owner is killed, and nothing about the file shows whether
there is still an owner. The steps, in this order:

1. Lock a file beside it (flock(2), released by the kernel when a process dies). Of several readers of one path, in one
   process or in many, only the one that has the lock goes on.
2. If there is a socket, connect to it. A program that does not use our lock may just be between bind and listen, so the
   socket is a leftover only if it refuses twice, a second apart, and is still the same file.
3. Bind a new socket to a name beside the path, listen, and link it to the path: a link never replaces a file, and the
   socket accepts connections from the moment it can be seen. On a file system without hard links it is renamed, in the
   way that never replaces a file either.
4. At the end remove the file if it is still our own, then the lock file, then the lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from taskloom import Context
from taskloom_plugins.addresses import Address

__all__ = ["LOCK_SUFFIX", "MAX_PATH_BYTES", "STALE_SECONDS", "listening_on_path"]

LOCK_SUFFIX = ".lock"
"""The lock file of a socket has its path with this ending."""
MAX_PATH_BYTES = 107
"""The longest path of a unix socket: the kernel's field has 108 bytes, including the NUL at the end."""
STALE_SECONDS = 1.0
"""The time between the two attempts to connect to a socket that looks like a leftover."""

# More readers than that do not end between our opening and our locking of their lock file.
_LOCK_ATTEMPTS = 100

# Errors of link(2) on a file system without hard links.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}
# Numbers of renameat2(2), which the os module does not have.
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1

_FileId = tuple[int, int, int]
"""Device, inode and the time of the last change, since a new file may get the inode number of a removed one."""


@contextlib.contextmanager
def listening_on_path(
    ctx: Context, address: Address, mode: int | None, prepare: Callable[[socket.socket], None], backlog: int
) -> Iterator[socket.socket]:
    """Yield a socket that is bound to the path of the address; remove its file at the end.

    `mode`: permissions of the file. `prepare` is called with the socket before it is bound. Raises OSError, with the
    reason as its text if the path belongs to another program, and Cancelled.
    """
    path = address.path
    _refuse_other_files(path)  # before a lock file is made beside something that is not ours
    with _locked(path), socket.socket(socket.AF_UNIX, address.kind) as sock:
        _remove_leftover(ctx, path, address.kind)
        prepare(sock)
        places = [_name_beside(path), path]
        # Another job may change the working directory before the end.
        to_remove = [_absolute(place) for place in places]
        own: _FileId | None = None
        try:
            if mode is not None:
                # Set before the file exists, so that it never has wider permissions, not even for a moment.
                os.fchmod(sock.fileno(), mode)
            sock.bind(places[0])
            own = _file_id(places[0])
            if mode is not None:
                Path(places[0]).chmod(mode)  # sets the bits that the umask removed
            if address.is_stream:
                sock.listen(backlog)
            if places[0] != path:
                _link(places[0], path)
                _remove(places[0], own)
            yield sock
        finally:
            for place in to_remove:
                _remove(place, own)


# -- the lock --------------------------------------------------------------------------------------


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold the lock of this path. Raises OSError if another reader has it, in this process or in another one."""
    lock = path + LOCK_SUFFIX
    to_remove = _absolute(lock)
    descriptor = _lock(lock)
    try:
        yield
    finally:
        try:
            # Removed while it is locked. A reader that has opened it meanwhile finds another file, or none, under the
            # name once it gets the lock, and tries again.
            status = os.fstat(descriptor)
            if not status.st_size:  # a lock file of another program may have contents
                _remove(to_remove, _identity(status))
        finally:
            # Not only closed: a forked child may share the descriptor.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


def _lock(lock: str) -> int:
    """Return the descriptor of the locked file."""
    for _ in range(_LOCK_ATTEMPTS):
        descriptor = _open_lock(lock)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.lstat(lock), os.fstat(descriptor)):
                    return descriptor
        except BlockingIOError:
            os.close(descriptor)
            break
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder has removed it just before it released the lock
    raise OSError(errno.EADDRINUSE, f"{_in_use()}: another reader holds {lock!r}")


def _open_lock(lock: str) -> int:
    # Non-blocking, and no links followed: under this name there may be anything.
    flags = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(lock, flags, 0o600)
    except OSError as error:
        if not os.path.lexists(lock):
            raise  # about the folder, in which the socket could not be created either
        raise OSError(error.errno, f"cannot open its lock file {lock!r}: {os.strerror(error.errno or 0)}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EEXIST, f"its lock file {lock!r} is not a regular file")
    return descriptor


# -- what is at the path ---------------------------------------------------------------------------


def _refuse_other_files(path: str) -> _FileId | None:
    """Return the identity of the socket file at the path, None without one. Raises OSError for another kind of file."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISSOCK(status.st_mode):
        return _identity(status)
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, "there is a folder at this path")
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.EEXIST, "there is a symbolic link at this path")
    raise OSError(errno.EEXIST, "the file at this path is not a socket")


def _remove_leftover(ctx: Context, path: str, kind: socket.SocketKind) -> None:
    """Remove the socket of a killed program. Raises OSError if a program uses it, Cancelled."""
    found = _probe(path, kind)
    if found is None:
        return
    ctx.log.info("a socket at %s refuses connections; it is replaced if it still does in %g s", path, STALE_SECONDS)
    ctx.sleep(STALE_SECONDS)
    again = _probe(path, kind)
    if again is None:
        return
    if again != found:
        raise OSError(errno.EADDRINUSE, f"{_in_use()}: another program has just created it")
    # Moved aside before it is removed: if another program has replaced it in this very moment, it gets its file back.
    aside = _name_beside(path)
    if aside == path:
        _remove(path, found)
        return
    os.rename(path, aside)  # noqa: PTH104 - the path is text everywhere here
    if _file_id(aside) != found:
        with contextlib.suppress(OSError):
            _link(aside, path)
        _remove(aside, _file_id(aside))
        raise OSError(errno.EADDRINUSE, f"{_in_use()}: another program has just created it")
    _remove(aside, found)


def _probe(path: str, kind: socket.SocketKind) -> _FileId | None:
    """Return the identity of a socket file that refuses connections; None if there is no file.

    Raises OSError if a program uses the socket, or if that cannot be determined.
    """
    found = _refuse_other_files(path)
    if found is None:
        return None
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return found
        except FileNotFoundError:
            return None
        except OSError as error:
            # EAGAIN: its backlog is full. EPERM: a datagram socket that is connected to another peer.
            more = ", by a socket of another type" if error.errno == errno.EPROTOTYPE else ""
            raise OSError(errno.EADDRINUSE, _in_use() + more) from None
    raise OSError(errno.EADDRINUSE, _in_use())


def _in_use() -> str:
    text = os.strerror(errno.EADDRINUSE)
    return text[:1].lower() + text[1:]


# -- files -----------------------------------------------------------------------------------------


def _name_beside(path: str) -> str:
    """Return a new name beside the path; the path itself if a socket could not have a longer one."""
    beside = f"{path}.{secrets.token_hex(3)}"
    return beside if len(os.fsencode(beside)) <= MAX_PATH_BYTES else path


def _absolute(path: str) -> str:
    try:
        return str(Path(path).absolute())
    except OSError:  # the working directory is gone
        return path


def _link(beside: str, path: str) -> None:
    """Give the socket its path. Raises OSError if there is a file."""
    try:
        try:
            os.link(beside, path)
        except OSError as error:
            if error.errno not in _NO_LINKS or not _renamed(beside, path):
                raise
    except FileExistsError:
        raise OSError(errno.EADDRINUSE, f"{_in_use()}: another program has just created it") from None


def _renamed(beside: str, path: str) -> bool:
    """Rename the file; return False if the system cannot do so without replacing another. Raises FileExistsError."""
    try:
        import ctypes  # here, since a small Python may not have it
    except ImportError:
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # glibc 2.28, Linux 3.15
    if rename is None:
        return False
    if not rename(_AT_FDCWD, os.fsencode(beside), _AT_FDCWD, os.fsencode(path), ctypes.c_uint(_RENAME_NOREPLACE)):
        return True
    if ctypes.get_errno() == errno.EEXIST:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    return False


def _identity(status: os.stat_result) -> _FileId:
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _file_id(path: str) -> _FileId | None:
    try:
        return _identity(os.lstat(path))
    except OSError:
        return None


def _remove(path: str, own: _FileId | None) -> None:
    """Remove the file if it is still this one: another program may have replaced it since."""
    if own is not None and _file_id(path) == own:
        with contextlib.suppress(OSError):
            Path(path).unlink()
