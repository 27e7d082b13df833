"""The errors that readers of fields raise, and the sentences in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from taskloom.diagnostics import FieldError, quoted
from taskloom.text import did_you_mean

__all__ = ["JobErrors", "Loc", "invalid_value", "join_or", "unknown_keys"]

Loc = tuple[str | int, ...]
"""The path to a value: keys and list indices, beginning with the field."""


class JobErrors(Exception):
    """A declaration is invalid. `errors` holds everything that is wrong with it."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(error.message for error in self.errors))


def invalid_value(value: object, loc: Loc, expected: str, hint: str = "", *, name: str = "") -> JobErrors:
    """Return the error for an invalid value. The message names `loc`, unless `name` replaces it."""
    name = name or ".".join(str(part) for part in loc)
    return JobErrors([FieldError(loc, f"cannot use {quoted(value)} as {name}; expected {expected}", hint)])


def join_or(words: Sequence[str]) -> str:
    """Return the words as alternatives: `a, b or c`."""
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def unknown_keys(loc: Loc, value: Mapping[str, object], known: Sequence[str]) -> list[FieldError]:
    """Return an error for each unknown key of the mapping at `loc`."""
    name = ".".join(str(part) for part in loc)
    return [
        FieldError(
            (*loc, key),
            f"cannot find {key!r} in {name}; known: {', '.join(known)}",
            did_you_mean(str(key), known),
            at_key=True,
        )
        for key in value
        if key not in known
    ]
