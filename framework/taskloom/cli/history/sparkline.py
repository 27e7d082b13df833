"""The last runs of a job in one word: the height of a bar is how long the run took, a letter is how it failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Timed", "sparkline"]

_BARS = "▁▂▃▄▅▆▇█"
# For terminals without these characters; from the lowest to the highest as well.
_PLAIN_BARS = "_.-=+*%#"
_MARKS = {
    "failed": "x",
    "start_failed": "x",
    "timed_out": "t",
    "abandoned": "a",
    "lost": "?",
    "cancelled": "c",
    "": ">",
}


class Timed(Protocol):
    """A run, from the history or from a running program."""

    @property
    def outcome(self) -> str:
        """How it ended; "" while it has not."""

    @property
    def mean_seconds(self) -> float | None:
        """How long it took, or several runs in the mean."""


def sparkline(runs: Sequence[Timed], *, is_plain: bool = False) -> str:
    """Return a character for each run, oldest first.

    A run that succeeded is a bar, relative to the longest one of these runs. `is_plain`: in ASCII.
    """
    longest = max((run.mean_seconds or 0.0 for run in runs), default=0.0)
    bars = _PLAIN_BARS if is_plain else _BARS
    return "".join(_MARKS.get(run.outcome) or _bar(run, longest, bars) for run in runs)


def _bar(run: Timed, longest: float, bars: str) -> str:
    if run.outcome != "succeeded":
        return "~"  # an outcome of a later version
    share = max(0.0, run.mean_seconds or 0.0) / longest if longest > 0 else 0.0
    return bars[min(len(bars) - 1, round(share * (len(bars) - 1)))]
