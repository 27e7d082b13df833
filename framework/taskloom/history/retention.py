"""Retention: how long the history is kept, and how much room it may take.

    pruner = Pruner(database, start, keep=KEEP_SECONDS, size=SIZE)     # anew after each reconnect
    batch = pruner.batch()                   # before each transaction: what it may hold
    pruner.wrote(len(rows), bytes_)          # after it
    if mono() >= pruner.due:                 # at first at once
        pruned = pruner.step()               # one slice, between two batches

The writer thread of the recorder calls it. A slice is a short transaction, so that rows never wait long for it.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from taskloom.history.space import Store

__all__ = ["KEEP_SECONDS", "LEAST_SIZE", "SIZE", "Batch", "Pruned", "Pruner", "Room"]

KEEP_SECONDS = 30 * 86400.0
SIZE = 256 * 1024 * 1024
LEAST_SIZE = 1024 * 1024
"""Bytes; a smaller limit would leave no room for anything but the empty tables."""


class Room(enum.Enum):
    """How much may be written at the moment. A file that a reader pins cannot shrink, so less and less is written."""

    ALL = "all"
    RUNS = "runs"
    """No events and no log tails: they wait in the queue. All else."""
    PROMISES = "promises"
    """Only what waits for its commit: recorded instants and actions, and the start. All else waits in the queue."""
    NOTHING = "nothing"
    """No transaction at all."""


class Batch(NamedTuple):
    """What one transaction of the recorder may hold at most."""

    room: Room
    rows: int
    bytes: int


class Pruned(NamedTuple):
    """What one step has done."""

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

    def __init__(self, store: Store, start: str, *, keep: float = KEEP_SECONDS, size: float = SIZE) -> None:
        """`keep` in seconds, `math.inf` for ever; `size` in bytes, `math.inf` for no limit. Reads; writes nothing.

        `start` is the start of the program that writes; its row and its living runs are never deleted.
        """
        self.due = 0.0
        """Monotonic time at which `step` is to be called."""

    def batch(self) -> Batch:
        """Return what the next transaction may hold at most, so that no batch alone exceeds the limit."""
        return Batch(Room.ALL, 1000, 1024 * 1024)

    def wrote(self, rows: int, bytes_: int) -> None:
        """Call after each commit of rows, with about how many bytes they have; may set `due`. Costs two stats."""

    def step(self) -> Pruned:
        """Do one slice, and set `due`. Raises HistoryError; the next call goes on where this one began."""
        return Pruned()
