"""Descriptors kept for connections: jobs may have used up all others, and that is when a program is asked."""

from __future__ import annotations

import _socket
import os

__all__ = ["Reserve"]

# The verb `start` has two connections: it follows the events, and sends its request.
_COUNT = 3


class Reserve:
    """A few descriptors of /dev/null, each of which can be freed for one connection. For the control thread alone.

    Raises OSError if they cannot be opened.
    """

    def __init__(self, count: int = _COUNT) -> None:
        self._descriptors: list[int] = []
        self._source = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._count = count
        self.refill()

    def __len__(self) -> int:
        return len(self._descriptors)

    def free(self) -> bool:
        """Close one, so that the next descriptor can be made; return False if none is left."""
        while self._descriptors:
            if _close_own(self._descriptors.pop()):
                return True
        return False

    def take_back(self, sock: _socket.socket) -> None:
        """Close a connection's socket, and keep its descriptor, without a moment in which a job could take it."""
        descriptor = sock.detach()
        os.dup2(self._source, descriptor, inheritable=False)
        self._descriptors.append(descriptor)

    def renew(self) -> None:
        """Make again what a task has closed. Raises OSError if the system refuses it."""
        self._descriptors = [each for each in self._descriptors if _is_own(each)]
        if not _is_own(self._source):
            self._source = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)

    def refill(self, on_loan: int = 0) -> None:
        """Open those that are missing, beside those on loan. Raises OSError if the system still refuses them."""
        while len(self._descriptors) + on_loan < self._count:
            self._descriptors.append(os.dup(self._source))

    def close(self) -> None:
        """Close all. Idempotent."""
        while self._descriptors:
            _close_own(self._descriptors.pop())
        if self._source >= 0:
            _close_own(self._source)
            self._source = -1


def _is_own(descriptor: int) -> bool:
    """Return whether it is one of /dev/null. A task may have closed it, and opened a file of its own."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(os.devnull))  # noqa: PTH116
    except OSError:
        return False


def _close_own(descriptor: int) -> bool:
    """Close it if it is ours, and return whether it was."""
    is_own = _is_own(descriptor)
    if is_own:
        os.close(descriptor)
    return is_own
