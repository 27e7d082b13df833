"""The column of job names in the log and in the table: as wide as the longest name, so that what follows is aligned.

On a terminal a name has limited room. There the middle of a longer one is left out: its end tells replicas apart. A
file has every name whole, since people search for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from taskloom.text import padded

if TYPE_CHECKING:  # a client shortens names, too, and knows no jobs
    from taskloom.core.model import JobSpec

__all__ = ["LEAST_NAME", "NameColumn", "elided", "longest_name"]

# The width of the column unless a name is longer.
LEAST_NAME = 12
# A third of the line at most, but enough for a word, the mark and the number of a replica.
_SHARE, _LEAST_LIMIT = 3, 20


def longest_name(specs: Iterable[JobSpec]) -> int:
    """Return the length of the longest name of these jobs, replicas included; 0 if there are none."""
    return max((len(spec.name) + _suffix_length(spec) for spec in specs), default=0)


def _suffix_length(spec: JobSpec) -> int:
    """Return the length of `.12`, which the name of the last replica of a declaration gets."""
    return len(f".{spec.replicas}") if spec.replicas > 1 and not spec.declared else 0


def elided(name: str, most: int, mark: str = "…") -> str:
    """Return the name, with `mark` instead of its middle if it is longer than `most` characters."""
    if len(name) <= most:
        return name
    tail = max(1, (most - len(mark)) // 2)
    return f"{name[: most - len(mark) - tail]}{mark}{name[-tail:]}"


class NameColumn:
    """The width of the column. It only grows: lines of removed jobs may still come.

    `line_width`: the columns of the terminal; None for a file. `mark` stands for what is left out.
    """

    def __init__(self, line_width: int | None = None, mark: str = "…") -> None:
        self.mark = mark
        self._most = None if line_width is None else max(_LEAST_LIMIT, line_width // _SHARE)
        self._width = LEAST_NAME

    def fit(self, length: int) -> None:
        """Make room for names of this length."""
        self._width = max(self._width, length if self._most is None else min(length, self._most))

    def cell(self, name: str) -> str:
        """Return the name as wide as the column."""
        shown = name if self._most is None else elided(name, self._width, self.mark)
        return padded(shown, self._width)
