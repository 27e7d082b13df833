"""The rows that wait to be written: one for each key, and bounded.

A later row with the same key takes the place of the earlier one, so the queued, started and ended of a short run are
one row. Rows are whole: whatever was lost before, the last one says all.

When there is no more room, frequent firings are folded first, as retention does: nothing is lost by that but details.
After that rows go by rank, oldest first: log tails, then events, then runs that succeeded. Runs that
failed and actions go only when twice the room is full. Rows of what is alive (`Rank.ALIVE`) never go: there are as many
as the program has jobs and runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from enum import IntEnum
from itertools import chain
from typing import Any, NamedTuple

from taskloom.history.thinning import thin

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
Done = Callable[[bool], object]


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


class _Entry(NamedTuple):
    row: Row
    size: int
    group: int


class RowQueue:
    """The rows in the order in which they came. Not safe for several threads: its owner holds a lock."""

    def __init__(
        self, most_rows: int = MOST_ROWS, most_bytes: int = MOST_BYTES, most_tail_bytes: int = MOST_TAIL_BYTES
    ) -> None:
        self.dropped: Counter[Rank] = Counter()
        """How many rows were lost to a lack of room."""
        self.size = 0
        """About how many bytes its rows take."""
        self._most_rows, self._most_bytes, self._most_tail_bytes = most_rows, most_bytes, most_tail_bytes
        self._tail_bytes = 0
        self._rows: dict[Key, _Entry] = {}
        self._by_rank: dict[Rank, dict[Key, None]] = {rank: {} for rank in Rank}
        self._waiting: dict[Key, list[Done]] = {}
        self._group = 0
        # Runs whose row was written while they were alive: to fold them takes a row that deletes it.
        self._begun: set[Key] = set()
        # How many succeeded runs may wait until it is tried again to fold them.
        self._next_thinning = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: Key) -> bool:
        return key in self._rows

    def begin_group(self) -> None:
        """Let the rows that follow belong together: they are written in one transaction, unless some are dropped."""
        self._group += 1

    def put(self, row: Row, done: Done | None = None) -> Sequence[Done]:
        """Add a row, in place of the one with its key if there is one.

        Return the `done` of rows that were dropped for it: the caller calls them with False, without a lock.
        """
        return self._put(row, self._group, done)

    def put_back(self, rows: Iterable[Row]) -> Sequence[Done]:
        """Add rows that could not be written, before all others, except where a later row with the key has come."""
        older = {row.key: _Entry(row, row.size, 0) for row in rows if row.key not in self._rows}
        self._rows = {**older, **self._rows}
        ranks: dict[Rank, dict[Key, None]] = {rank: {} for rank in Rank}
        for key, entry in self._rows.items():
            ranks[entry.row.rank][key] = None
        self._by_rank = ranks
        for entry in older.values():
            self._count(entry, 1)
        return self._make_room()

    def take(self, ranks: Container[Rank], most: int, most_bytes: float) -> Batch:
        """Remove and return the next rows of these ranks, oldest first; before them those that someone waits for.

        About `most` rows that take `most_bytes` together: those that belong together are not parted.
        """
        batch = Batch([], [], 0)
        chosen: list[_Entry] = []
        group, size = -1, 0
        promised = [self._rows[key] for key in self._waiting if key in self._rows]
        for entry in chain(promised, self._rows.values()):
            if entry.row.key in self._waiting:
                if len(chosen) >= len(promised):
                    continue  # it is among them already
            elif entry.row.rank not in ranks:
                continue
            elif entry.group != group and (len(chosen) >= most or (chosen and size + entry.size > most_bytes)):
                break
            else:
                group = entry.group
            chosen.append(entry)
            size += entry.size
        for entry in chosen:
            self._remove(entry.row.key)
            self._note_begun(entry.row)
            batch.rows.append(entry.row)
            batch.waiting.extend(self._waiting.pop(entry.row.key, ()))
        if not self._rows:
            self._next_thinning = 0
        return batch._replace(size=size)

    def take_waiting(self) -> list[Done]:
        """Remove and return all that wait for a row; the rows stay."""
        waiting = [done for each in self._waiting.values() for done in each]
        self._waiting.clear()
        return waiting

    def _put(self, row: Row, group: int, done: Done | None) -> list[Done]:
        self._remove(row.key)
        self._add(row, group)
        if done is not None:
            self._waiting.setdefault(row.key, []).append(done)
        return self._make_room()

    def _remove(self, key: Key) -> None:
        entry = self._rows.pop(key, None)
        if entry is not None:
            del self._by_rank[entry.row.rank][key]
            self._count(entry, -1)

    def _count(self, entry: _Entry, sign: int) -> None:
        self.size += sign * entry.size
        if entry.row.rank is Rank.TAIL:
            self._tail_bytes += sign * entry.size

    def _make_room(self) -> list[Done]:
        lost: list[Done] = []
        while self._tail_bytes > self._most_tail_bytes:
            lost += self._drop_oldest(Rank.TAIL)
        if self._is_over(1) and len(self._by_rank[Rank.SUCCEEDED]) >= self._next_thinning:
            self._thin()
        for ranks, factor in ((_SOFT_RANKS, 1), (_HARD_RANKS, _HARD)):
            for rank in ranks:
                while self._by_rank[rank] and self._is_over(factor):
                    lost += self._drop_oldest(rank)
        return lost

    def _note_begun(self, row: Row) -> None:
        if row.table == "runs":
            if row.rank is Rank.ALIVE and row.values is not None:
                self._begun.add(row.key)
            else:
                self._begun.discard(row.key)

    def _thin(self) -> None:
        """Fold frequent firings; their events go, and nothing else is lost."""
        succeeded = [key for key in self._by_rank[Rank.SUCCEEDED] if key not in self._waiting]
        thinned = thin((key, self._rows[key].row.values or {}) for key in succeeded)
        for key, values in thinned.changed.items():
            entry = self._rows[key]
            row = entry.row._replace(values=values)
            self._count(entry, -1)
            self._rows[key] = entry = entry._replace(row=row, size=row.size)
            self._count(entry, 1)
        gone = set(thinned.gone)
        for key in gone:
            group = self._rows[key].group
            self._remove(key)
            if key in self._begun:
                self._add(Row(key, None, Rank.ALIVE), group)
        for key in list(self._by_rank[Rank.EVENT]) if gone else ():
            if ("runs", key[1], (self._rows[key].row.values or {}).get("run")) in gone:
                self._remove(key)
        # Not again for each row that comes: what could not be folded now will not be with a few more.
        self._next_thinning = 2 * len(self._by_rank[Rank.SUCCEEDED])

    def _add(self, row: Row, group: int) -> None:
        self._rows[row.key] = entry = _Entry(row, row.size, group)
        self._by_rank[row.rank][row.key] = None
        self._count(entry, 1)

    def _is_over(self, factor: int) -> bool:
        return len(self._rows) > factor * self._most_rows or self.size > factor * self._most_bytes

    def _drop_oldest(self, rank: Rank) -> list[Done]:
        key = next(iter(self._by_rank[rank]))
        self._remove(key)
        self.dropped[rank] += 1
        return self._waiting.pop(key, [])


def dropped_text(dropped: Mapping[Rank, int]) -> str:
    """Return what was dropped: `1,200 events and 3 log tails`; "" for nothing."""
    parts = [f"{dropped[rank]:,} {_NOUNS[rank][dropped[rank] != 1]}" for rank in reversed(Rank) if dropped.get(rank)]
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
