"""Lines of text with styles, before they are drawn: the tests compare them, and without colour the text is enough."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

__all__ = ["Line", "Span", "Style", "cells", "fitted", "folded", "joined", "line", "text_of", "wrapped"]


class Style(StrEnum):
    """The meaning of a part of a line. The words of the line say the same, so that nothing is lost without colour."""

    PLAIN = ""
    HEAD = "head"
    """A head of a table, or the title of a part of the screen."""
    DIM = "dim"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    OWN = "own"
    """A frame of the user's own code in a stack."""
    CHOSEN = "chosen"
    """The line of the cursor; it has a mark as well."""


class Span(NamedTuple):
    """A piece of a line in one style."""

    text: str
    style: Style = Style.PLAIN


Line = tuple[Span, ...]


def line(*parts: str | Span) -> Line:
    """Return a line of these parts; a text alone is plain."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts)


def text_of(one: Line) -> str:
    """Return the text of a line, without its styles."""
    return "".join(span.text for span in one)


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fitted(text: str, width: int, mark: str = "…") -> str:
    """Return a text that takes exactly `width` columns: with blanks after it, or cut with a mark at its end."""
    size = cells(text)
    if size <= width:
        return text + " " * (width - size)
    room = width - cells(mark)
    if room < 0:
        return " " * width
    kept = next(wrapped(text, room)) if room else ""
    kept = kept if cells(kept) <= room else ""  # one wide character in a single column
    return kept + mark + " " * (room - cells(kept))


def wrapped(text: str, width: int) -> Iterator[str]:
    """Yield the pieces of a text that take at most `width` columns each; one empty piece for an empty text."""
    piece: list[str] = []
    size = 0
    for character in text:
        its = _cells(character)
        if size + its > width and piece:
            yield "".join(piece)
            piece, size = [], 0
        piece.append(character)
        size += its
    yield "".join(piece)


def folded(text: str, width: int) -> Iterator[str]:
    """Yield the lines of a text of words that take at most `width` columns each; only a longer word is cut."""
    rest = ""
    for word in text.split(" "):
        joint = f"{rest} {word}" if rest else word
        if cells(joint) <= width:
            rest = joint
            continue
        if rest:
            yield rest
        *full, rest = wrapped(word, width)
        yield from full
    yield rest


def joined(parts: Sequence[Line], gap: str) -> Line:
    """Return one line of several, with a gap between."""
    found: list[Span] = []
    for part in parts:
        found += [Span(gap), *part] if found else part
    return tuple(found)
