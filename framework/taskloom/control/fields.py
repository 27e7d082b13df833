"""The fields that a route takes in its query and its body, and how they are read.

The route table has them as data: the readers, the OpenAPI document and the reference are made from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from taskloom.control.refusals import Refusal
from taskloom.control.strict_json import kind_of_json
from taskloom.diagnostics import near_match, quoted
from taskloom.text import suggest

__all__ = ["LONGEST_TEXT", "Field", "Kind", "read_body", "read_query"]

LONGEST_TEXT = 1000
"""The most characters of a name, a pattern, or the text that says why something is done."""
_MOST_VALUES = 1000
_INTEGER = re.compile(r"-?[0-9]{1,15}", re.ASCII)


class Kind(Enum):
    """The type of a field's value; its value is the JSON Schema type."""

    TEXT = "string"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    SECONDS = "number"


class Field(NamedTuple):
    """One field of a query or a body. `least` and `most` limit a number."""

    name: str
    kind: Kind
    meaning: str
    default: Any = None
    is_list: bool = False
    least: float = 0
    most: float = 1e9
    choices: tuple[str, ...] = ()
    """The legal texts, if not all are; "" is that of a name without a value."""
    is_required: bool = False
    """Whether a request whose body has no such field is refused."""

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of its value."""
        schema: dict[str, Any] = {"type": self.kind.value}
        if self.kind is Kind.TEXT:
            schema["maxLength"] = LONGEST_TEXT
        elif self.kind is not Kind.BOOLEAN:
            schema |= {"minimum": self.least, "maximum": self.most}
        if self.choices:
            schema["enum"] = list(self.choices)
        if self.is_list:
            return {"type": "array", "items": schema, "maxItems": _MOST_VALUES}
        return schema if self.default is None else {**schema, "default": self.default}

    def expected(self) -> str:
        """Return what a value has to be, for a sentence."""
        if self.choices:
            return f"one of {', '.join(filter(None, self.choices))}"
        if self.kind is Kind.BOOLEAN:
            return "true or false"
        if self.kind is Kind.TEXT:
            return f"a text of at most {LONGEST_TEXT:,} characters"
        noun = "a whole number" if self.kind is Kind.INTEGER else "a number of seconds"
        return f"{noun} from {self.least:g} to {self.most:,.0f}"


def read_query(fields: Sequence[Field], query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the value of each field: that in the query, or its default. Raises Refusal."""
    _refuse_unknown(query, fields, "query")
    values: dict[str, Any] = {}
    for field in fields:
        written = query.get(field.name, ())
        if field.is_list:
            if len(written) > _MOST_VALUES:
                raise _invalid_query(f"cannot use {len(written):,} values of {field.name!r}; at most {_MOST_VALUES:,}")
            values[field.name] = tuple(_from_text(field, text) for text in written)
        elif len(written) > 1:
            raise _invalid_query(f"cannot use several values of {field.name!r} in the query; expected one")
        else:
            values[field.name] = _from_text(field, written[0]) if written else field.default
    return values


def read_body(fields: Sequence[Field], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of each field: that in the body, or its default. Raises Refusal."""
    _refuse_unknown(body, fields, "body")
    for field in fields:
        if field.is_required and field.name not in body:
            message = f"cannot use a body without {field.name}; expected {field.expected()}"
            raise Refusal(400, "invalid-body", message)
    return {
        field.name: _from_json(field, body[field.name]) if field.name in body else field.default for field in fields
    }


def _refuse_unknown(given: Collection[str], fields: Sequence[Field], part: str) -> None:
    names = [field.name for field in fields]
    for name in given:
        if name not in names:
            near = near_match(name, names)
            legal = f"expected {', '.join(names)}" if names else "it takes none here"
            message = f"cannot use field {quoted(name)} in the {part}; {legal}{suggest(near, before='; ')}"
            raise Refusal(400, f"unknown-{part}-field", message, near=() if near is None else (near,))


def _from_text(field: Field, written: str) -> Any:
    value = _READERS[field.kind](written)
    if value is None or not _is_legal(field, value):
        raise _invalid_query(
            f"cannot use {quoted(written)} as {field.name} in the query; expected {field.expected()}"
            f"{suggest(near_match(written, field.choices), before='; ')}"
        )
    return value


def _boolean(written: str) -> bool | None:
    return {"true": True, "false": False}.get(written)


def _integer(written: str) -> int | None:
    return int(written) if _INTEGER.fullmatch(written) else None


_READERS: Mapping[Kind, Callable[[str], Any]] = {
    Kind.TEXT: lambda written: written,
    Kind.BOOLEAN: _boolean,
    Kind.INTEGER: _integer,
    Kind.SECONDS: _integer,
}
# The types as they are: a boolean is an int for `isinstance`, and is not a number in JSON.
_JSON_TYPES: Mapping[Kind, tuple[type, ...]] = {
    Kind.TEXT: (str,),
    Kind.BOOLEAN: (bool,),
    Kind.INTEGER: (int,),
    Kind.SECONDS: (int, float),
}


def _from_json(field: Field, value: Any) -> Any:
    if type(value) not in _JSON_TYPES[field.kind]:
        shown = f", not {kind_of_json(value)}"
    elif not _is_legal(field, value):
        shown = f", not {quoted(value)}"
    else:
        return value
    raise Refusal(400, "invalid-body", f"cannot use {field.name} in the body; expected {field.expected()}{shown}")


def _is_legal(field: Field, value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT and (not field.choices or value in field.choices)
    return isinstance(value, bool) or field.least <= value <= field.most


def _invalid_query(message: str) -> Refusal:
    return Refusal(400, "invalid-query", message)
