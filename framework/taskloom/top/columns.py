"""The widths of columns: what fits into a line, and what is left out first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Column", "gap", "widths"]

# From this width on there are two blanks between columns.
_WIDE = 110


class Column(NamedTuple):
    """A column of a table."""

    head: str
    least: int
    """It is left out rather than narrower."""
    most: int
    order: int
    """The column with the highest number is left out first. 0 is never left out."""
    shrinks: int = 0
    """The one with the higher number is shortened first, down to `least`; 0 is not shortened."""
    usual: int = 0
    """It is no narrower where there is room, so that the columns after it do not move whenever a text changes."""


def gap(width: int) -> int:
    """Return the number of blanks between two columns."""
    return 2 if width >= _WIDE else 1


def widths(columns: Sequence[Column], wanted: Sequence[int], width: int) -> list[int]:
    """Return the width of each column in a line of `width` cells; 0 for one that is left out.

    `wanted`: what the cells of a column, and its head, would take.
    """
    found = [
        max(min(max(want, column.usual), column.most), column.least)
        for column, want in zip(columns, wanted, strict=True)
    ]
    between = gap(width)
    while True:
        over = _total(found, between) - width
        if over <= 0:
            return found
        leasts = [
            min(size, column.least) if column.shrinks else size for column, size in zip(columns, found, strict=True)
        ]
        if _total(leasts, between) <= width or not _leave_one_out(columns, found):
            return _shortened(columns, found, over)


def _total(sizes: Sequence[int], between: int) -> int:
    shown = [size for size in sizes if size]
    return sum(shown) + between * max(0, len(shown) - 1)


def _leave_one_out(columns: Sequence[Column], found: list[int]) -> bool:
    """Set the width of the least important column to 0; return False if none can be left out."""
    order, place = max(
        (column.order if size else 0, place) for place, (column, size) in enumerate(zip(columns, found, strict=True))
    )
    if order:
        found[place] = 0
    return order > 0


def _shortened(columns: Sequence[Column], found: Sequence[int], over: int) -> list[int]:
    """Return the widths after `over` cells were taken from the columns that can be shortened."""
    sizes = list(found)
    for place in sorted(range(len(columns)), key=lambda each: -columns[each].shrinks):
        if columns[place].shrinks and sizes[place]:
            taken = min(over, max(0, sizes[place] - columns[place].least))
            sizes[place] -= taken
            over -= taken
    return sizes
