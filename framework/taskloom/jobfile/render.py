"""Renders problems: as text with the line of the file and a caret, or as data."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import partial
from typing import Any

from taskloom.diagnostics import Place, Problem
from taskloom.jobfile.syntax.scalars import hidden_character

__all__ = ["as_json", "render", "render_all"]

# Longer lines are cut to the part around the caret. In terminal columns.
WIDTH = 100
_BEFORE_CARET = 40
_TAB = 4

_JOINERS = "\u200c\u200d"

_COLORS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "caret": "\x1b[1;32m", "bold": "\x1b[1m"}
_RESET = "\x1b[0m"


def render_all(problems: Iterable[Problem], *, color: bool = False) -> str:
    """Return the text of all problems, one below the other."""
    return "\n".join(render(problem, color=color) for problem in problems)


def render(problem: Problem, *, color: bool = False) -> str:
    """Return the problem as text: the message, the line of the file, the caret, and one line for each related place.

    Control characters and invisible characters are shown as escapes, so that the text cannot control the terminal.
    """
    paint = partial(_paint, color)
    owner = f"job {problem.job!r}: " if problem.job is not None else ""
    head = f"{paint('bold', escape(str(problem.place)))}: {paint(problem.severity, problem.severity)}: "
    lines = [head + escape(owner + problem.message)]
    hint = escape(problem.hint)
    if problem.source_line:
        column, length = problem.caret or (problem.place.column, problem.place.length)
        lines += _source_lines(problem.place._replace(column=column, length=length), problem.source_line, hint, paint)
    elif hint:
        lines.append(f"  hint: {hint}")
    lines += [f"{escape(str(place))}: note: {escape(note)}" for place, note in problem.related]
    return "\n".join(lines)


def as_json(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Return the problems as data for `-o json`: the fields of `Problem`, and those of its place at the same level."""
    return [
        {
            **problem.place._asdict(),
            "severity": problem.severity,
            "job": problem.job,
            "message": problem.message,
            "hint": problem.hint,
            "related": [{**place._asdict(), "message": message} for place, message in problem.related],
        }
        for problem in problems
    ]


def _paint(color: bool, style: str, text: str) -> str:
    return f"{_COLORS[style]}{text}{_RESET}" if color else text


def _source_lines(place: Place, line: str, hint: str, paint: Any) -> list[str]:
    # A line of megabytes is cut before its characters are processed one by one.
    cut = max(0, place.column - 1 - WIDTH)
    rest = line[cut : place.column - 1 + 2 * WIDTH]
    cells = _cells(rest)
    caret_from = min(place.column - 1 - cut, len(cells))
    caret_to = max(caret_from + 1, min(caret_from + place.length, len(cells)))
    first, last = (
        _window(cells, caret_from) if len(rest) < len(line) or _width("".join(cells)) > WIDTH else (0, len(cells))
    )
    before, after = "…" if cut or first else "", "…" if cut + last < len(line) else ""
    indent = len(before) + _width("".join(cells[first:caret_from]))
    carets = max(1, _width("".join(cells[caret_from : min(caret_to, last)])))
    gutter = str(place.line)
    marked = paint("caret", "^" * carets + (f" {hint}" if hint else ""))
    return [
        f"  {gutter} | {before}{''.join(cells[first:last])}{after}".rstrip(),
        f"  {' ' * len(gutter)} | {' ' * indent}{marked}",
    ]


def _window(cells: list[str], caret: int) -> tuple[int, int]:
    """Return the range of the cells to show: those around the caret that fit."""
    first, room = caret, _BEFORE_CARET
    while first > 0 and room >= _width(cells[first - 1]):
        first -= 1
        room -= _width(cells[first])
    last, room = caret, WIDTH - _width("".join(cells[first:caret]))
    while last < len(cells) and room >= _width(cells[last]):
        room -= _width(cells[last])
        last += 1
    return first, last


def escape(text: str) -> str:
    """Return `text` with escapes for all characters that control a terminal or are invisible."""
    return text if text.isascii() and text.isprintable() else "".join(_cells(text))


def _cells(text: str) -> list[str]:
    """Return what to show for each character. A joiner inside of a script or an emoji that needs it is text."""
    cells = list(map(_cell, text))
    for place, character in enumerate(text):
        is_inside = character in _JOINERS and 0 < place < len(text) - 1
        if is_inside and not text[place - 1].isascii() and not text[place + 1].isascii():
            cells[place] = character
    return cells


def _cell(character: str) -> str:
    """Return the text to show for one character. A tab becomes spaces, because tab stops would move the caret."""
    if character == "\t":
        return " " * _TAB
    if character.isascii() and character.isprintable():
        return character
    if hidden_character(character) is None or unicodedata.category(character) == "Zs":
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _width(text: str) -> int:
    """Return the width of `text` in terminal columns."""
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.combining(character) or character in _JOINERS:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
