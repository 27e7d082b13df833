"""The file of a listening unix socket: made with the right permissions, made again when it was removed.

Only the holder of the lock of its name calls this, so a socket that is there already was left by a killed program.
"""

from __future__ import annotations

import _socket
import errno
import os
import socket
import stat

from taskloom.diagnostics import quoted
from taskloom.sync.own_socket import OwnSocket

__all__ = ["MAX_PATH_BYTES", "SocketFile"]

MAX_PATH_BYTES = 107
"""The longest path of a unix socket: the kernel's field has 108 bytes, with the NUL at the end."""
# As many clients as are served at once may wait.
_BACKLOG = 64
_MODE = 0o600

_FileId = tuple[int, int, int]


class SocketFile:
    """A listening socket with its file in a folder. Raises OSError, with a sentence, if it cannot be made.

    `folder`: a descriptor of the folder; `path`: the whole path of the file.
    """

    def __init__(self, folder: int, path: str) -> None:
        self._path = path
        self._file = os.path.basename(path)  # noqa: PTH119
        self._id: _FileId | None = None
        self._own = OwnSocket(self._listen(folder))

    @property
    def listener(self) -> _socket.socket:
        """The listening socket."""
        return self._own.socket

    @listener.setter
    def listener(self, listener: _socket.socket) -> None:
        self._own.socket = listener

    @property
    def is_listening(self) -> bool:
        """Whether the socket is open: code that closes all descriptors closes this one, too."""
        return self._own.is_ours()

    def is_in(self, folder: int) -> bool:
        """Return whether the file is still there, and still ours."""
        return self._id is not None and _id_of(folder, self._file) == self._id

    def renew(self, folder: int, path: str) -> None:
        """Listen on a new socket with a new file, and close the old one. Raises OSError, and then keeps it."""
        self._path = path
        before, self._own = self._own, OwnSocket(self._listen(folder))
        before.close()

    def remove(self, folder: int) -> None:
        """Remove the file if it is ours, and stop listening. Idempotent; raises nothing."""
        try:
            if self.is_in(folder):
                os.unlink(self._file, dir_fd=folder)
        except OSError:
            pass  # a file system that became read-only: the next start removes it
        self._id = None
        self.forget()

    def forget(self) -> None:
        """Close the socket. In a forked child the one of the parent process goes on listening."""
        self._own.close()

    def _listen(self, folder: int) -> _socket.socket:
        self._remove_leftover(folder)
        listener = _socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)  # not of the module, which a job may have patched
        try:
            listener.setblocking(False)
            # Before the file exists, so that it never has wider permissions. A umask would count for all threads.
            os.fchmod(listener.fileno(), _MODE)
            listener.bind(self._address(folder))
            self._id = _id_of(folder, self._file)
            if self._id is None:
                raise OSError(errno.ESTALE, f"the folder of {quoted(self._path)} was replaced")
            self._widen(folder)
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
        return listener

    def _address(self, folder: int) -> str:
        """Return the path to bind to: the real one if it is short enough, since tools show it."""
        if len(os.fsencode(self._path)) <= MAX_PATH_BYTES:
            return self._path
        short = f"/proc/self/fd/{folder}/{self._file}"
        if len(os.fsencode(short)) > MAX_PATH_BYTES:
            raise OSError(errno.ENAMETOOLONG, f"the file name {quoted(self._file)} is too long; choose a shorter one")
        if not os.path.isdir(os.path.dirname(short)):  # noqa: PTH112, PTH120
            most = f"its path has more than {MAX_PATH_BYTES} bytes, and /proc is not mounted"
            raise OSError(errno.ENAMETOOLONG, f"{most}; choose a shorter one with --socket")
        return short

    def _widen(self, folder: int) -> None:
        """Set the permissions that the umask has removed."""
        if stat.S_IMODE(os.stat(self._file, dir_fd=folder, follow_symlinks=False).st_mode) != _MODE:
            os.chmod(self._file, _MODE, dir_fd=folder)

    def _remove_leftover(self, folder: int) -> None:
        try:
            status = os.stat(self._file, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(status.st_mode):
            raise OSError(errno.EEXIST, f"there is a file at {quoted(self._path)} that is not a socket")
        if status.st_uid != os.geteuid():
            raise OSError(errno.EEXIST, f"the socket at {quoted(self._path)} belongs to uid {status.st_uid}")
        os.unlink(self._file, dir_fd=folder)


def _id_of(folder: int, file: str) -> _FileId | None:
    try:
        status = os.stat(file, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
    # With the time of its creation, as a new file may get the inode number of a removed one. ctime would change with
    # the permissions; mtime of a socket file never changes.
    return status.st_dev, status.st_ino, status.st_mtime_ns
