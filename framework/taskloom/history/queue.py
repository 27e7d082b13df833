"""The rows that wait to be written: one for each key, and bounded.

A later row with the same key takes the place of the earlier one, so the queued, started and ended of a short run are
one row. Rows are whole: whatever was lost before, the last one says all.

When there is no more room, rows go by rank, oldest first: log tails, then events, then runs that succeeded. Runs that
failed and actions go only when twice the room is full. Rows of what is alive (`Rank.ALIVE`) never go: there are as many
as the program has jobs and runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from enum import IntEnum
from itertools import chain, islice
from typing import Any, NamedTuple

__all__ = [
    "MOST_BYTES",
    "MOST_ROWS",
    "MOST_TAIL_BYTES",
    "Batch",
    "Done",
    "Key",
    "Rank",
    "Row",
    "RowQueue",
    "dropped_text",
]

MOST_ROWS = 50_000
# About what Python needs for the rows of a busy program; tracebacks are up to 64 KiB each.
MOST_BYTES = 32 * 1024 * 1024
# 128 tails of full length.
MOST_TAIL_BYTES = 8 * 1024 * 1024
# Beyond this multiple of the room, rows of failed runs and actions go, too.
_HARD = 2
# A row with its key, its dict and the numbers in it.
_ROW_BYTES = 400

Key = tuple[str | int, ...]
"""The name of the table, and the values of its primary key but `name`."""
Done = Callable[[bool], None]


class Rank(IntEnum):
    """What is dropped first."""

    TAIL = 0
    """The log of a run."""
    EVENT = 1
    SUCCEEDED = 2
    """A run that succeeded."""
    FAILED = 3
    """A run that ended otherwise."""
    ACTION = 4
    ALIVE = 5
    """A run that is alive, or what a job remembers: never dropped."""


_NOUNS = {
    Rank.TAIL: ("log tail", "log tails"),
    Rank.EVENT: ("event", "events"),
    Rank.SUCCEEDED: ("succeeded run", "succeeded runs"),
    Rank.FAILED: ("failed run", "failed runs"),
    Rank.ACTION: ("action", "actions"),
    Rank.ALIVE: ("row", "rows"),
}
_SOFT_RANKS = (Rank.TAIL, Rank.EVENT, Rank.SUCCEEDED)
_HARD_RANKS = (*_SOFT_RANKS, Rank.FAILED, Rank.ACTION)


class Row(NamedTuple):
    """One row to be written. `values`: all columns of the table but those of the key; None to delete the row."""

    key: Key
    values: Mapping[str, Any] | None
    rank: Rank

    @property
    def table(self) -> str:
        """The name of its table."""
        return str(self.key[0])

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return _ROW_BYTES + sum(map(_size_of, (self.values or {}).values()))


def _size_of(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(len(str(name)) + 60 + _size_of(each) for name, each in value.items())
    if isinstance(value, list | tuple):
        return sum(60 + _size_of(each) for each in value)
    return 0


class Batch(NamedTuple):
    """Rows that are written in one transaction."""

    rows: list[Row]
    waiting: list[Done]
    """To be called after the commit with True, or with False after an error."""
    size: int
    """About how many bytes the rows take."""


class RowQueue:
    """The rows by rank. Not safe for several threads: its owner holds a lock."""

    def __init__(
        self, most_rows: int = MOST_ROWS, most_bytes: int = MOST_BYTES, most_tail_bytes: int = MOST_TAIL_BYTES
    ) -> None:
        self.dropped: Counter[Rank] = Counter()
        """How many rows were lost to a lack of room."""
        self._most_rows, self._most_bytes, self._most_tail_bytes = most_rows, most_bytes, most_tail_bytes
        # By rank and key, oldest first, each with its size.
        self._rows: dict[Rank, dict[Key, tuple[Row, int]]] = {rank: {} for rank in Rank}
        self._tail_bytes = 0
        self.size = 0
        """About how many bytes its rows take."""
        self._ranks: dict[Key, Rank] = {}
        self._waiting: dict[Key, list[Done]] = {}

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, key: Key) -> bool:
        return key in self._ranks

    def put(self, row: Row, done: Done | None = None) -> Sequence[Done]:
        """Add a row, in place of the one with its key if there is one.

        Return the `done` of rows that were dropped for it: the caller calls them with False, without a lock.
        """
        self._remove(row.key)
        size = row.size
        self._rows[row.rank][row.key] = (row, size)
        self._count(row.rank, size)
        self._ranks[row.key] = row.rank
        if done is not None:
            self._waiting.setdefault(row.key, []).append(done)
        return self._make_room()

    def put_back(self, rows: Iterable[Row]) -> Sequence[Done]:
        """Add rows that could not be written, except where a later row with the key has come meanwhile."""
        return [done for row in rows if row.key not in self._ranks for done in self.put(row)]

    def take(self, ranks: Container[Rank], most: int, most_bytes: float) -> Batch:
        """Remove and return the next rows: promised ones first, then those of these ranks that are dropped last.

        At most `most` rows that take `most_bytes` together; one row may take more.
        """
        batch = Batch([], [], 0)
        chosen = chain.from_iterable(self._rows[rank] for rank in reversed(Rank) if rank in ranks)
        for key in list(islice(chain(self._waiting, chosen), most + len(self._waiting))):
            rank = self._ranks.get(key)
            if rank is None:
                continue  # a promised one, taken before by its rank
            row, size = self._rows[rank][key]
            if len(batch.rows) >= most or (batch.rows and batch.size + size > most_bytes):
                break
            self._remove(key)
            batch = batch._replace(size=batch.size + size)
            batch.rows.append(row)
            batch.waiting.extend(self._waiting.pop(key, ()))
        return batch

    def take_waiting(self) -> list[Done]:
        """Remove and return all that wait for a row; the rows stay."""
        waiting = [done for each in self._waiting.values() for done in each]
        self._waiting.clear()
        return waiting

    def _remove(self, key: Key) -> None:
        rank = self._ranks.pop(key, None)
        if rank is not None:
            self._count(rank, -self._rows[rank].pop(key)[1])

    def _count(self, rank: Rank, size: int) -> None:
        self.size += size
        if rank is Rank.TAIL:
            self._tail_bytes += size

    def _make_room(self) -> list[Done]:
        lost: list[Done] = []
        while self._tail_bytes > self._most_tail_bytes:
            lost += self._drop_oldest(Rank.TAIL)
        for ranks, factor in ((_SOFT_RANKS, 1), (_HARD_RANKS, _HARD)):
            for rank in ranks:
                while self._rows[rank] and self._is_over(factor):
                    lost += self._drop_oldest(rank)
        return lost

    def _is_over(self, factor: int) -> bool:
        return len(self._ranks) > factor * self._most_rows or self.size > factor * self._most_bytes

    def _drop_oldest(self, rank: Rank) -> list[Done]:
        key = next(iter(self._rows[rank]))
        self._remove(key)
        self.dropped[rank] += 1
        return self._waiting.pop(key, [])


def dropped_text(dropped: Mapping[Rank, int]) -> str:
    """Return what was dropped: `1,200 events and 3 log tails`; "" for nothing."""
    parts = [f"{dropped[rank]:,} {_NOUNS[rank][dropped[rank] != 1]}" for rank in reversed(Rank) if dropped.get(rank)]
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
