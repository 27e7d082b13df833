"""Which values of params can be sent to another process: JSON data that arrives there as it was written."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Iterator, Mapping
from typing import Any

from taskloom.catalog.pydantic_errors import is_secret_type, type_at
from taskloom.diagnostics import MASK, SECRET_NAME, FieldError, quoted

__all__ = ["errors_in_value"]

# The encoder of the standard library stops at about 1,000 levels, less those of its callers.
_MOST_DEPTH = 200
# Python converts at most 4,300 digits from and to text, which are some 14,284 bits.
_MOST_BITS = 14_000
Loc = tuple[str | int, ...]

_BY_CLASS: Mapping[str, str] = {
    **dict.fromkeys(("tuple", "set", "frozenset", "deque", "range", "array"), "write a list"),
    **dict.fromkeys(("OrderedDict", "defaultdict", "mappingproxy", "dict"), "write a plain dict"),
    **dict.fromkeys(("bytes", "bytearray", "memoryview", "str"), "write plain text"),
    **dict.fromkeys(("datetime", "date", "time", "Decimal", "UUID", "PurePath"), "write it as text"),
    "timedelta": "write a number of seconds",
}


def errors_in_value(name: str, value: object, annotation: Any) -> Iterator[FieldError]:
    """Yield an error for each part of a param that cannot be sent as it is. Locations begin with `params`."""
    found = _Value(name, annotation)
    for loc, message, hint, at_key in found.walk(value, (name,)):
        yield FieldError(("params", *loc), f"cannot pass param {_path(loc)!r} to a process: {message}", hint, at_key)


class _Value:
    """The walk through the value of one param."""

    def __init__(self, name: str, annotation: Any) -> None:
        self._is_secret = SECRET_NAME.search(name) is not None
        self._annotation = annotation

    def walk(self, value: Any, loc: Loc) -> Iterator[tuple[Loc, str, str, bool]]:
        """Yield the location, the message, the hint and `at_key` of each part that is not JSON data."""
        kind = type(value)
        if value is None or kind is bool or kind is str or (kind is float and math.isfinite(value)):
            return
        if kind is int:
            if value.bit_length() > _MOST_BITS:
                yield loc, "an integer of more than 4,200 digits is too long", "write it as text", False
        elif (kind is list or kind is dict) and len(loc) > _MOST_DEPTH:
            yield loc[:1], f"it is nested deeper than {_MOST_DEPTH} levels", "", False
        elif kind is list:
            for index, item in enumerate(value):
                yield from self.walk(item, (*loc, index))
        elif kind is dict:
            for key, item in value.items():
                if type(key) is str:
                    yield from self.walk(item, (*loc, key))
                else:
                    message = f"key {quoted(key)} of type {type(key).__name__} is not text"
                    yield loc, message, f"write {quoted(str(key))}" if type(key) is int else "", False
        else:
            yield loc, f"{self._shown(value, loc)} of type {kind.__name__} is not JSON data", _hint(value), False

    def _shown(self, value: object, loc: Loc) -> str:
        is_secret = self._is_secret or hasattr(type(value), "get_secret_value")
        is_secret = is_secret or is_secret_type(type_at(self._annotation, loc[1:]))
        return MASK if is_secret else quoted(value)


def _hint(value: object) -> str:
    """Return how to write a value as JSON data, or ""."""
    kind = type(value)
    if isinstance(value, enum.Enum):
        return "write its value"
    for each in kind.__mro__:
        if each.__name__ in _BY_CLASS:
            return _BY_CLASS[each.__name__]
    if dataclasses.is_dataclass(kind) or hasattr(kind, "model_fields"):
        return "write a dict of its fields"
    return "open it in the task" if hasattr(kind, "fileno") else ""


def _path(loc: Loc) -> str:
    """Return the path to a value for messages: `peers[0].port`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")
