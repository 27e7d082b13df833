"""A file descriptor that another thread makes readable, to wake a thread that is in `poll`."""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["WakeupFd"]

_WAKE = (1).to_bytes(8, "little")


class WakeupFd:
    """An eventfd if the system has them, else a pipe. `set` never blocks and is idempotent.

    The descriptor is closed when nothing refers to the object any more: until then its number belongs to no other file.
    """

    __slots__ = ("_pid", "_reading", "_writing")

    def __init__(self) -> None:
        self._pid = 0
        if hasattr(os, "eventfd"):
            self._reading = self._writing = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        else:
            self._reading, self._writing = os.pipe()
            os.set_blocking(self._reading, False)
            os.set_blocking(self._writing, False)
        self._pid = os.getpid()

    def fileno(self) -> int:
        """Return the descriptor to poll for reading."""
        return self._reading

    def is_open(self) -> bool:
        """Return whether its number is that of an open file, of another one perhaps: a task may have closed ours."""
        try:
            os.fstat(self._reading)
        except OSError:
            return False
        return True

    def set(self) -> None:
        """Make it readable. Raises nothing, also if a task has closed it, as code does that becomes a daemon."""
        try:
            os.write(self._writing, _WAKE)
        except OSError:
            pass  # as a rule: the pipe is full or the counter at its maximum, so it is readable already

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
        self._pid = os.getpid()

    def forget(self) -> None:
        """Never close it: a task has, and its number may belong to another file by now."""
        self._pid = 0

    def __del__(self, close: Callable[[int], None] = os.close, getpid: Callable[[], int] = os.getpid) -> None:
        # The functions are defaults because this may run when the interpreter exits, after the module was cleared. Not
        # in a forked child: it may have closed all descriptors, and the number may belong to a file of its own.
        if self._pid == getpid():
            for descriptor in {self._reading, self._writing}:
                try:
                    close(descriptor)
                except OSError:
                    pass  # the task closed it, which it must not do
