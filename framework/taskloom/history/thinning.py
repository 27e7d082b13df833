"""Folding in the queue: while nothing can be written, frequent firings become one row a minute. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from taskloom.history.folding import SINGLE_RUNS, fold

__all__ = ["Thinned", "thin"]

K = TypeVar("K", bound=tuple[str | int, ...])
"""The key of a row: the name of its table, its start and its run."""


class Thinned(NamedTuple):
    """The outcome for rows of table `runs`."""

    changed: dict[Any, Mapping[str, Any]]
    """The new values of rows that now stand for several runs, by their keys."""
    gone: list[Any]
    """The keys of rows that one of them stands for now."""


def thin(rows: Iterable[tuple[K, Mapping[str, Any]]]) -> Thinned:
    """Fold these runs, oldest first, but the last 20 of each job."""
    by_job: dict[str, list[tuple[K, Mapping[str, Any]]]] = {}
    for key, values in rows:
        by_job.setdefault(str(values.get("job")), []).append((key, values))
    thinned = Thinned({}, [])
    for each in by_job.values():
        given = [{**values, "start": key[1], "key": key} for key, values in each[:-SINGLE_RUNS]]
        unchanged = set(map(id, given))
        folded = fold(given)
        for row in folded.rows:
            if id(row) not in unchanged:
                thinned.changed[row["key"]] = {name: row[name] for name in row if name not in ("key", "start")}
        thinned.gone.extend(row["key"] for row in folded.gone)
    return thinned
