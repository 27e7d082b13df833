"""Tables that fit a terminal: names lose their middle and the last column its end. In a file all of it is written."""

from __future__ import annotations

from collections.abc import Sequence

from taskloom.observe.name_column import elided
from taskloom.text import printable, shortened, table

__all__ = ["fitted_table"]

_GAP = 2
# A name has this room at least, and so has the last column: a line that is too long is better than one of marks.
_LEAST_NAME, _LEAST_NOTE = 16, 16
# Also in a file: rows of a table with a longer cell cannot be read.
_LONGEST_CELL = 600


def fitted_table(
    rows: Sequence[Sequence[str]],
    line_width: int | None,
    mark: str = "…",
    *,
    name_at: int = 0,
    has_note: bool = False,
) -> list[str]:
    """Return the lines of a table, the first row of which is its head.

    `line_width`: the columns of the terminal; None for a file. `name_at`: the column that is shortened. `has_note`: the
    last column is a text, which is cut.
    """
    cells = [[shortened(printable(cell), _LONGEST_CELL) for cell in row] for row in rows]
    if line_width is None:
        return table(cells).split("\n")
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    gaps = _GAP * (len(widths) - 1)
    note = min(_LEAST_NOTE, widths[-1]) if has_note else widths[-1]
    name = min(widths[name_at], max(_LEAST_NAME, line_width - gaps - note - sum(widths[:-1]) + widths[name_at]))
    room = max(_LEAST_NOTE, line_width - gaps - sum(widths[:-1]) + widths[name_at] - name)
    for row in cells:
        row[name_at] = elided(row[name_at], name, mark)
        if has_note:
            row[-1] = row[-1] if len(row[-1]) <= room else row[-1][: room - len(mark)] + mark
    return table(cells).split("\n")
