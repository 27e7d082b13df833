"""Builds the JSON Schema of job files for the installed tasks, so that editors can complete and check job files.

The schema accepts everything that the loader accepts. The loader may refuse more, because constructors have their own
rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from taskloom.catalog.signatures import ShapeError
from taskloom.errors import CatalogError
from taskloom.jobfile.fields.registry import FIELDS, JOB_NAME, NOTE_PREFIX
from taskloom.jobfile.fields.settings import SETTINGS

if TYPE_CHECKING:
    from taskloom.catalog.entry_points import Catalog, CatalogEntry

__all__ = ["job_file_schema"]

_NOTES = {f"^{NOTE_PREFIX}": True}
# Not re.escape: it escapes characters that the patterns of JSON Schema must not.
_SPECIAL, _ESCAPED = re.compile(r"([\^$.*+?()\[\]{}|/])"), r"\\\1"
_ABOUT_VARIABLES = "${VAR} or ${file:PATH}, replaced when the file is read"
_VARIABLE = {"$ref": "#/$defs/variable"}


def job_file_schema(catalog: Catalog) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a job file. It allows any params for a task that cannot be imported."""
    tasks = {name: _params_schema(catalog, name) for name in catalog.spellings()}
    definitions: dict[str, Any] = {
        "variable": {
            "type": "string",
            "pattern": r"\$\{",
            "description": "${VAR} or ${file:PATH}, replaced when the file is read",
        },
        "job": _job(catalog, tasks),
    }
    for name, schema in tasks.items():
        if schema is not None:
            definitions |= {f"{_key(name)}.{inner}": each for inner, each in schema.pop("$defs", {}).items()}
            definitions[f"params of {_key(name)}"] = schema
    shared = {name: schema for name, schema in _fields().items() if FIELDS[name].is_shareable}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Taskloom job file",
        "type": "object",
        "properties": {
            "taskloom": {
                "description": "Settings of the whole program. At most one of several files has them.",
                **_closed(_settings(), is_null_allowed=True),
            },
            "defaults": {
                "description": "Field values for all jobs of this file. A value in a job replaces it whole.",
                **_closed(shared),
            },
            "jobs": {
                "description": "The jobs, by name.",
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": f"^{JOB_NAME.pattern}$"},
                "additionalProperties": {"$ref": "#/$defs/job"},
            },
        },
        "patternProperties": _NOTES,
        "additionalProperties": False,
        "$defs": definitions,
    }


def _job(catalog: Catalog, tasks: Mapping[str, dict[str, Any] | None]) -> dict[str, Any]:
    """Return the schema of one job, in which `params` depends on `task`."""
    properties = _fields()
    entries = catalog.spellings()
    known = [{"const": name, **_description(catalog, name)} for name in tasks]
    # Any task may be written with its distribution; an editor need not offer that where the name is enough.
    qualified = {"pattern": _any_of(_pattern(entry) for entry in entries.values())} if entries else False
    properties["task"] = {"description": FIELDS["task"].summary, "anyOf": [*known, qualified, _VARIABLE]}
    return {
        **_closed(properties),
        "required": ["task"],
        "allOf": [
            {"if": _is_task(name, entries[name]), "then": _params_rule(name, schema)}
            for name, schema in tasks.items()
            if schema is not None
        ],
    }


def _is_task(name: str, entry: CatalogEntry) -> dict[str, Any]:
    written = {"anyOf": [{"const": name}, {"pattern": _any_of([_pattern(entry)])}]}
    return {"properties": {"task": {"type": "string", **written}}, "required": ["task"]}


def _pattern(entry: CatalogEntry) -> str:
    """Return a pattern for every way to write the name with its distribution, which PEP 503 compares."""
    distribution, _, name = entry.qualified.partition("/")
    letters = "".join(_letter(character) for character in distribution)
    return f"{letters}/{_SPECIAL.sub(_ESCAPED, name)}"


def _letter(character: str) -> str:
    return "[-_.]+" if character == "-" else f"[{character}{character.upper()}]" if character.isalpha() else character


def _any_of(patterns: Iterable[str]) -> str:
    return f"^({'|'.join(patterns)})$"


def _key(name: str) -> str:
    """Return the key of a task in the definitions: a slash would separate two keys in a reference."""
    return name.replace("/", ":")


def _params_rule(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    params = {"$ref": f"#/$defs/params of {_key(name)}".replace(" ", "%20")}
    if "required" in schema:
        return {"properties": {"params": params}, "required": ["params"]}
    return {"properties": {"params": {"anyOf": [params, {"type": "null"}]}}}


def _fields() -> dict[str, Any]:
    return {
        name: _allow_variable({"description": each.summary, **_allow_variables_inside(each.schema)})
        for name, each in FIELDS.items()
    }


def _allow_variables_inside(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a field that allows `${VAR}` for everything inside it, but not yet for the whole value."""
    found = dict(schema)
    if "anyOf" in found:
        found["anyOf"] = [_allow_variables_inside(each) for each in found["anyOf"]]
    if "properties" in found:
        found["properties"] = {
            key: _allow_variable(_allow_variables_inside(each)) for key, each in found["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), Mapping):
            found[key] = _allow_variable(_allow_variables_inside(found[key]))
    return found


def _settings() -> dict[str, Any]:
    return {
        name: _allow_variable({"description": each.summary, **_allow_variables_inside(each.schema)})
        for name, each in SETTINGS.items()
    }


def _closed(properties: Mapping[str, Any], *, is_null_allowed: bool = False) -> dict[str, Any]:
    return {
        "type": ["object", "null"] if is_null_allowed else "object",
        "properties": dict(properties),
        "patternProperties": _NOTES,
        "additionalProperties": False,
    }


def _description(catalog: Catalog, name: str) -> dict[str, str]:
    try:
        doc = catalog.load(name).shape.doc
    except CatalogError as error:
        return {"description": str(error)}
    return {"description": doc.partition("\n\n")[0]} if doc else {}


def _params_schema(catalog: Catalog, name: str) -> dict[str, Any] | None:
    """Return the schema of a task's params, or None if the task cannot be used."""
    try:
        schema = catalog.load(name).shape.json_schema()
    except (CatalogError, ShapeError):
        return None
    moved: dict[str, Any] = _move_references(schema, f"#/$defs/{_key(name)}.")
    moved["properties"] = {key: _allow_variable(each) for key, each in moved.get("properties", {}).items()}
    return moved


def _move_references(schema: Any, prefix: str) -> Any:
    """Return the schema with its references changed to the common definitions of all tasks."""
    if isinstance(schema, dict):
        return {
            key: value.replace("#/$defs/", prefix)
            if key == "$ref" and isinstance(value, str)
            else _move_references(value, prefix)
            for key, value in schema.items()
        }
    return [_move_references(each, prefix) for each in schema] if isinstance(schema, list) else schema


def _allow_variable(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that also allows `${VAR}`, for every type: variables are replaced before types are checked."""
    about: dict[str, Any] = {key: schema[key] for key in ("description", "default", "examples") if key in schema}
    rule = {key: value for key, value in schema.items() if key not in about}
    if not rule or rule == {"type": "string"}:
        return schema
    return {**about, "anyOf": [rule, _VARIABLE]}
