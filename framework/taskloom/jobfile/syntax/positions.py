"""The positions of all keys and values of a job file.

The reader stores only one integer per key and per scalar. Lines and columns are computed when a problem is reported,
so a file without errors costs neither.
"""

from __future__ import annotations

from functools import cached_property
from itertools import accumulate
from typing import Literal, NamedTuple, TypeAlias

from taskloom.diagnostics import Place, Problem, Related

__all__ = ["Aliased", "Branch", "Path", "Position", "Positions", "Source", "Span", "offsets", "origin_of", "pack"]

Path: TypeAlias = tuple[str | int, ...]

# A span is one integer (start << 33 | end << 1 | written plain) because a tuple of three costs three
# times the memory, and a job file of 8 MiB holds half a million of them. Offsets are in characters.
Span: TypeAlias = int
_END_BITS = 32
_END_MASK = (1 << _END_BITS) - 1


def pack(start: int, end: int, *, plain: bool = False) -> Span:
    """Return the span from character offset `start` up to `end`. The reader's inner loop inlines it."""
    return start << 33 | end << 1 | plain


# Line breaks are counted in blocks of this many characters: counting one block takes about a microsecond.
_BLOCK = 4096


class Branch:
    """The positions in one mapping (`keys` and `values` by key) or in one sequence (`values` by index)."""

    __slots__ = ("keys", "span", "values")

    def __init__(self, span: Span, keys: dict[str, Span], values: dict[str, Position] | list[Position]) -> None:
        self.span, self.keys, self.values = span, keys, values


class Aliased(NamedTuple):
    """The position of a value that is written elsewhere, at `position`, and used through the alias at `used_at`."""

    position: Position
    used_at: Span
    note: str


Position: TypeAlias = Span | Branch | Aliased


class Source:
    """The text of one job file. Lines are counted as in editors: "\\n", "\\r\\n" and "\\r" end one.

    There is no table of lines: for a hostile file of line breaks only, it would take fifty times the file's size.
    """

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text
        self._last_line = len(text) + 1, ""

    @cached_property
    def _has_returns(self) -> bool:
        return "\r" in self.text

    @cached_property
    def _breaks_before(self) -> list[int]:
        blocks = range(0, len(self.text) + 1, _BLOCK)
        return [0, *accumulate(self._breaks(start, min(start + _BLOCK, len(self.text))) for start in blocks)]

    def _breaks(self, start: int, end: int) -> int:
        """Return how many lines end from offset `start` up to `end`. A "\\r\\n" ends one, at its "\\n"."""
        found = self.text.count("\n", start, end)
        if self._has_returns:
            # One more character is included, so that a "\r\n" across the end is not counted as a lone "\r".
            found += self.text.count("\r", start, end) - self.text.count("\r\n", start, end + 1)
        return found

    def line_start(self, offset: int) -> int:
        """Return the offset at which the line of `offset` begins."""
        return self._line_of(offset)[0]

    def line(self, offset: int) -> str:
        """Return the line of `offset`. All problems of one line share the string: lines may be megabytes long."""
        return self._line_of(offset)[1]

    def _line_of(self, offset: int) -> tuple[int, str]:
        start, text = self._last_line
        if not start <= offset <= start + len(text):
            start = self._start_of_line(offset)
            text = self.text[start : self._end_of_line(start)]
            self._last_line = start, text
        return self._last_line

    def _start_of_line(self, offset: int) -> int:
        start = self.text.rfind("\n", 0, offset) + 1
        if self._has_returns:
            start = max(start, self.text.rfind("\r", start, offset) + 1)
            if start == offset and self.text.startswith("\n", offset):  # no line begins between "\r" and "\n"
                return self._start_of_line(offset - 1)
        return start

    def _end_of_line(self, start: int) -> int:
        end = self.text.find("\n", start)
        end = len(self.text) if end < 0 else end
        lone = self.text.find("\r", start, end) if self._has_returns else -1
        return end if lone < 0 else lone

    def place(self, start: int, end: int | None = None) -> Place:
        """Return the place of the text from `start` to `end`, cut at the end of its first line."""
        block = start // _BLOCK
        number = 1 + self._breaks_before[block] + self._breaks(block * _BLOCK, start)
        line_start, line = self._line_of(start)
        column = start - line_start + 1
        rest = len(line) - column + 1
        return Place(self.path, number, column, max(1, min((end or start) - start, rest)))

    def problem(self, start: int, message: str, *, end: int | None = None, hint: str = "",
                related: tuple[Related, ...] = ()) -> Problem:  # fmt: skip
        """Return an error about the text from `start` to `end`."""
        return Problem(self.place(start, end), message, hint, source_line=self.line(start), related=related)


class Positions:
    """Finds the place of the value at a key path such as `("jobs", "tick", "params", "start")`.

    If the path does not exist (a missing field), the result is the nearest key above it.
    """

    def __init__(self, source: Source, root: Position) -> None:
        self.source, self.root = source, root

    def value(self, path: Path) -> Place:
        """Return the place of the value at `path`. For a value behind an alias, this is its anchor."""
        return self.source.place(*offsets(self._span(path)))

    def key(self, path: Path) -> Place:
        """Return the place of the last key of `path`; for an item of a list, the place of the item."""
        return self.source.place(*offsets(self._key_span(path)))

    def related(self, path: Path) -> tuple[Related, ...]:
        """Return the places of the aliases through which the value at `path` is used, outermost first."""
        found = []
        for position in self._walk(path)[0]:
            while isinstance(position, Aliased):
                found.append(Related(self.source.place(*offsets(position.used_at)), position.note))
                position = position.position
        return tuple(found)

    def problem(self, path: Path, message: str, *, hint: str = "", severity: Literal["error", "warning"] = "error",
                job: str | None = None, at_key: bool = False) -> Problem:  # fmt: skip
        """Return a problem about the value at `path` (or its key), with its line and the aliases that use it."""
        start, end = offsets(self._key_span(path) if at_key else self._span(path))
        place, line = self.source.place(start, end), self.source.line(start)
        return Problem(place, message, hint, severity, job, line, self.related(path))

    def written(self, path: Path) -> str:
        """Return the scalar at `path` as written, including quotes and `${...}`; "" for anything else."""
        trail, depth = self._walk(path)
        if depth < len(path) or isinstance(origin_of(trail[-1]), Branch):
            return ""
        start, end = offsets(self._span(path))
        return self.source.text[start:end]

    def offsets(self, path: Path) -> tuple[int, int]:
        """Return the offsets in the text between which the value at `path` is written."""
        return offsets(self._span(path))

    def _walk(self, path: Path) -> tuple[list[Position], int]:
        """Return the position at each step of `path`, beginning with the root, and the number of steps that exist."""
        trail = [self.root]
        for step in path:
            found = _child(origin_of(trail[-1]), step)
            if found is None:
                break
            trail.append(found)
        return trail, len(trail) - 1

    def _span(self, path: Path) -> Span:
        trail, depth = self._walk(path)
        if depth < len(path):
            return self._key_span(path[:depth])
        position = origin_of(trail[-1])
        return position.span if isinstance(position, Branch) else position

    def _key_span(self, path: Path) -> Span:
        trail, depth = self._walk(path)
        if depth:
            parent = origin_of(trail[depth - 1])
            key = path[depth - 1]
            if isinstance(parent, Branch) and isinstance(key, str) and key in parent.keys:
                return parent.keys[key]
        position = origin_of(trail[depth])
        return position.span if isinstance(position, Branch) else position


def offsets(span: Span) -> tuple[int, int]:
    """Return the character offsets of the start and the end of `span`."""
    return span >> 33, span >> 1 & _END_MASK


def origin_of(position: Position) -> Span | Branch:
    """Return the position at which the value is written, behind all aliases."""
    while isinstance(position, Aliased):
        position = position.position
    return position


def _child(branch: Span | Branch, step: str | int) -> Position | None:
    if not isinstance(branch, Branch):
        return None
    if isinstance(branch.values, dict):
        return branch.values.get(step) if isinstance(step, str) else None
    if isinstance(step, int) and 0 <= step < len(branch.values):
        return branch.values[step]
    return None
