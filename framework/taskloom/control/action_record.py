"""How the API has its actions recorded: by the history of the program, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from taskloom.control.exchange import Caller
from taskloom.control.run_ring import PastRun

__all__ = ["RECORD_SECONDS", "Action", "ActionRecord", "HistoryStatus", "NoRecord", "RecordedRuns"]

# How long a reply waits until its action is committed. A commit takes some milliseconds; a slower disk must not make
# the program look dead.
RECORD_SECONDS = 1.0


class Action(NamedTuple):
    """Something that a client had done."""

    name: str
    """Such as `stop`, `reload` or `shutdown`."""
    jobs: tuple[str, ...]
    caller: Caller
    reason: str
    """As the client has given it, with secrets masked; "" if it has given none."""
    result: str
    """The result in a few words, with secrets masked; "" if there is nothing to say."""


class HistoryStatus(NamedTuple):
    """How the history of the program is at the moment."""

    state: Literal["on", "degraded", "off"] = "off"
    reason: str = ""
    """Why it is degraded."""
    since: float = 0.0
    """Since when it is degraded, in seconds since the epoch."""
    url: str = ""
    """Its place; without a password."""
    queued: int = 0
    """Rows that are not written yet."""
    dropped: int = 0
    """Rows that were lost since the start, because too many waited."""


class RecordedRuns(NamedTuple):
    """Runs from the history, the oldest first."""

    runs: Sequence[PastRun]
    is_whole: bool
    """Whether these are all of the time that was asked for."""


class ActionRecord(Protocol):
    """The history of the program, as the API sees it. Any thread may call any method; none of them blocks."""

    def status(self) -> HistoryStatus:
        """Return how it is at the moment."""

    def record(self, action: Action, done: Callable[[bool], object]) -> None:
        """Record an action. `done` is called once, on any thread: True after its commit, False if that will be late.

        An action for which it was False may still be recorded later. `done` does not block.
        """

    def read_runs(self, since: float, most: int, found: Callable[[RecordedRuns | None], object]) -> None:
        """Read the last `most` runs that were queued since an instant, in seconds since the epoch.

        `found` is called once, on any thread; with None if they cannot be read now. It does not block.
        """


class NoRecord:
    """The record of a program without a history."""

    def status(self) -> HistoryStatus:
        """Say that there is none."""
        return HistoryStatus()

    def record(self, _: Action, done: Callable[[bool], object]) -> None:
        """Record nothing."""
        done(False)

    def read_runs(self, _since: float, _most: int, found: Callable[[RecordedRuns | None], object]) -> None:
        """Read nothing."""
        found(None)
