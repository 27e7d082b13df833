"""What `&name`, `*name` and `<<` mean: one value, in several places of the file."""

from __future__ import annotations

from typing import Any, NamedTuple

from taskloom.jobfile.syntax.document import Value
from taskloom.jobfile.syntax.positions import Borrowed, Branch, Span, Standing, settle

__all__ = ["Anchor", "merge"]


class Anchor(NamedTuple):
    """What an alias repeats, and what that costs. `nodes` is 0 while the anchored container is still being read."""

    value: Value
    standing: Standing
    nodes: int
    height: int
    span: Span


def merge(entries: dict[str, Value], branch: Any, value: Value, standing: Standing) -> bool:
    """Add to `entries` and their `branch` what `<<` brings: a mapping, or a list of which the earlier mapping wins.

    A key that is there already stays. Returns False when the value is neither.
    """
    parts = [(value, standing)]
    places = settle(standing)
    if isinstance(value, list) and isinstance(places, Branch) and isinstance(places.values, list):
        parts = list(zip(value, places.values, strict=True))
    for part, where in parts:
        if not isinstance(part, dict):
            return False
        _add_missing(entries, branch, part, where)
    return True


def _add_missing(entries: dict[str, Value], branch: Any, part: dict[str, Value], where: Standing) -> None:
    origin: Any = settle(where)
    for key, value in part.items():
        if key not in entries:
            entries[key] = value
            branch.keys[key] = origin.keys[key]
            inner = origin.values[key]
            branch.values[key] = Borrowed(inner, where.used, where.how) if isinstance(where, Borrowed) else inner
