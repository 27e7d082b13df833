"""One job file as plain values, the limits on its size, and values that aliases and merge keys (`<<`) repeat."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from taskloom.diagnostics import Problem
from taskloom.jobfile.syntax.positions import Aliased, Branch, Position, Positions, Source, Span, origin_of
from taskloom.jobfile.syntax.scalars import Scalar

__all__ = ["LIMITS", "Anchor", "Document", "Limits", "Value", "merge"]

Value: TypeAlias = "dict[str, Value] | list[Value] | Scalar"


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest job file. `nodes` counts keys, scalars and containers, including those that aliases repeat."""

    bytes: int = 8 * 1024 * 1024
    depth: int = 32
    nodes: int = 500_000


LIMITS = Limits()
"""The limits of every job file that a user gives."""


@dataclass(frozen=True, slots=True)
class Document:
    """One job file as plain values. `root` is a mapping, or None if the file is empty (with a warning)."""

    source: Source
    root: Value
    positions: Positions
    warnings: list[Problem] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The path as the user gave it."""
        return self.source.path


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
