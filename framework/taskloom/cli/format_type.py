"""Types and values as they are written in a job file, for listings and messages."""

from __future__ import annotations

import dataclasses
import json
import re
import types
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from taskloom.catalog.annotations import annotation_text
from taskloom.diagnostics import quoted
from taskloom.program import Signal
from taskloom.task import Duration
from taskloom.text import duration, plain

if TYPE_CHECKING:
    from taskloom.catalog.params import ParamShape

__all__ = ["as_data", "default_of", "format_constraints", "format_type", "format_value"]

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
# A list of a plugin may hold itself.
_DEEPEST = 50
_PLAIN_TEXT = re.compile(r"[A-Za-z/][A-Za-z0-9_./:@-]*(?<!:)", re.ASCII)
_NOT_TEXT = {"true", "false", "null"}


def format_type(annotation: Any) -> str:
    """Return the name of a type for job files: `integer`, `duration`, `list of text`, `fast or slow`."""
    try:
        return _format_type(annotation)
    except BaseException:  # noqa: BLE001 - an annotation is any object of a plugin
        return annotation_text(annotation)


def _format_type(annotation: Any) -> str:
    if annotation == Duration:
        return "duration"
    if annotation == Signal:
        return "signal"
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
        return annotation_text(annotation)
    if issubclass(annotation, Enum):
        return " or ".join(format_value(each) for each in annotation)
    if hasattr(annotation, "get_secret_value"):
        return "secret text"
    if dataclasses.is_dataclass(annotation):
        return "mapping"
    return "path" if issubclass(annotation, PurePath) else annotation.__name__


def format_constraints(constraints: Iterable[tuple[str, Any]]) -> str:
    """Return the constraints of a parameter in words, separated by commas."""
    return ", ".join(_CONSTRAINTS[name].format(limit) for name, limit in constraints)


def format_value(value: Any, annotation: Any = None) -> str:
    """Return a value as it may be written in a job file. A secret is masked."""
    try:
        return _format_value(value, annotation)
    except BaseException:  # noqa: BLE001 - an object of a plugin that is not data, or that cannot be shown
        return quoted(value)


def _format_value(value: Any, annotation: Any) -> str:
    if annotation == Duration and isinstance(value, int | float):
        return duration(value)
    if isinstance(value, Enum):
        return _format_value(value.value, None)
    if isinstance(value, PurePath):
        value = str(value)
    if isinstance(value, str) and _PLAIN_TEXT.fullmatch(value) and value not in _NOT_TEXT:
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def default_of(param: ParamShape) -> Any:
    """Return the default of an optional parameter."""
    return param.factory() if param.factory is not None else param.default


def as_data(value: Any, depth: int = 0) -> Any:
    """Return a value for JSON, as a job file would have it: a number for a duration, a list for a set, else text."""
    if depth > _DEEPEST:
        return quoted(value)
    if isinstance(value, Enum):
        return as_data(value.value, depth + 1)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return plain(value)
    try:
        if isinstance(value, Mapping):
            return {str(key): as_data(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [as_data(each, depth + 1) for each in value]
        if hasattr(type(value), "model_fields") or dataclasses.is_dataclass(type(value)):
            return {name: as_data(each, depth + 1) for name, each in vars(value).items()}
        return str(value)
    except BaseException:  # noqa: BLE001 - an object of a plugin: its methods may raise anything, or it holds itself
        return quoted(value)
