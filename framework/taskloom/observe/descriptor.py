"""One descriptor that the output thread writes: what is queued for it, and what happens if it cannot be written.

A full disk, a quota or a terminal that has gone may come back: the write is tried again, with growing delays, and
meanwhile new data above the limit is counted and left out, so that no run waits for a disk. Only a pipe without a
reader, and a descriptor that is not open, never come back.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from enum import Enum

__all__ = ["Descriptor", "Writing"]

# A writable pipe takes this much in one piece (PIPE_BUF on Linux).
WRITE_BYTES = 4096
# The delays between two attempts: the first is unnoticed, the last costs nothing and is short for a person.
FIRST_RETRY_SECONDS = 0.01
LAST_RETRY_SECONDS = 1.0
_FINAL = (errno.EPIPE, errno.EBADF)
_NOT_NOW = (errno.EAGAIN, errno.EINTR)


class Writing(Enum):
    """Whether a descriptor can be written."""

    OPEN = "open"
    """The last write succeeded, or there was none."""
    FAILING = "failing"
    """The last write failed, and will be tried again."""
    ENDED = "ended"
    """No write can succeed any more; everything that comes is lost."""


class Descriptor:
    """The queue of one descriptor. All methods but `write` are called with the lock of the output."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.state = Writing.OPEN
        self.size = 0
        """The bytes that are queued, and those that are held for it elsewhere."""
        self.lost = 0
        """The bytes that could not be written."""
        self.error: OSError | None = None
        """Why the last failed write failed."""
        self.retry_at = float("-inf")
        """Before this monotonic second no write is tried."""
        self.writes = 0
        """How many writes have succeeded."""
        self._queue: deque[bytes] = deque()
        # Taken from the queue, and not yet written.
        self._piece = b""
        self._delay = FIRST_RETRY_SECONDS

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to write."""
        return bool(self._piece or self._queue)

    def add(self, content: bytes) -> None:
        """Queue the content; if nothing can be written any more, count it as lost."""
        if self.state is Writing.ENDED:
            self.lost += len(content)
        else:
            self._queue.append(content)
            self.size += len(content)

    def add_held(self, content: bytes) -> None:
        """Queue content whose size was added to `size` before."""
        self.size -= len(content)
        self.add(content)

    def take(self) -> bytes:
        """Return up to WRITE_BYTES from the front of the queue, many short lines in one piece; `wrote` forgets them."""
        while self._queue and len(self._piece) < WRITE_BYTES:
            self._piece += self._queue.popleft()  # on one line: an error that strikes before it loses nothing
        return self._piece[:WRITE_BYTES]

    def write(self, piece: bytes) -> int | OSError:
        """Write the piece. Return the number of bytes that were written, or the error."""
        try:
            return os.write(self.number, piece)
        except OSError as error:
            return error

    def wrote(self, result: int | OSError, now: float, number: int | None = None) -> None:
        """Record what `write` has returned at the monotonic second `now`. `number`: of `writes` before it, if known.

        Called again with the same number, after an error of ours, it does not count the bytes again.
        """
        if isinstance(result, int):
            self.state, self._delay, self.retry_at = Writing.OPEN, FIRST_RETRY_SECONDS, float("-inf")
            if number in (None, self.writes):  # on one line: an error that strikes before it changes nothing
                self.size, self._piece, self.writes = self.size - result, self._piece[result:], self.writes + 1
            if not self.lost:
                self.error = None
        elif result.errno in _NOT_NOW:
            # A task made the descriptor non-blocking, and it was not as writable as poll said.
            self.retry_at = now + FIRST_RETRY_SECONDS
        elif result.errno in _FINAL:
            self.error, self.state = result, Writing.ENDED
            self.give_up()
        else:
            self.error, self.state = result, Writing.FAILING
            self.retry_at = now + self._delay
            self._delay = min(2 * self._delay, LAST_RETRY_SECONDS)

    def hurry(self) -> None:
        """Try again at once, and soon after that: the program ends."""
        self.retry_at, self._delay = float("-inf"), FIRST_RETRY_SECONDS

    def give_up(self) -> None:
        """Count all that is queued as lost, and forget it."""
        self.lost += len(self._piece) + sum(map(len, self._queue))
        self.size -= len(self._piece) + sum(map(len, self._queue))
        self._piece = b""
        self._queue.clear()
