"""Notices changes in a folder without waking up while there are none: inotify(7), which Python does not have.

A removed socket file has to be made again. Without inotify one would have to look every few seconds, and a program that
is idle would never let its machine sleep.
"""

from __future__ import annotations

import ctypes
import os

from taskloom.sync.own_descriptor import OwnDescriptor

__all__ = ["FolderWatch"]

# From <sys/inotify.h>: closed after writing, moved from, moved to, deleted, the folder itself deleted or moved. The
# first one is there for a task that closes all descriptors. Without that of our lock file, no client finds the program.
_CHANGES = 0x08 | 0x40 | 0x80 | 0x200 | 0x400 | 0x800
_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK


class FolderWatch:
    """Readable after a file of the folder was removed, moved or replaced. Raises OSError if the system has none left.

    `folder`: a descriptor of the folder.
    """

    def __init__(self, folder: int) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        try:
            init, add = library.inotify_init1, library.inotify_add_watch
        except AttributeError:
            raise OSError("the C library has no inotify") from None
        descriptor = init(_CLOEXEC_NONBLOCK)
        if descriptor < 0 or add(descriptor, f"/proc/self/fd/{folder}".encode(), _CHANGES) < 0:
            number = ctypes.get_errno()
            if descriptor >= 0:
                os.close(descriptor)
            raise OSError(number, os.strerror(number))
        self._own = OwnDescriptor(descriptor)

    def fileno(self) -> int:
        """Return the descriptor to poll for reading."""
        return self._own.number

    @property
    def is_open(self) -> bool:
        """Whether it still watches: code that closes all descriptors closes this one, too."""
        return self._own.is_ours()

    def clear(self) -> None:
        """Make it unreadable until the next change."""
        try:
            while self.is_open and len(os.read(self._own.number, 65_536)) > 32_768:
                pass
        except OSError:
            pass  # nothing to read

    def close(self) -> None:
        """Watch no longer. Idempotent."""
        self._own.close()
