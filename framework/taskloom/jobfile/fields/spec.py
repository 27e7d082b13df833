"""Declares once what a value of a job file may be, and derives its reader and its JSON Schema from the declaration.

A field combines the functions below. For example, `timeout` is `one_of(constant("none", None), seconds(...))`.
pydantic is not used here: hand-written sentences about two dozen fields are clearer than translated ones, and
importing pydantic would take longer than loading most job files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, Generic, TypeGuard, TypeVar

from taskloom.catalog.pydantic_errors import value_hint
from taskloom.diagnostics import FieldError, missing_blank, quoted
from taskloom.task import parse_duration
from taskloom.text import did_you_mean

__all__ = [
    "Field",
    "JobErrors",
    "Loc",
    "Spec",
    "check_blank",
    "choice",
    "constant",
    "flag",
    "integer",
    "invalid_value",
    "is_number",
    "join_or",
    "list_of",
    "number",
    "one_of",
    "seconds",
    "size",
    "text",
    "words",
]

T = TypeVar("T")
U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)
Member = TypeVar("Member", bound=Enum)
Hint = Callable[[object], str]
"""Returns the hint for an invalid value, or ""."""
Loc = tuple[str | int, ...]
"""The path to a value: keys and list indices, beginning with the field."""

_DURATION: Mapping[str, Any] = {
    "anyOf": [{"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"}, {"type": "number", "minimum": 0}]
}
_POSITIVE_DURATION: Mapping[str, Any] = {
    "anyOf": [
        {"type": "string", "pattern": r"^(?=.*[1-9])(\d+(\.\d+)?(ms|s|m|h|d))+$"},
        {"type": "number", "exclusiveMinimum": 0},
    ]
}


class JobErrors(Exception):
    """A declaration is invalid. `errors` holds everything that is wrong with it."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(error.message for error in self.errors))


def invalid_value(value: object, loc: Loc, expected: str, hint: str = "", *, name: str = "") -> JobErrors:
    """Return the error for an invalid value. The message names `loc`, unless `name` replaces it."""
    name = name or ".".join(str(part) for part in loc)
    return JobErrors([FieldError(loc, f"cannot use {quoted(value)} as {name}; expected {expected}", hint)])


def check_blank(value: object, loc: Loc, keys: Container[str] | None = None) -> None:
    """Raise JobErrors for a text such as `every:5m`, which was meant as a key and its value.

    Call it where a mapping is expected. `keys`: those that are legal there; by default any.
    """
    found = missing_blank(value, keys)
    if found is not None:
        raise JobErrors([FieldError(loc, *found)])


def join_or(words: Sequence[str]) -> str:
    """Return the words as alternatives: `a, b or c`."""
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


class Spec(Generic[T_co]):
    """The declaration of one value. Immutable.

    A plain class, as `Field` is: creating a named tuple or a dataclass takes longer than importing a whole module here.
    """

    __slots__ = ("keys", "read", "recognises", "schema", "words")

    def __init__(
        self,
        read: Callable[[object, Loc], T_co],
        schema: Mapping[str, Any],
        recognises: Callable[[object], bool],
        words: Mapping[str, T_co] | None = None,
        keys: Sequence[str] = (),
    ) -> None:
        self.read = read
        """Returns the final value for the plain value at a location. Raises JobErrors with everything that is wrong."""
        self.schema = schema
        """The JSON Schema of the plain value. It accepts every value that `read` accepts."""
        self.recognises = recognises
        """Returns whether a value, valid or not, is in this form. Of several alternatives, the first one that
        recognises the value reads it, so that its message explains what is wrong."""
        self.words = words
        """The values by word, if this form is nothing but words."""
        self.keys = keys
        """The known keys, if this form is a mapping."""

    def read_by(self, read: Callable[[object, Loc], U]) -> Spec[U]:
        """Return a spec of the same form with another reader."""
        return Spec(read, self.schema, self.recognises)

    def recognised_by(self, recognises: Callable[[object], bool]) -> Spec[T_co]:
        """Return a spec that recognises other values as its own."""
        return Spec(self.read, self.schema, recognises)


class Field:
    """One field of a job."""

    __slots__ = ("default", "is_shareable", "name", "spec", "summary")

    def __init__(self, name: str, spec: Spec[Any], default: str, summary: str, *, is_shareable: bool = True) -> None:
        self.name = name
        self.spec = spec
        self.default = default
        """The default as it would be written, or "" if there is none."""
        self.summary = summary
        """The description in the reference and in the JSON Schema."""
        self.is_shareable = is_shareable
        """Whether `defaults:` may set it for all jobs of a file."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the plain value."""
        return self.spec.schema

    def read(self, value: object) -> Any:
        """Return the final value for a plain one. Raises JobErrors whose locations begin with the field's name."""
        return self.spec.read(value, (self.name,))


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether the value is an integer or a float. A boolean is neither."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def constant(word: str, value: T) -> Spec[T]:
    """Accept one word, which stands for `value`."""

    def read(written: object, loc: Loc) -> T:
        if written == word:
            return value
        raise invalid_value(written, loc, word)

    return Spec(read, {"const": word}, lambda written: written == word, {word: value})


def words(values: Mapping[str, T]) -> Spec[T]:
    """Accept one of several words, each of which stands for a value."""

    def read(written: object, loc: Loc) -> T:
        if isinstance(written, str) and written in values:
            return values[written]
        raise invalid_value(written, loc, join_or(list(values)), did_you_mean(written, values))

    return Spec(read, {"enum": list(values)}, lambda written: isinstance(written, str) and written in values, values)


def choice(members: type[Member]) -> Spec[Member]:
    """Accept the value of a member of an enum."""
    return words({str(member.value): member for member in members})


def flag() -> Spec[bool]:
    """Accept true or false."""

    def read(value: object, loc: Loc) -> bool:
        if isinstance(value, bool):
            return value
        raise invalid_value(value, loc, "true or false", value_hint(["bool_type"], value))

    return Spec(read, {"type": "boolean"}, lambda value: isinstance(value, bool))


def text(*, is_empty_allowed: bool = True, name: str = "") -> Spec[str]:
    """Accept text. `name` replaces the location in messages."""

    def read(value: object, loc: Loc) -> str:
        if isinstance(value, str) and (value or is_empty_allowed):
            return value
        raise invalid_value(value, loc, "text", value_hint(["string_type"], value), name=name)

    schema: dict[str, Any] = {"type": "string"} if is_empty_allowed else {"type": "string", "minLength": 1}
    return Spec(read, schema, lambda value: isinstance(value, str) and bool(value or is_empty_allowed))


# Many jobs write the same few durations.
_cached_parse = lru_cache(maxsize=1024)(parse_duration)


def _read_seconds(value: object, loc: Loc) -> float:
    try:
        return _cached_parse(value) if type(value) is str else parse_duration(value)
    except ValueError as error:
        raise JobErrors([FieldError(loc, f"{error}")]) from None


def _read_positive_seconds(value: object, loc: Loc) -> float:
    duration = _read_seconds(value, loc)
    if duration == 0:
        raise invalid_value(value, loc, "more than 0")
    return duration


def seconds(*, is_zero_allowed: bool = True) -> Spec[float]:
    """Accept a duration of up to ten years; its final value is in seconds."""
    return Spec(
        _read_seconds if is_zero_allowed else _read_positive_seconds,
        _DURATION if is_zero_allowed else _POSITIVE_DURATION,
        lambda value: is_number(value) or (isinstance(value, str) and value[:1].isdigit()),
    )


_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kKMGT](?:i?B)?)", re.ASCII)
_UNIT_BYTES = {f"{prefix}B": 1000**power for power, prefix in enumerate(("K", "M", "G", "T"), 1)}
_UNIT_BYTES |= {"kB": 1000, **{f"{unit[0]}iB": 1024**power for power, unit in enumerate(_UNIT_BYTES, 1)}}
_SIZES = "a size such as 512MiB or 1GiB"
# 1,000 TiB: a larger number is a mistake, and one that is much larger does not fit into the kernel's counters.
_LARGEST = 1000 << 40


def size(minimum: int) -> Spec[int]:
    """Accept a size such as `512MiB`, `1.5GiB` or `300MB`, or a number of bytes; its final value is in bytes.

    `minimum` is a whole number of MiB, in bytes.
    """

    def read(value: object, loc: Loc) -> int:
        found = _bytes_of(value)
        if found is None:
            raise invalid_value(value, loc, _SIZES, _size_hint(value))
        if found < minimum:
            raise invalid_value(value, loc, f"at least {minimum >> 20}MiB")
        if found > _LARGEST:
            raise invalid_value(value, loc, f"at most {_LARGEST >> 40}TiB")
        return found

    units = "|".join(_UNIT_BYTES)
    schema: Mapping[str, Any] = {
        "anyOf": [
            {"type": "string", "pattern": rf"^\d+(\.\d+)?({units})$", "examples": ["512MiB", "1GiB"]},
            {"type": "integer", "minimum": minimum, "maximum": _LARGEST},
        ]
    }
    return Spec(read, schema, lambda value: is_number(value) or (isinstance(value, str) and value[:1].isdigit()))


def _bytes_of(value: object) -> int | None:
    """Return a written size in bytes; None if it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None or found[2] not in _UNIT_BYTES:
        return None
    # By fractions of decimals, not of floats: 0.1GB has exactly 100,000,000 bytes.
    whole, _, decimals = found[1].partition(".")
    unit: int = _UNIT_BYTES[found[2]]
    scale: int = 10 ** len(decimals)
    return int(whole + decimals) * unit // scale


def _size_hint(value: object) -> str:
    """Return how to write a size with another spelling of its unit, such as `512M`, `512 MiB` or `512mib`."""
    text = "".join(value.split()) if isinstance(value, str) else ""
    number = text.rstrip("abgikmtABGIKMT")
    unit = text[len(number) :]
    for known in (f"{unit[:1].upper()}iB" if len(unit) == 1 else unit, *_UNIT_BYTES):
        if (
            known in _UNIT_BYTES
            and known.lower() in (unit.lower(), f"{unit.lower()}ib")
            and _SIZE.fullmatch(number + known)
        ):
            return f"write {number}{known}"
    return ""


def integer(minimum: int, maximum: int | None = None) -> Spec[int]:
    """Accept an integer within limits."""
    expected = f"an integer of at least {minimum}" if maximum is None else f"an integer from {minimum} to {maximum}"
    most = float("inf") if maximum is None else maximum

    def read(value: object, loc: Loc) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= most:
            return value
        raise invalid_value(value, loc, expected)

    schema: dict[str, Any] = {"type": "integer", "minimum": minimum}
    return Spec(read, schema if maximum is None else {**schema, "maximum": maximum}, is_number)


def number(minimum: int, maximum: int) -> Spec[float]:
    """Accept an integer or a float within limits."""

    def read(value: object, loc: Loc) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and minimum <= value <= maximum:
            return float(value)
        raise invalid_value(value, loc, f"a number from {minimum} to {maximum}")

    return Spec(read, {"type": "number", "minimum": minimum, "maximum": maximum}, is_number)


def list_of(item: Spec[T], expected: str, hint: Hint = lambda _: "") -> Spec[tuple[T, ...]]:
    """Accept a list whose items all match `item`."""

    def read(value: object, loc: Loc) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise invalid_value(value, loc, expected, hint(value))
        try:
            # Without the location of each item, which only an error needs. Readers have no side effects.
            return tuple([item.read(each, loc) for each in value])
        except JobErrors:
            raise JobErrors(_errors_in_items(value, item, loc)) from None

    return Spec(read, {"type": "array", "items": item.schema}, lambda value: isinstance(value, list))


def _errors_in_items(items: Sequence[object], spec: Spec[Any], loc: Loc) -> Iterator[FieldError]:
    for index, item in enumerate(items):
        try:
            spec.read(item, (*loc, index))
        except JobErrors as error:
            yield from error.errors


def one_of(*alternatives: Spec[T], expected: str = "", hint: Hint = lambda _: "") -> Spec[T]:
    """Accept what any alternative accepts.

    The first alternative that recognises a value reads it. If none does, the message lists the legal forms
    (`expected`); without `expected` the last alternative explains the mistake.
    """
    # Most values are a word or match the last form, so both are tried without a call of `recognises`.
    by_word = {word: value for spec in alternatives for word, value in (spec.words or {}).items()}
    readers = [(spec.recognises, spec.read) for spec in alternatives if spec.words is None]
    last = None if expected else readers.pop()[1]
    keys = [key for spec in alternatives for key in spec.keys]

    def read(value: object, loc: Loc) -> T:
        if isinstance(value, str) and value in by_word:
            return by_word[value]
        if keys:
            check_blank(value, loc, keys)
        for recognises, read_form in readers:
            if recognises(value):
                return read_form(value, loc)
        if last is not None:
            return last(value, loc)
        raise invalid_value(value, loc, expected, hint(value))

    schema = {"anyOf": [form for spec in alternatives for form in _forms(spec.schema)]}
    return Spec(read, schema, lambda value: any(spec.recognises(value) for spec in alternatives))


def _forms(schema: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the alternatives of a schema that is nothing but alternatives, so that they need not be nested."""
    return schema["anyOf"] if set(schema) == {"anyOf"} else [schema]
