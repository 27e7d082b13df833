"""A file descriptor that knows which file it was: code that closes all descriptors, as daemons do, closes ours, too.

After that its number may belong to a file of a task, which must be neither used nor closed.
"""

from __future__ import annotations

import os

__all__ = ["OwnDescriptor"]


class OwnDescriptor:
    """An open descriptor; `number` is -1 after `close`."""

    __slots__ = ("_file", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self._file = self._identity()

    def is_ours(self) -> bool:
        """Return whether the number still means the same file."""
        return self._file is not None and self._file == self._identity()

    def close(self) -> None:
        """Close it, if it is still ours. Idempotent; raises nothing."""
        is_ours = self.is_ours()
        number, self.number = self.number, -1
        if is_ours:
            try:
                os.close(number)
            except OSError:
                pass  # a task was faster, or the file system has an error to tell

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.fstat(self.number)
        except OSError:
            return None
        return status.st_dev, status.st_ino
