"""The entries of an agent: numbered, kept until the program acknowledges them, in bounded memory.

Of the polls, the progress and the processes of an execution only the latest entry is kept. The log lines take at most
LOG_BYTES; then the oldest are dropped, and the gap in their own count lets the program know. All other entries are few.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from taskloom.runners.dask.protocol.messages import Entry, EntryKind
from taskloom.text import to_json

__all__ = ["LOG_BYTES", "REPLY_BYTES", "Journal"]

REPLY_BYTES = 256 * 1024
"""The most bytes of the entries in one reply, as JSON: it holds up a worker's event loop for a few milliseconds."""

LOG_BYTES = 1024 * 1024
"""The most bytes of the log lines that wait, as JSON."""

# The first key of a report names it. Of these, a newer one says all that an older one has said.
_LATEST_ONLY = frozenset({"poll", "progress", "process"})
# The brackets, keys and numbers of an entry, as JSON.
_ENTRY_BYTES = 100


class _Kept(NamedTuple):
    entry: Entry
    size: int


class Journal:
    """The entries of one agent."""

    def __init__(self) -> None:
        self.last = 0
        self.acknowledged = 0
        self._published = 0
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._latest: dict[tuple[str, str], int] = {}
        self._logs: deque[int] = deque()
        self._log_bytes = 0
        self._lines = 0

    def add(self, kind: str, execution: str, data: Mapping[str, Any]) -> None:
        """Add an entry; of a kind but REPORT and LOG."""
        self._append(kind, execution, data)

    def add_report(self, execution: str, data: Mapping[str, Any]) -> None:
        """Add what the processes of an execution have reported."""
        name = next(iter(data), "")
        if name == "log":
            self._add_line(execution, data)
        elif name in _LATEST_ONLY:
            self._replace(execution, name, data)
        else:
            self._append(EntryKind.REPORT, execution, data)

    def acknowledge(self, number: int) -> None:
        """Forget the entries up to this number."""
        self.acknowledged = max(self.acknowledged, min(number, self.last))
        while self._kept and next(iter(self._kept)) <= self.acknowledged:
            self._forget(self._kept.popitem(last=False)[1])
        while self._logs and self._logs[0] <= self.acknowledged:
            self._logs.popleft()

    def unacknowledged(self) -> tuple[Entry, ...]:
        """Return the oldest entries that are not acknowledged, as many as one reply holds."""
        return self._take(self.acknowledged)

    def unpublished(self) -> tuple[int, tuple[Entry, ...]]:
        """Return the number after which nothing was sent, and the entries from there, as many as one reply holds."""
        after = max(self._published, self.acknowledged)
        return after, self._take(after)

    def _append(self, kind: str, execution: str, data: Mapping[str, Any], line: int = 0) -> int:
        self.last += 1
        size = _ENTRY_BYTES + len(execution) + len(to_json(data, is_ascii=True))
        self._kept[self.last] = _Kept(Entry(self.last, kind, execution, data, line), size)
        return size

    def _replace(self, execution: str, name: str, data: Mapping[str, Any]) -> None:
        """Add the report in place of the one before, sent or not: the program drops what it knows by the number."""
        older = self._kept.pop(self._latest.get((execution, name), 0), None)
        if older is not None:
            data = _merged(older.entry.data, data)
        self._append(EntryKind.REPORT, execution, data)
        self._latest[execution, name] = self.last

    def _add_line(self, execution: str, data: Mapping[str, Any]) -> None:
        self._lines += 1
        self._log_bytes += self._append(EntryKind.LOG, execution, data, self._lines)
        self._logs.append(self.last)
        while self._log_bytes > LOG_BYTES:
            self._forget(self._kept.pop(self._logs.popleft()))

    def _forget(self, kept: _Kept) -> None:
        entry = kept.entry
        if entry.kind == EntryKind.LOG:
            self._log_bytes -= kept.size
        key = (entry.execution, next(iter(entry.data), ""))
        if self._latest.get(key) == entry.number:
            del self._latest[key]

    def _take(self, after: int) -> tuple[Entry, ...]:
        taken: list[Entry] = []
        size = 0
        for number, kept in self._kept.items():
            if number <= after:
                continue
            size += kept.size
            if taken and size > REPLY_BYTES:
                break
            taken.append(kept.entry)
        if taken:
            self._published = max(self._published, taken[-1].number)
        return tuple(taken)


def _merged(older: Mapping[str, Any], newer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the newer report, with the counters that only the older one has: each has those that have changed."""
    counts = older.get("counts")
    return {**newer, "counts": {**counts, **newer.get("counts", {})}} if counts else newer
