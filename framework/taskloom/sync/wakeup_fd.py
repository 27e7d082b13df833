"""A descriptor that becomes readable when rung: how a thread in `poll` is told something."""

from __future__ import annotations

import os

__all__ = ["WakeupFd"]

_WAKE = (1).to_bytes(8, "little")


class WakeupFd:
    """An eventfd where there is one, else a pipe. Ringing never blocks; rung twice is rung once."""

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
            pass  # so many rings that nobody has heard yet: it is readable

    def clear(self) -> None:
        """Make it unreadable until it is rung again."""
        try:
            while len(os.read(self._reading, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Give the descriptors back."""
        for descriptor in {self._reading, self._writing}:
            os.close(descriptor)
