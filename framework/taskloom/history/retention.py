"""Retention: how long the history is kept, and how much room it may take.

    pruner = Pruner(database, start, keep=KEEP_SECONDS, size=SIZE)     # again after each reconnect
    batch = pruner.batch()                   # before each transaction: what it may hold
    pruner.wrote(len(rows), bytes_)          # after it
    if mono() >= pruner.due:                 # at first at once
        pruned = pruner.step()               # one slice, between two batches

The writer thread of the recorder calls it. A slice is a short transaction, so that rows never wait long for it.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import func, select

from taskloom.clock import Clock, MonotonicClock
from taskloom.core.model import Moment
from taskloom.history.ages import Ages
from taskloom.history.discards import Discarded
from taskloom.history.folding import SINGLE_RUNS
from taskloom.history.relief import Relief
from taskloom.history.space import Store, space_of
from taskloom.history.tables import runs, starts
from taskloom.history.tidying import Folding, delete_aged
from taskloom.text import size as size_text

__all__ = ["KEEP_SECONDS", "LEAST_SIZE", "SIZE", "Batch", "Pruned", "Pruner", "Room"]

KEEP_SECONDS = 30 * 86400.0
SIZE = 256 * 1024 * 1024
LEAST_SIZE = 1024 * 1024
"""Bytes; a smaller limit would leave no room for anything but the empty tables."""

SLICE_SECONDS = 0.05
"""For how long one step goes on with a next transaction."""
PASS_SECONDS = 60.0
"""How often firings are folded, if there are any."""
AGES_SECONDS = 3600.0
PRESSED_FOLDING_SECONDS = 10.0
"""How often firings are folded when the limit is reached, before anything is deleted for it."""
PINNED_SECONDS = 1.0
"""How often it is tried again to make the write-ahead log shorter."""
REFOLD_SECONDS = 86400.0
"""How much of the start before, which may have been killed, is folded again."""
MIN_SLICE_BYTES, MAX_SLICE_BYTES = 64 * 1024.0, 1024 * 1024.0

PRESSED, RELIEVED = 15 / 16, 14 / 16
"""Parts of the room for rows: rows are deleted above the first, until no more than the second is used."""


class Room(enum.Enum):
    """How much may be written at the moment. A file that a reader pins cannot shrink, so less and less is written."""

    ALL = "all"
    RUNS = "runs"
    """No events and no log tails: they wait in the queue. All else."""
    PROMISES = "promises"
    """Only what waits for its commit: recorded instants and actions, and the start. All else waits in the queue."""
    NOTHING = "nothing"
    """No transaction at all."""


WAITING = {
    Room.RUNS: "events and the log of failed runs wait",
    Room.PROMISES: "runs and events wait",
    Room.NOTHING: "nothing is written",
}


class Batch(NamedTuple):
    """The most that one transaction of the recorder may hold."""

    room: Room
    rows: int
    bytes: int


class Pruned(NamedTuple):
    """The outcome of one step."""

    deleted: int = 0
    """Rows of any table."""
    folded: int = 0
    """Rows that another row now stands for."""
    is_done: bool = True
    """Whether nothing is left to be done before the next interval; if not, call again after the next batch."""
    trouble: str = ""
    """Why the limit cannot be kept, in words for the state `degraded`; empty if it is kept."""


class Pruner:
    """Keeps the rows of one name within their limits. Only the writer thread calls it. Make a new one to reconnect."""

    def __init__(
        self, store: Store, start: str, *, keep: float = KEEP_SECONDS, size: float = SIZE, clock: Clock | None = None
    ) -> None:
        """`keep` in seconds, `math.inf` for ever; `size` in bytes, `math.inf` for no limit. Reads; deletes nothing.

        `start` is the start of the program that writes; its row and its living runs are never deleted.
        """
        self._store, self._start, self._size, self._keep = store, start, size, keep
        self._clock = clock or MonotonicClock()
        now = self._clock.now()
        latest = self._latest()
        self._ages = Ages(keep, now.wall, now.mono, latest)
        self._space = space_of(store, store.name, size)
        self._slice_bytes = max(MIN_SLICE_BYTES, min(self._space.reserve / 8, MAX_SLICE_BYTES))
        self._folding = Folding(store, -math.inf if latest is None else latest - REFOLD_SECONDS)
        self._relief = Relief(store, start, self._slice_bytes)
        self._work: Iterator[Discarded] | None = None
        self._is_pressed = False
        self._next_pass = self._next_ages = self._next_pressed_folding = now.mono
        self.due = now.mono
        """Monotonic time at which `step` is to be called."""

    def batch(self) -> Batch:
        """Return what the next transaction may hold at most, so that no batch alone exceeds the limit."""
        return Batch(self._room(), self._space.batch_rows, int(self._slice_bytes))

    def wrote(self, rows: int, bytes_: int) -> None:
        """Call after each commit of rows, with about how many bytes they have; may set `due`. Costs two stats."""
        self._space.wrote(rows, bytes_)
        mono = self._clock.now().mono
        self._next_pass = min(self._next_pass, mono + PASS_SECONDS)
        # Not how much is in use, which costs more: rows that were deleted may have left enough room.
        is_near = self._space.remaining() < self._space.limit - self._space.high * PRESSED
        self.due = min(self.due, mono if is_near else self._next_pass)

    def step(self) -> Pruned:
        """Do one slice, or several short ones, and set `due`. Raises HistoryError; then the next call begins again."""
        now = self._clock.now()
        deleted = folded = 0
        is_done = True
        try:
            for done in self._duties(now):
                deleted += done.rows - done.folded
                folded += done.folded
                if self._space.is_log_long or self._clock.now().mono - now.mono >= SLICE_SECONDS:
                    is_done = False
                    break
            else:
                self._work = None
        except BaseException:
            self._work = None
            raise
        if self._space.is_pinned:
            self.due = now.mono + PINNED_SECONDS
        elif not is_done:
            self.due = now.mono
        else:
            self.due = min(self._next_pass, self._next_ages)
        return Pruned(deleted, folded, self.due > now.mono, self._trouble())

    def _duties(self, now: Moment) -> Iterator[Discarded]:
        """Return what is to be done, which goes on in the next step where this one ends."""
        self._space.relax(self._store)
        if not self._is_pressed and self._space.used(self._store) > self._space.high * PRESSED:
            self._is_pressed = True
            self._work = None  # the limit does not wait until an ordinary pass has ended
        if self._space.is_pinned:
            return iter(())  # to fold or delete would only make the log longer
        if self._work is None:
            self._work = self._relieve(now) if self._is_pressed else self._tidy(now)
        return self._work

    def _relieve(self, now: Moment) -> Iterator[Discarded]:
        """Make room."""
        if now.mono >= self._next_pressed_folding:
            self._next_pressed_folding = now.mono + PRESSED_FOLDING_SECONDS
            yield from self._counted(self._folding.run(now.wall, is_pressed=True))
        gone_before = self._ages.cutoff(now.wall, now.mono)
        yield from self._counted(self._relief.run(self._excess, now.wall, gone_before))
        self._is_pressed = False
        if self._relief.is_exhausted:
            self._space.stretch(self._space.used(self._store) / RELIEVED)
        while self._space.shrink(self._store):
            yield Discarded(0)

    def _tidy(self, now: Moment) -> Iterator[Discarded]:
        """Fold and delete what is due."""
        if now.mono >= self._next_pass:
            self._next_pass = math.inf
            yield from self._counted(self._folding.run(now.wall))
        if now.mono >= self._next_ages:
            self._next_ages = now.mono + AGES_SECONDS
            cutoff = self._ages.cutoff(now.wall, now.mono)
            mine = "" if self._ages.has_run_for_keep(now.mono) else self._start
            yield from self._counted(delete_aged(self._store, mine, cutoff, now.wall, self._slice_bytes))
            if self._space.is_stretched:  # less may be needed now
                self._space.stretch(self._space.used(self._store) / RELIEVED)
        while self._space.shrink(self._store):
            yield Discarded(0)

    def _counted(self, work: Iterator[Discarded]) -> Iterator[Discarded]:
        for done in work:
            self._space.freed(done.bytes)
            yield done

    def _excess(self) -> float:
        return self._space.used(self._store) - self._space.high * RELIEVED

    def _room(self) -> Room:
        remaining, reserve = self._space.remaining(), self._space.reserve
        if remaining > reserve / 2:
            return Room.ALL
        if remaining > reserve / 4:
            return Room.RUNS
        return Room.PROMISES if remaining > reserve / 8 else Room.NOTHING

    def _trouble(self) -> str:
        limit = f"the limit of {size_text(int(self._size))}" if math.isfinite(self._size) else "its limit"
        room = self._room()
        if self._space.is_pinned and room is not Room.ALL:
            return f"the history is at {limit}, and cannot become smaller while a reader holds it open: {WAITING[room]}"
        if self._space.is_stretched:
            needed = size_text(int(self._space.used(self._store)))
            return f"the history needs {needed}, more than {limit}: the last {SINGLE_RUNS} runs of each job are kept"
        return ""

    def _latest(self) -> float | None:
        """Return the latest time that an earlier start of the program has written; None if there was none."""
        name = self._store.name
        alive = select(func.max(starts.c.alive_at)).where(starts.c.name == name, starts.c.start != self._start)
        queued = select(func.max(runs.c.queued_at)).where(runs.c.name == name, runs.c.start != self._start)
        with self._store.begin() as connection:
            times = [connection.execute(each).scalar() for each in (alive, queued)]
        return max((time for time in times if time is not None), default=None)
