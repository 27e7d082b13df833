"""Reads the values of an answer: each is checked for its type, so that no answer leads to a traceback."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from taskloom.control.client_errors import BadReply
from taskloom.diagnostics import quoted

__all__ = ["Fields"]


class Fields:
    """An object of JSON, and who sent it. A value that is missing or null is "", None, False or empty.

    The program may be an older or a newer one: fields that are unknown here are left alone.
    """

    __slots__ = ("_data", "_who")

    def __init__(self, data: Mapping[str, Any], who: str = "the program") -> None:
        self._data, self._who = data, who

    @property
    def data(self) -> Mapping[str, Any]:
        """The object as it came."""
        return self._data

    def text(self, name: str) -> str:
        """Return a text. Raises BadReply, as all of these."""
        value: str = self._read(name, str, "a text", "")
        return value

    def number(self, name: str) -> float | None:
        """Return a finite number, or None."""
        value = self._data.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(name, value, "a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self._wrong(name, value, "a number")
        return number

    def count(self, name: str) -> int:
        """Return a whole number; 0 if it is missing."""
        return int(self.number(name) or 0)

    def flag(self, name: str) -> bool:
        """Return a truth value."""
        value: bool = self._read(name, bool, "true or false", False)
        return value

    def object(self, name: str) -> Fields:
        """Return an object; an empty one if it is missing."""
        return Fields(self._read(name, dict, "an object", {}), self._who)

    def has(self, name: str) -> bool:
        """Return whether there is a value that is not null."""
        return self._data.get(name) is not None

    def objects(self, name: str) -> list[Fields]:
        """Return a list of objects."""
        found = self._read(name, list, "a list", [])
        if not all(isinstance(each, dict) for each in found):
            raise self._wrong(name, found, "a list of objects")
        return [Fields(each, self._who) for each in found]

    def texts(self, name: str) -> list[str]:
        """Return a list of texts."""
        found: list[str] = self._read(name, list, "a list", [])
        if not all(isinstance(each, str) for each in found):
            raise self._wrong(name, found, "a list of texts")
        return found

    def counts(self, name: str) -> Iterator[tuple[str, int]]:
        """Return the whole numbers of an object with their names, sorted by name."""
        found = self.object(name)
        return iter([(each, found.count(each)) for each in sorted(found._data)])

    def _read(self, name: str, kind: type, called: str, default: Any) -> Any:
        value = self._data.get(name)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise self._wrong(name, value, called)
        return value

    def _wrong(self, name: str, value: Any, called: str) -> BadReply:
        return BadReply(self._who, f"{name} is {quoted(value)}, expected {called}")
