"""The process that holds the record lock of a file, fcntl(2), as the kernel knows it."""

from __future__ import annotations

import fcntl
import os
import struct

__all__ = ["locked_by"]

# struct flock of fcntl(2): type, whence, start, length, pid. The kernel has 64-bit offsets on all 64-bit machines.
_FLOCK = struct.Struct("hhqqi4x")


def locked_by(descriptor: int) -> int:
    """Return the pid that holds the lock of this file, 0 if none does, -1 if its pid cannot be known here.

    It cannot for a process of another pid namespace, or of another machine. Raises OSError.
    """
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    if kind == fcntl.F_UNLCK:
        return 0
    return int(pid) if pid > 0 else -1
