"""Mappings with known keys inside a field, such as `{within: 5s, otherwise: abandon}`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from taskloom.diagnostics import FieldError, missing_blank
from taskloom.jobfile.fields.spec import JobErrors, Loc, Spec, T, T_co, check_blank, invalid_value
from taskloom.text import did_you_mean

__all__ = ["Key", "MappingReader", "mapping"]

Default = TypeVar("Default")


class Key(Generic[T_co]):
    """A known key of a mapping, and what its value may be."""

    __slots__ = ("is_required", "name", "spec")

    def __init__(self, name: str, spec: Spec[T_co], *, is_required: bool = False) -> None:
        self.name, self.spec, self.is_required = name, spec, is_required


class MappingReader:
    """Reads the values of one mapping key by key, and collects what is wrong with them."""

    def __init__(self, written: Mapping[str, object], loc: Loc, known: Sequence[str]) -> None:
        self.written, self._loc = written, loc
        self.errors = [] if all(key in known for key in written) else _unknown_keys(loc, written, known)

    def get(self, key: Key[T], default: Default) -> T | Default:
        """Return the value of the key, or the default if the key is missing or its value is invalid."""
        if key.name not in self.written:
            return default
        try:
            return key.spec.read(self.written[key.name], (*self._loc, key.name))
        except JobErrors as error:
            self.errors += error.errors
            return default

    def refuse(self, key: str, message: str, hint: str = "", *, at_key: bool = False) -> None:
        """Record an error in the value of a key; with `at_key`, in the key itself. "" means the whole mapping."""
        self.errors.append(FieldError((*self._loc, key) if key else self._loc, message, hint, at_key=at_key))


def _unknown_keys(loc: Loc, value: Mapping[str, object], known: Sequence[str]) -> list[FieldError]:
    name = ".".join(str(part) for part in loc)
    return [
        FieldError(
            (*loc, key),
            *(
                (value[key] is None and missing_blank(key))
                or (f"cannot find {key!r} in {name}; known: {', '.join(known)}", did_you_mean(str(key), known))
            ),
            at_key=True,
        )
        for key in value
        if key not in known
    ]


def mapping(
    keys: Sequence[Key[Any]],
    build: Callable[[MappingReader], T],
    *,
    expected: str,
    name: str = "",
    is_empty_allowed: bool = True,
    is_null_allowed: bool = False,
) -> Spec[T]:
    """Accept a mapping with these keys, of which `build` makes the final value.

    `build` also runs if something is wrong, so that all errors are found; its result is discarded then. `name`
    replaces the location in the message about a value that is not a mapping.
    """
    known = [key.name for key in keys]
    required = [key.name for key in keys if key.is_required]

    def read(value: object, loc: Loc) -> T:
        written = {} if value is None and is_null_allowed else value
        if not isinstance(written, Mapping):
            check_blank(value, loc, known)
            raise invalid_value(value, loc, expected, name=name)
        reader = MappingReader(written, loc, known)
        result = build(reader)
        if reader.errors:
            raise JobErrors(reader.errors)
        missing = [key for key in required if key not in written] if required else None
        if missing:
            raise invalid_value(value, loc, expected, f"it lacks {' and '.join(missing)}", name=name)
        return result

    schema: dict[str, Any] = {
        "type": ["object", "null"] if is_null_allowed else "object",
        "additionalProperties": False,
    }
    if required:
        schema["required"] = required
    elif not is_empty_allowed:
        schema["minProperties"] = 1
    schema["properties"] = {key.name: key.spec.schema for key in keys}

    def recognises(value: object) -> bool:
        return isinstance(value, Mapping) and (is_empty_allowed or bool(value))

    return Spec(read, schema, recognises, keys=known)
