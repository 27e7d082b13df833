"""A file descriptor that another thread makes readable, to wake a thread that is in `poll`."""

from __future__ import annotations

import os

__all__ = ["WakeupFd"]

_WAKE = (1).to_bytes(8, "little")


class WakeupFd:
    """An eventfd if the system has them, else a pipe. `set` never blocks and is idempotent."""

    __slots__ = ("_reading", "_writing")

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self._reading = self._writing = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            return
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)

    def fileno(self) -> int:
        """Return the descriptor to poll for reading."""
        return self._reading

    def set(self) -> None:
        """Make it readable."""
        try:
            os.write(self._writing, _WAKE)
        except BlockingIOError:
            pass  # the pipe is full or the counter at its maximum: it is readable already

    def clear(self) -> None:
        """Make it unreadable until it is set again."""
        try:
            while len(os.read(self._reading, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass

    def detach(self) -> None:
        """Share it no longer with the parent process; its number stays the same. Called in a forked child."""
        fresh = WakeupFd()
        for ours, new in {(self._reading, fresh._reading), (self._writing, fresh._writing)}:
            os.dup2(new, ours, inheritable=False)
        fresh.close()

    def close(self) -> None:
        """Close the descriptors."""
        for descriptor in {self._reading, self._writing}:
            os.close(descriptor)
