"""Whether a simulation kept the rules: the judge of `taskloom.testing`, fed event by event."""

from __future__ import annotations

import json
from collections import deque

from taskloom.core.events import Event, as_dict
from taskloom.errors import InternalError
from taskloom.testing.ledger import Ledger, fact_of

__all__ = ["Judge"]

SHOWN_EVENTS = 12


class _RunNames(set[str]):
    """The names of all runs so far, in no more memory than there are jobs: `job#3` was there if `job#4` was."""

    def __init__(self) -> None:
        super().__init__()
        self._highest: dict[str, int] = {}

    def add(self, name: str) -> None:
        job, _, number = name.rpartition("#")
        self._highest[job] = max(int(number), self._highest.get(job, 0))

    def __contains__(self, name: object) -> bool:
        job, _, number = str(name).rpartition("#")
        return int(number) <= self._highest.get(job, 0)


class Judge:
    """Holds the events against the rules that every history keeps.

    `take` and `close` raise InternalError for what breaks a rule, with the seed and the shortest prefix that shows it.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        # A week may have ten million runs, and the ledger would remember the name of each.
        self._ledger = Ledger(_seen=_RunNames())
        self._latest: deque[Event] = deque(maxlen=SHOWN_EVENTS)

    def take(self, event: Event) -> None:
        """Judge the next event."""
        self._latest.append(event)
        self._ledger.enter(fact_of(event))
        if self._ledger.violations:
            self._break()

    def close(self) -> None:
        """Judge what only the end can tell."""
        self._ledger.close()
        if self._ledger.violations:
            self._break()

    def _break(self) -> None:
        first, *more = self._ledger.violations
        also = f", and {len(more)} more" if more else ""
        lines = [json.dumps(as_dict(event), ensure_ascii=False) for event in self._latest]
        prefix = f"shortest prefix: {self._latest[-1].seq} events, ending in"
        raise InternalError("\n".join([f"seed {self._seed}: {first}{also}", prefix, *lines]))
