"""Types and values as they are written in a job file, for listings and messages."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterable
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from taskloom.task import Duration
from taskloom.text import duration

__all__ = ["format_constraints", "format_type", "format_value"]

_NAMES: dict[Any, str] = {
    Any: "anything",
    bool: "true or false",
    float: "number",
    int: "integer",
    str: "text",
    types.NoneType: "null",
    list: "list",
    dict: "mapping",
}
_LISTS = (list, set, frozenset, tuple)
_CONSTRAINTS = {
    "ge": "at least {}",
    "gt": "more than {}",
    "le": "at most {}",
    "lt": "less than {}",
    "multiple_of": "a multiple of {}",
    "min_length": "at least {} long",
    "max_length": "at most {} long",
    "pattern": "matching {}",
}
_PLAIN_TEXT = re.compile(r"[A-Za-z/][A-Za-z0-9_./:@-]*(?<!:)", re.ASCII)
_NOT_TEXT = {"true", "false", "null"}


def format_type(annotation: Any) -> str:
    """Return the name of a type for job files: `integer`, `duration`, `list of text`, `fast or slow`."""
    if annotation == Duration:
        return "duration"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return format_type(arguments[0])
    if origin is Literal:
        return " or ".join(format_value(each) for each in arguments)
    if origin is Union or origin is types.UnionType:
        return " or ".join(dict.fromkeys(format_type(each) for each in arguments))
    if origin in _LISTS:
        return f"list of {' or '.join(dict.fromkeys(format_type(each) for each in arguments if each is not ...))}"
    return _NAMES.get(origin or annotation) or _format_class(origin or annotation)


def _format_class(annotation: Any) -> str:
    if not isinstance(annotation, type):
        return str(annotation)
    if issubclass(annotation, Enum):
        return " or ".join(format_value(each) for each in annotation)
    if hasattr(annotation, "get_secret_value"):
        return "secret text"
    return "path" if issubclass(annotation, PurePath) else annotation.__name__


def format_constraints(constraints: Iterable[tuple[str, Any]]) -> str:
    """Return the constraints of a parameter in words, separated by commas."""
    return ", ".join(_CONSTRAINTS[name].format(limit) for name, limit in constraints)


def format_value(value: Any, annotation: Any = None) -> str:
    """Return a value as it may be written in a job file. A secret is masked."""
    if annotation == Duration and isinstance(value, int | float):
        return duration(value)
    if isinstance(value, Enum):
        return format_value(value.value)
    if isinstance(value, PurePath):
        value = str(value)
    if isinstance(value, str) and _PLAIN_TEXT.fullmatch(value) and value not in _NOT_TEXT:
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
