"""What the readers of all fields share: a sentence about a value, durations, choices, the keys of a mapping.

A reader takes a plain value and where it stands (`loc`, from the field on), and returns the final value or raises
JobMistakes with everything that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar

from taskloom.catalog.pydantic_errors import value_hint
from taskloom.diagnostics import FieldError, quoted
from taskloom.task import parse_duration
from taskloom.text import did_you_mean

__all__ = [
    "DURATION",
    "NONE",
    "JobErrors",
    "Loc",
    "MappingReader",
    "invalid_value",
    "join_or",
    "positive",
    "read_choice",
    "read_flag",
    "read_seconds",
    "read_text",
    "unknown_keys",
    "values_of",
]

Loc = tuple[str | int, ...]
Words = TypeVar("Words", bound=Enum)
Final = TypeVar("Final")

NONE = "none"
"""How a field is written that has no value: a job says so where `defaults:` gives it one."""

DURATION: Mapping[str, Any] = {
    "anyOf": [{"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"}, {"type": "number", "minimum": 0}]
}
"""JSON Schema of a duration."""


class JobErrors(Exception):
    """A declaration cannot be used: `mistakes` holds all that is wrong with it."""

    def __init__(self, mistakes: Iterable[FieldError]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(mistake.message for mistake in self.mistakes))


def invalid_value(value: object, loc: Loc, expected: str, hint: str = "", *, name: str = "") -> JobErrors:
    """Return the error for a value that cannot be what `loc` leads to (or what `name` says it is)."""
    name = name or ".".join(str(part) for part in loc)
    return JobErrors([FieldError(loc, f"cannot use {quoted(value)} as {name}; expected {expected}", hint)])


def join_or(words: Sequence[str]) -> str:
    """Return the words as a choice: `a, b or c`."""
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def read_flag(value: object, loc: Loc) -> bool:
    """Return true or false."""
    if isinstance(value, bool):
        return value
    raise invalid_value(value, loc, "true or false", value_hint(["bool_type"], value))


def read_text(value: object, loc: Loc) -> str:
    """Return a text."""
    if isinstance(value, str):
        return value
    raise invalid_value(value, loc, "text", value_hint(["string_type"], value))


# Many jobs write the same few durations.
_seconds_of_text = lru_cache(maxsize=1024)(parse_duration)


def read_seconds(value: object, loc: Loc) -> float:
    """Return a duration in seconds, from 0 to ten years."""
    try:
        return _seconds_of_text(value) if type(value) is str else parse_duration(value)
    except ValueError as error:
        raise JobErrors([FieldError(loc, f"{error}")]) from None


def positive(value: object, loc: Loc) -> float:
    """Return a duration of more than no time, in seconds."""
    seconds = read_seconds(value, loc)
    if seconds == 0:
        raise invalid_value(value, loc, "more than 0")
    return seconds


def values_of(words: type[Enum]) -> list[str]:
    """Return the words as they are written."""
    return [str(each.value) for each in words]


def read_choice(words: type[Words]) -> Callable[[object, Loc], Words]:
    """Return a reader of one of the words."""
    choices = {str(each.value): each for each in words}

    def read(value: object, loc: Loc) -> Words:
        if isinstance(value, str) and value in choices:
            return choices[value]
        raise invalid_value(value, loc, join_or(list(choices)), did_you_mean(value, choices))

    return read


def unknown_keys(loc: Loc, value: Mapping[str, object], known: Sequence[str]) -> list[FieldError]:
    """Return a mistake for each key that is none of the known ones."""
    name = ".".join(str(part) for part in loc)
    return [
        FieldError((*loc, key), f"cannot find {key!r} in {name}; known: {', '.join(known)}",
                did_you_mean(str(key), known), at_key=True)
        for key in value
        if key not in known
    ]  # fmt: skip


class MappingReader:
    """The keys of a mapping, read one by one; what is wrong with each is kept until `done`."""

    def __init__(self, value: Mapping[str, object], loc: Loc, known: Sequence[str]) -> None:
        self._value, self._loc = value, loc
        self.mistakes = unknown_keys(loc, value, known)

    def read(self, key: str, reader: Callable[[object, Loc], Final], default: Final) -> Final:
        """Return what is written under the key; the default where nothing is, or nothing that can be used."""
        if key not in self._value:
            return default
        try:
            return reader(self._value[key], (*self._loc, key))
        except JobErrors as error:
            self.mistakes += error.mistakes
            return default

    def refuse(self, key: str, message: str, hint: str = "", *, at_key: bool = False) -> None:
        """Note a mistake about what stands under the key."""
        self.mistakes.append(FieldError((*self._loc, key) if key else self._loc, message, hint, at_key=at_key))

    def done(self) -> None:
        """Raise JobMistakes when anything was wrong."""
        if self.mistakes:
            raise JobErrors(self.mistakes)
