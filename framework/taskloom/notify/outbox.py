"""The notices that wait for one receiver, and when they are due: gathered, rate-limited, retried, bounded. Pure.

Notices are gathered into a batch. Of the same job and kind only the last one is kept and the others are counted, so a
batch has at most MOST_ENTRIES of them whatever happens. One batch is sent at a time; the next one gathers meanwhile.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum

from taskloom.jobfile.fields.notify import Kind
from taskloom.notify.troubles import Notice

__all__ = ["GATHER_SECONDS", "MOST_ENTRIES", "MOST_RETRY_AFTER", "RETRY_SECONDS", "Batch", "Outbox"]

# Jobs that fail for one cause fail together: they are one message.
GATHER_SECONDS = 0.5
MOST_ENTRIES = 20
"""About 100 KiB of JSON, if each has a traceback."""
RETRY_SECONDS = (2.0, 8.0, 32.0, 60.0)
"""Seconds between the tries of one message; after the last one it is lost. A restart of an endpoint takes less."""
MOST_RETRY_AFTER = 300.0
"""Seconds for which a receiver can put a try off. Meanwhile no other message is sent to it."""


class Batch:
    """The notices of one message."""

    def __init__(self, number: int) -> None:
        self.number = number
        """Counts the messages to this receiver."""
        self.kinds: Counter[Kind] = Counter()
        """How many notices of each kind there were."""
        # The last notice of each kind and job, in the order in which they came, and how many there were.
        self._entries: dict[tuple[Kind, str | None], tuple[Notice, int]] = {}
        self.tries = 0

    @property
    def count(self) -> int:
        """How many notices there were."""
        return self.kinds.total()

    @property
    def entries(self) -> list[tuple[Notice, int]]:
        """The notices that are kept, each with the number of those of its kind and job."""
        return list(self._entries.values())

    @property
    def left_out(self) -> int:
        """How many notices are in no entry: too many jobs had one."""
        return self.count - sum(count for _, count in self._entries.values())

    def add(self, notice: Notice) -> None:
        """Add a notice; if there are too many entries, the oldest is left out."""
        key = notice.kind, notice.job
        _, before = self._entries.pop(key, (notice, 0))
        self._entries[key] = notice, before + 1
        self.kinds[notice.kind] += 1
        if len(self._entries) > MOST_ENTRIES:
            del self._entries[next(iter(self._entries))]


class _State(Enum):
    OPEN = "open"
    CLOSING = "closing"
    """Each message is sent at once, and tried once."""


class Outbox:
    """The batch that is being sent, and the one that is gathered. Times are monotonic seconds."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._state = _State.OPEN
        self._gathered = Batch(1)
        self._gathered_since = 0.0
        self._current: Batch | None = None
        self._retry_at = 0.0
        self._next_at = float("-inf")
        self.sent = 0
        """Messages that were sent."""
        self.lost = 0
        """Notices in messages that could not be sent."""

    @property
    def queued(self) -> int:
        """How many notices wait, or are being sent."""
        return self._gathered.count + (0 if self._current is None else self._current.count)

    def add(self, notice: Notice, now: float) -> None:
        """Add a notice to the next message."""
        if not self._gathered.count:
            self._gathered_since = now
        self._gathered.add(notice)

    def close(self) -> None:
        """From now on nothing waits for a rate or a retry. Idempotent."""
        self._state = _State.CLOSING

    def due_at(self) -> float | None:
        """Return when `take` has a batch; None if nothing waits."""
        if not self.queued:
            return None
        if self._state is _State.CLOSING:
            return float("-inf")
        if self._current is not None:
            return self._retry_at
        return max(self._gathered_since + GATHER_SECONDS, self._next_at)

    def take(self, now: float) -> Batch | None:
        """Return the batch to send now, and count the try; None if none is due. Then `succeed` or `fail` follows."""
        due = self.due_at()
        if due is None or now < due:
            return None
        if self._current is None:
            self._current, self._gathered = self._gathered, Batch(self._gathered.number + 1)
            self._next_at = now + self._every
        self._current.tries += 1
        return self._current

    def succeed(self) -> None:
        """Record that the batch was sent."""
        self._current = None
        self.sent += 1

    def fail(self, now: float, *, is_final: bool, retry_after: float = 0.0) -> bool:
        """Record that the batch was not sent; return whether it is lost.

        `is_final`: another try would fail as well. `retry_after`: the seconds that the receiver wants to be left alone.
        """
        current = self._current
        if current is None:
            return False
        is_last = is_final or current.tries > len(RETRY_SECONDS) or self._state is _State.CLOSING
        if is_last:
            self.lost += current.count
            self._current = None
            self._next_at = max(self._next_at, now + min(retry_after, MOST_RETRY_AFTER))
        else:
            self._retry_at = now + max(RETRY_SECONDS[current.tries - 1], min(retry_after, MOST_RETRY_AFTER))
        return is_last
