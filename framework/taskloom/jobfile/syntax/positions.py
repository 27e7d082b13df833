"""Where every key and value of a job file stands.

The reader notes one integer per key and per scalar, and nothing else: lines and columns are worked out when a
problem asks for them. A file without a mistake pays for neither.
"""

from __future__ import annotations

from functools import cached_property
from itertools import accumulate
from typing import Literal, NamedTuple, TypeAlias

from taskloom.diagnostics import Place, Problem, Related

__all__ = ["Borrowed", "Branch", "Path", "Positions", "Source", "Span", "Standing", "edges", "pack", "settle"]

Path: TypeAlias = tuple[str | int, ...]

# A span is one integer (start << 33 | end << 1 | written plain) because a tuple of three costs three
# times the memory, and a job file of 8 MiB holds half a million of them. Offsets are in characters.
Span: TypeAlias = int
_END_BITS = 32
_END_MASK = (1 << _END_BITS) - 1


def pack(start: int, end: int, *, plain: bool = False) -> Span:
    """Return the span from character offset `start` up to `end`. The reader's inner loop writes this out by hand."""
    return start << 33 | end << 1 | plain


# Line breaks are counted by blocks of so many characters: counting one takes about a microsecond.
_BLOCK = 4096


class Branch:
    """The places of one mapping (`keys` and `values` by key) or one sequence (`values` by index)."""

    __slots__ = ("keys", "span", "values")

    def __init__(self, span: Span, keys: dict[str, Span], values: dict[str, Standing] | list[Standing]) -> None:
        self.span, self.keys, self.values = span, keys, values


class Borrowed(NamedTuple):
    """The place of a value that is written elsewhere: `standing` is where, `used` is the alias that brought it here."""

    standing: Standing
    used: Span
    how: str


Standing: TypeAlias = Span | Branch | Borrowed


class Source:
    """The text of one job file, with its lines counted as editors count them: "\\n", "\\r\\n" and "\\r" end one.

    There is no table of lines: of a hostile file that is all line breaks it would take fifty times the file's size.
    """

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text
        self._last_line = len(text) + 1, ""

    @cached_property
    def lines(self) -> list[str]:
        """The lines without their line breaks; an empty file has one empty line."""
        return self.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")

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
            # One more character is looked at, so that a "\r\n" astride the end is not taken for a lone "\r".
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
            if start == offset and self.text.startswith("\n", offset):  # between "\r" and "\n" no line begins
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
    """Answers where the value at a key path stands, such as `("jobs", "tick", "params", "start")`.

    A path may name more than is there (a missing field): the answer is then the nearest key above it.
    """

    def __init__(self, source: Source, root: Standing) -> None:
        self.source, self.root = source, root

    def value(self, path: Path) -> Place:
        """Return where the value at `path` is written. Text that came through an alias is answered at its anchor."""
        return self.source.place(*edges(self._span(path)))

    def key(self, path: Path) -> Place:
        """Return where the last key of `path` is written; for an item of a list, where the item is."""
        return self.source.place(*edges(self._key_span(path)))

    def related(self, path: Path) -> tuple[Related, ...]:
        """Return where the value at `path` was used, if it is written elsewhere: a place per alias, outermost first."""
        found = []
        for standing in self._walk(path)[0]:
            while isinstance(standing, Borrowed):
                found.append(Related(self.source.place(*edges(standing.used)), standing.how))
                standing = standing.standing
        return tuple(found)

    def problem(self, path: Path, message: str, *, hint: str = "", severity: Literal["error", "warning"] = "error",
                job: str | None = None, at_key: bool = False) -> Problem:  # fmt: skip
        """Return a problem about the value at `path` (or its key), with its line and where an alias used it."""
        start, end = edges(self._key_span(path) if at_key else self._span(path))
        place, line = self.source.place(start, end), self.source.line(start)
        return Problem(place, message, hint, severity, job, line, self.related(path))

    def is_plain(self, path: Path) -> bool:
        """Return whether the scalar at `path` was written without quotes (and is no `|` or `>` block)."""
        return self._exists(path) and bool(self._span(path) & 1)

    def written(self, path: Path) -> str:
        """Return the scalar at `path` as the file has it, quotes and `${...}` included; "" for anything else."""
        if not self._exists(path) or isinstance(settle(self._walk(path)[0][-1]), Branch):
            return ""
        start, end = edges(self._span(path))
        return self.source.text[start:end]

    def _walk(self, path: Path) -> tuple[list[Standing], int]:
        """Return what stands at each step of `path` from the root on, and how many steps exist."""
        trail = [self.root]
        for step in path:
            branch = settle(trail[-1])
            found = _child(branch, step)
            if found is None:
                break
            trail.append(found)
        return trail, len(trail) - 1

    def _exists(self, path: Path) -> bool:
        return self._walk(path)[1] == len(path)

    def _span(self, path: Path) -> Span:
        trail, depth = self._walk(path)
        if depth < len(path):
            return self._key_span(path[:depth])
        standing = settle(trail[-1])
        return standing.span if isinstance(standing, Branch) else standing

    def _key_span(self, path: Path) -> Span:
        trail, depth = self._walk(path)
        if depth:
            parent = settle(trail[depth - 1])
            key = path[depth - 1]
            if isinstance(parent, Branch) and isinstance(key, str) and key in parent.keys:
                return parent.keys[key]
        standing = settle(trail[depth])
        return standing.span if isinstance(standing, Branch) else standing


def edges(span: Span) -> tuple[int, int]:
    """Return the character offsets at which `span` starts and ends."""
    return span >> 33, span >> 1 & _END_MASK


def settle(standing: Standing) -> Span | Branch:
    """Return where the value is really written, however many aliases brought it."""
    while isinstance(standing, Borrowed):
        standing = standing.standing
    return standing


def _child(branch: Span | Branch, step: str | int) -> Standing | None:
    if not isinstance(branch, Branch):
        return None
    if isinstance(branch.values, dict):
        return branch.values.get(step) if isinstance(step, str) else None
    if isinstance(step, int) and 0 <= step < len(branch.values):
        return branch.values[step]
    return None
