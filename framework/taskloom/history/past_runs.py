"""The last runs for a view, read on the writer thread and its connection: no other one is opened while jobs run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from taskloom.history.database import Database
from taskloom.history.read_rows import Page, RunFilter
from taskloom.history.reader import Reader

__all__ = ["PastRuns"]

# A view needs one for each start of the program. More than these would hold up what is to be written.
_MOST_QUERIES = 4

Found = Callable[[Page | None], object]


class _Query(NamedTuple):
    since: float
    most: int
    found: Found


class PastRuns:
    """Queries for runs. Any thread may add one; the writer thread answers or refuses all of them."""

    def __init__(self) -> None:
        self._waiting: deque[_Query] = deque()

    def request(self, since: float, most: int, found: Found) -> bool:
        """Have `found` called with the last `most` runs since an instant, or with None; False if too many wait."""
        if len(self._waiting) >= _MOST_QUERIES:
            return False
        self._waiting.append(_Query(since, most, found))
        return True

    def answer(self, database: Database) -> None:
        """Answer all that wait. Raises HistoryError; the query that it struck gets None."""
        while self._waiting:
            query, page = self._waiting.popleft(), None
            try:
                with database.begin() as connection:
                    wanted = RunFilter(database.name, since=query.since)
                    page = Reader(connection, database.target).brief_runs(wanted, query.most)
            finally:
                query.found(page)

    def refuse(self) -> None:
        """Answer all with None: the database cannot be read now."""
        while self._waiting:
            self._waiting.popleft().found(None)
