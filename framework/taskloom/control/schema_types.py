"""The JSON Schemas that replies are put together from: their kinds of values, and the values that many of them have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskloom.core.enums import FastEnum

__all__ = [
    "COUNT",
    "COUNTS",
    "FLAG",
    "INSTANT",
    "NAME",
    "RECORDED",
    "RUN",
    "SECONDS",
    "SEQ",
    "START",
    "TEXT",
    "Schema",
    "list_of",
    "one_of",
    "or_null",
    "record",
    "reference",
    "text",
]

Schema = Mapping[str, Any]


def reference(name: str) -> Schema:
    """Return the reference to the schema of that name in the OpenAPI document."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(meaning: str, members: Mapping[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    """Return the schema of an object whose members are required, except for the optional ones."""
    return {
        "type": "object",
        "description": meaning,
        "properties": dict(members),
        "required": [name for name in members if name not in optional],
    }


def or_null(schema: Schema) -> Schema:
    """Return the schema of the same values and null."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    kinds = {**schema, "type": [schema["type"], "null"]}
    return {**kinds, "enum": [*schema["enum"], None]} if "enum" in schema else kinds


def list_of(items: Schema) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items}


def one_of(members: type[FastEnum]) -> Schema:
    """Return the schema of the values of an enum."""
    return {"type": "string", "enum": [member.value for member in members]}


def text(meaning: str) -> Schema:
    """Return the schema of a string."""
    return {"type": "string", "description": meaning}


TEXT: Schema = {"type": "string"}
NAME: Schema = text("The name of a job.")
RUN: Schema = text("The id of a run.")
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
SECONDS: Schema = {"type": "number", "description": "In seconds."}
INSTANT: Schema = {"type": "string", "format": "date-time", "description": "RFC 3339, in UTC."}
START: Schema = text("The id of this start of the program.")
SEQ: Schema = {"type": "integer", "minimum": 0, "description": "The number of an event; events after it are later."}
COUNTS: Schema = {"type": "object", "additionalProperties": {"type": "integer"}}
RECORDED: Schema = {
    "type": "boolean",
    "description": "Whether the action is committed in the history. The reply waits for that, for a second at most.",
}
