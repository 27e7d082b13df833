"""Folding: succeeded firings of a job that are more frequent than one a minute become one row a minute. Pure.

A job that fires ten times a second would fill its history with a million rows a day that all say the same. A folded row
is the first row of its minute, and stands for all: it begins with the first and ends with the last of them. `folded` is
how many runs it stands for, `folded_seconds` how long they took together, and `seconds` how long the longest took, so
that an outlier stays visible; their counters are added up. Its place is the one that all of them had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["PLACE", "SINGLE_RUNS", "Folded", "fold", "is_foldable"]

MINUTE = 60.0  # seconds

SINGLE_RUNS = 20
"""The latest runs of each job are never folded, and never deleted."""

PLACE = ("host", "worker", "pid")
"""The columns of the place of a run that executed elsewhere."""

Row = Mapping[str, Any]


class Folded(NamedTuple):
    """The outcome of folding rows of table `runs`."""

    rows: list[Row]
    """In the order of the given ones. Rows that were not folded are the same objects."""
    gone: list[Row]
    """Rows that another one now stands for. Their events go with them."""


def is_foldable(row: Row) -> bool:
    """Return whether this row may be folded: a run that succeeded, and that no user has asked for.

    Firings and restarts are foldable. A run that a user has started is not, nor is one that started unrecorded: its
    instant may occur twice.
    """
    if row.get("outcome") != "succeeded" or row.get("ended_at") is None or row.get("is_unrecorded"):
        return False
    return row.get("instant") is not None or (row.get("attempt") or 1) > 1


def fold(rows: Sequence[Row]) -> Folded:
    """Fold rows of table `runs`, of any jobs and starts, given in the order in which they were written.

    All of them may be folded: leave out the last `SINGLE_RUNS` of each job.
    """
    first: dict[tuple[Any, ...], int] = {}
    kept: list[Row] = []
    gone: list[Row] = []
    for row in rows:
        place = first.setdefault(_group(row), len(kept)) if is_foldable(row) else len(kept)
        if place == len(kept):
            kept.append(row)
        else:
            kept[place] = _together(kept[place], row)
            gone.append(row)
    return Folded(kept, gone)


def _group(row: Row) -> tuple[Any, ...]:
    return row["start"], row["job"], row["replica"], _began(row) // MINUTE


def _began(row: Row) -> float:
    """When it was queued, which is what runs are ordered by."""
    for column in ("queued_at", "started_at", "ended_at"):
        if row[column] is not None:
            return float(row[column])
    return 0.0


def _together(carrier: Row, row: Row) -> Row:
    return {
        **carrier,
        "ended_at": max(carrier["ended_at"], row["ended_at"]),
        "seconds": max(_number(carrier["seconds"]), _number(row["seconds"])),
        "folded": _runs(carrier) + _runs(row),
        "folded_seconds": _seconds(carrier) + _seconds(row),
        "counters": _added(carrier["counters"], row["counters"]),
        **{column: carrier.get(column) if carrier.get(column) == row.get(column) else None for column in PLACE},
    }


def _runs(row: Row) -> int:
    return row["folded"] or 1


def _seconds(row: Row) -> float:
    """How long all runs of this row took; a row that was never folded may have only its own seconds."""
    return _number(row["folded_seconds"] if _runs(row) > 1 else row["seconds"])


def _added(one: Any, other: Any) -> Mapping[str, float] | None:
    """Return the sums. A value that is damaged, which a row in a file may be, counts as nothing."""
    found = [each for each in (one, other) if isinstance(each, Mapping) and each]
    if len(found) < 2:
        return found[0] if found else None
    return {counter: _number(found[0].get(counter)) + _number(found[1].get(counter)) for counter in {**one, **other}}


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else 0
