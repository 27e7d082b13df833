"""Anchors, aliases and merge keys (`&name`, `*name`, `<<`): one value in several places of the file."""

from __future__ import annotations

from typing import Any, NamedTuple

from taskloom.jobfile.syntax.document import Value
from taskloom.jobfile.syntax.positions import Aliased, Branch, Position, Span, origin_of

__all__ = ["Anchor", "merge"]


class Anchor(NamedTuple):
    """The value that an alias repeats, and its cost. `nodes` is 0 while the anchored container is still being read."""

    value: Value
    position: Position
    nodes: int
    height: int
    span: Span


def merge(entries: dict[str, Value], branch: Any, value: Value, position: Position) -> bool:
    """Add the keys of `<<` to `entries` and their positions to `branch`.

    `value` is a mapping, or a list of mappings of which the first with a key wins. A key that exists already keeps its
    value. Returns False if `value` is neither.
    """
    parts = [(value, position)]
    places = origin_of(position)
    if isinstance(value, list) and isinstance(places, Branch) and isinstance(places.values, list):
        parts = list(zip(value, places.values, strict=True))
    for part, where in parts:
        if not isinstance(part, dict):
            return False
        _add_missing(entries, branch, part, where)
    return True


def _add_missing(entries: dict[str, Value], branch: Any, part: dict[str, Value], where: Position) -> None:
    origin: Any = origin_of(where)
    for key, value in part.items():
        if key not in entries:
            entries[key] = value
            branch.keys[key] = origin.keys[key]
            inner = origin.values[key]
            branch.values[key] = Aliased(inner, where.used_at, where.note) if isinstance(where, Aliased) else inner
