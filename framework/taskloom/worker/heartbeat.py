"""Samples a run in a worker: its polls, its progress and its counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskloom.runners.gauges import Gauges, Progress
from taskloom.runners.wire import Gauged, Polled

if TYPE_CHECKING:
    from taskloom.sync.cancel_token import CancelToken

__all__ = ["Heartbeat", "WatchedGauges"]

# So that a line is far from the longest one that is allowed.
_MOST_COUNTERS = 500
_LONGEST_NAME = 200
# Python refuses to write a number of 4300 digits, and no other reader of JSON takes a larger one than this.
_LONGEST_WHOLE_NUMBER = 10**300
_PROGRESS = Gauges.__dict__["progress"]


class Noticing(Protocol):
    """Samples the gauges, unless it is idle."""

    is_idle: bool

    def notice(self) -> None:
        """Sample again; any thread may call it."""


class WatchedGauges(Gauges):
    """Gauges that resume the sampling when a thread reports something while the run waits on its token."""

    __slots__ = ("sampler",)

    def __init__(self, sampler: Noticing) -> None:
        self.sampler = sampler
        super().__init__()

    @property
    def progress(self) -> Progress | None:
        """The latest progress; None without one."""
        found: Progress | None = _PROGRESS.__get__(self)
        return found

    @progress.setter
    def progress(self, progress: Progress | None) -> None:
        _PROGRESS.__set__(self, progress)
        if self.sampler.is_idle:
            self.sampler.notice()

    def count(self, name: str, n: int) -> None:
        """Add `n` to a counter. Raises TypeError as `Gauges.count` does."""
        super().count(name, n)
        if self.sampler.is_idle:
            self.sampler.notice()


class Heartbeat:
    """Finds what has changed since the last time. Belongs to the thread that sends."""

    def __init__(self, token: CancelToken, gauges: Gauges) -> None:
        self.is_waiting = False
        """Whether the run was waiting on its token at the last sample."""
        self._token = token
        self._gauges = gauges
        self._polled = Polled(0, False, False)
        self._progress: Progress | None = None
        self._counts: dict[str, int] = {}

    def poll_changes(self) -> list[Polled]:
        """Return a message if the polls have changed. Those of a run that goes on waiting are not a change."""
        token = self._token
        before, polled = self._polled, Polled(token.polls, token.is_waiting, token.is_wakeable)
        self._polled = polled
        self.is_waiting = polled.waiting
        is_same = before == polled or (before.waiting and polled.waiting and before.wakeable is polled.wakeable)
        return [] if is_same else [polled]

    def gauges_changes(self) -> list[Gauged]:
        """Return the messages about progress and counters that have changed."""
        progress, counts = self._gauges.progress, self._gauges.counts
        changed = [(name, total) for name, total in counts.items() if self._counts.get(name) != total]
        if not changed and progress == self._progress:
            return []
        self._progress, self._counts = progress, counts
        shown = None if progress is None else _sendable(progress)
        firsts = range(0, max(1, len(changed)), _MOST_COUNTERS)
        return [Gauged(shown, _named(changed[first : first + _MOST_COUNTERS])) for first in firsts]


def _named(counters: list[tuple[str, int]]) -> dict[str, int]:
    return {name[:_LONGEST_NAME]: _whole(total) for name, total in counters}


def _sendable(progress: Progress) -> Progress:
    done, total, unit = progress
    return Progress(_short(done), None if total is None else _short(total), unit[:_LONGEST_NAME])


def _short(number: float) -> float:
    return _whole(number) if isinstance(number, int) else number


def _whole(number: int) -> int:
    """Return the number, or the largest one that is sent."""
    return max(-_LONGEST_WHOLE_NUMBER, min(number, _LONGEST_WHOLE_NUMBER))
