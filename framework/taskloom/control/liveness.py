"""Asks the scheduler's thread for its state without waiting for it, and knows how late that thread is.

A server has other clients while the scheduler's thread is busy, and whether that thread is late is itself a question
that has to be answered in time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from taskloom.clock import mono
from taskloom.control.exchange import Deferred, Reply
from taskloom.scheduler.snapshots import Jobs, Snapshot, without_processes

__all__ = ["LATE_SECONDS", "Liveness"]

LATE_SECONDS = 10.0
"""A scheduler's thread that has not answered for longer than this is taken for dead."""
# This number of requests may wait in the scheduler's queue; while it does not answer, more would only fill that.
MOST_REQUESTS = 64


class _Source(Protocol):
    def request_snapshot(self, done: Callable[[Snapshot], object], jobs: Jobs = None) -> None:
        """Have `done` called on the scheduler's thread."""


class _FromSnapshot(Deferred):
    """A reply that is made by the thread that asks for it, once the snapshot is there."""

    def __init__(self, make: Callable[[Snapshot], Reply]) -> None:
        super().__init__()
        self._make = make
        self._snapshot: Snapshot | None = None

    @property
    def reply(self) -> Reply | None:
        """The reply. Read on one thread, of a server or of its long replies."""
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None and super().reply is None:
            # Neither metrics nor probes show processes, and to read those of a thousand runs takes long.
            self.complete(self._make(without_processes(snapshot)))
        return super().reply

    def receive(self, snapshot: Snapshot) -> None:
        """Take the snapshot; called on the scheduler's thread."""
        self._snapshot = snapshot
        self.on_change()


class Liveness:
    """The questions to one scheduler. Any thread may ask; nothing waits. `now` returns monotonic seconds."""

    def __init__(self, scheduler: _Source, now: Callable[[], float] = mono) -> None:
        self._scheduler = scheduler
        self._now = now
        # When each question that has no answer yet was asked; the scheduler answers them in this order.
        self._asked: deque[float] = deque()

    def late_by(self, now: float) -> float:
        """Return the seconds since the oldest question that has no answer; 0.0 if all have theirs."""
        try:
            return max(0.0, now - self._asked[0])
        except IndexError:
            return 0.0

    def request(
        self,
        make: Callable[[Snapshot], Reply],
        late: Callable[[float], Reply],
        *,
        within: float,
        jobs: Jobs = None,
    ) -> Deferred:
        """Return the reply that `make` makes of a snapshot of these jobs: of all, or of those that a function chooses.

        After `within` seconds without an answer it is `late`, which gets the seconds by which the thread is late then.
        """
        now = self._now()
        answer = _FromSnapshot(make)
        answer.complete_by(now + within, late(self.late_by(now) + within))
        if len(self._asked) < MOST_REQUESTS:
            self._asked.append(now)

            def done(snapshot: Snapshot) -> None:
                if self._asked:
                    self._asked.popleft()
                answer.receive(snapshot)

            try:
                self._scheduler.request_snapshot(done, jobs)
            except BaseException:
                self._asked.pop()
                raise
        return answer
