"""The parts that every error message is built from: a place, a problem, a quoted value, a near match."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Container, Iterable
from itertools import islice
from typing import Literal, NamedTuple

__all__ = [
    "MASK",
    "SECRET_NAME",
    "FieldError",
    "MachineError",
    "Place",
    "Problem",
    "Related",
    "UnusableField",
    "cut",
    "missing_blank",
    "near_match",
    "quoted",
]

MASK = "**********"
"""Shown in place of a secret of any length."""
SECRET_NAME = re.compile(r"passw|passphrase|secret|token|credential|api[_-]?key|private[_-]?key", re.IGNORECASE)
"""Found in the name of a value that is probably secret."""

_LONGEST_QUOTE = 60
# The search for a near match takes 100 ms at most. Longer names are not typos. A comparison takes time in proportion to
# the square of the length, so fewer are made of long names.
_LONGEST_NAME = 100
_MOST_COMPARED = 4000
_MOST_STEPS = 1_000_000
_SEPARATORS = str.maketrans("_ ", "--")
# The share of equal characters from which on difflib calls two texts close.
_SIMILARITY = 0.6


class UnusableField(ValueError):
    """A value cannot be used. `field` is the path to it, relative to the object that refuses it; () for all of it."""

    def __init__(self, text: str, *field: str | int) -> None:
        super().__init__(text)
        self.field = field


def near_match(wanted: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most likely meant, or None.

    Upper and lower case are compared as equal, and so are `_`, `-` and a blank. Of very many known names only the first
    ones of similar length are compared, so that it takes little time.
    """
    size = len(wanted)
    if not 0 < size <= _LONGEST_NAME:
        return None
    similar = (name for name in known if 2.0 * min(size, len(name)) / (size + len(name)) >= _SIMILARITY)
    by_letters: dict[str, str] = {}
    for name in islice(similar, min(_MOST_COMPARED, _MOST_STEPS // size**2)):
        by_letters.setdefault(_letters(name), name)
    letters = _letters(wanted)
    found = difflib.get_close_matches(letters, by_letters, n=1, cutoff=_SIMILARITY)
    return by_letters[found[0]] if found else None


def _letters(name: str) -> str:
    return name.casefold().translate(_SEPARATORS)


class Place(NamedTuple):
    """A position in a job file: 1-based line and column, counted in characters."""

    path: str
    line: int
    column: int
    length: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


class Related(NamedTuple):
    """A second place that explains a problem, for example the first of two equal keys."""

    place: Place
    message: str


class Problem(NamedTuple):
    """One error or warning about a job file.

    The `message` of an error begins with "cannot ..." in lower case and names the legal values. `hint` is a near
    match or a fix, shown under the caret. `source_line` is the text of the line at `place`. If secrets are masked in
    it, `caret` is the column and the length of the place in the masked line.
    """

    place: Place
    message: str
    hint: str = ""
    severity: Literal["error", "warning"] = "error"
    job: str | None = None
    source_line: str = ""
    related: tuple[Related, ...] = ()
    caret: tuple[int, int] | None = None

    def __str__(self) -> str:
        owner = f"job {self.job!r}: " if self.job is not None else ""
        return f"{self.place}: {self.severity}: {owner}{self.message}"


class FieldError(NamedTuple):
    """One error in a declaration, before its position in a file is known.

    `loc` is the path from the declaration to the value: keys and list indices. `at_key` is True when the key itself
    is wrong.
    """

    loc: tuple[str | int, ...]
    message: str
    hint: str = ""
    at_key: bool = False


class MachineError(FieldError):
    """An error whose value is right, and which this machine has for each job with this value: no job is at fault."""

    __slots__ = ()


def quoted(value: object) -> str:
    """Return the value as messages show it: as in a job file, cut to 60 characters."""
    if value is None or value is True or value is False:
        return json.dumps(value)
    try:
        text = repr(value[: _LONGEST_QUOTE + 1] if isinstance(value, str | bytes) else value)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - an object of a program that cannot be shown is shown by its type
        name: str = type.__dict__["__name__"].__get__(type(value))
        text = f"an object of type {name}"
    return cut(text)


def cut(text: str) -> str:
    """Return a quoted value, cut to 60 characters."""
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."


# Also `start :5`. Not `http://...`, `C:\\...`, `a::b` or `22:22`.
_MISSING_BLANK = re.compile(r"([A-Za-z_][\w.-]*)( ?):(?![/\\:])(\S+)")


def missing_blank(written: object, known: Container[str] | None = None) -> tuple[str, str] | None:
    """Return the message and the hint for `start:5`, where a mapping or one of its keys is expected; None for others.

    YAML reads it as a text, since the blank after the ":" is missing. `known`: the keys that are legal there.
    """
    found = _MISSING_BLANK.match(written) if isinstance(written, str) and ":" in written else None
    if found is None or (known is not None and found[1] not in known):
        return None
    key, before, value = found.groups()
    if SECRET_NAME.search(key):
        value = MASK
    message = f"cannot read {quoted(f'{key}{before}:{value}')} as a key and its value: the blank after ':' is missing"
    return message, f"write {quoted(f'{key}: {value}')}"
