"""One job file as plain values, and the limits on its size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from taskloom.diagnostics import Problem
from taskloom.jobfile.syntax.positions import Positions, Source
from taskloom.jobfile.syntax.scalars import Scalar

__all__ = ["Document", "Limits", "Value"]

Value: TypeAlias = "dict[str, Value] | list[Value] | Scalar"


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest job file. `nodes` counts keys, scalars and containers, including those that aliases repeat."""

    bytes: int = 8 * 1024 * 1024
    depth: int = 32
    nodes: int = 500_000


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

    @property
    def lines(self) -> list[str]:
        """The lines of the file, without their line breaks."""
        return self.source.lines
