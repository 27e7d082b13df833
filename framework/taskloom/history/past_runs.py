"""The last runs for a view, read on the writer thread and its connection: no other one is opened while jobs run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from taskloom.history.database import Database
from taskloom.history.read_rows import Page, RunFilter
from taskloom.history.reader import Reader

__all__ = ["PastRuns"]

# A view asks once for each start of the program. More than these would hold up what is to be written.
_MOST_QUESTIONS = 4

Found = Callable[[Page | None], object]


class _Question(NamedTuple):
    since: float
    most: int
    found: Found


class PastRuns:
    """Questions for runs. Any thread may ask; the writer thread answers or refuses all of them."""

    def __init__(self) -> None:
        self._asked: deque[_Question] = deque()

    def ask(self, since: float, most: int, found: Found) -> bool:
        """Have `found` called with the last `most` runs since an instant, or with None; False if too many wait."""
        if len(self._asked) >= _MOST_QUESTIONS:
            return False
        self._asked.append(_Question(since, most, found))
        return True

    def answer(self, database: Database) -> None:
        """Answer all that were asked. Raises HistoryError; the question that it struck gets None."""
        while self._asked:
            question, page = self._asked.popleft(), None
            try:
                with database.begin() as connection:
                    wanted = RunFilter(database.name, since=question.since)
                    page = Reader(connection, database.target).brief_runs(wanted, question.most)
            finally:
                question.found(page)

    def refuse(self) -> None:
        """Answer all with None: the database cannot be read now."""
        while self._asked:
            self._asked.popleft().found(None)
