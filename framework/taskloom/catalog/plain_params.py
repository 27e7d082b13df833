"""Accept simple, correct values without pydantic, whose import costs seven times a bare interpreter start.

All other values, and every mistake, are left to `pydantic_params`: this module only accepts, and a test checks that
pydantic accepts the same values.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal, Union, get_args, get_origin

from taskloom.catalog.signatures import ParamShape
from taskloom.task import Duration, parse_duration

__all__ = ["accept_plain"]


class _NotPlain(Exception):
    """Pydantic must check the value."""


def accept_plain(params: Mapping[str, ParamShape], given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the values, converted to their types, if each is simple and correct; None if pydantic must check."""
    try:
        return {
            name: _plain(params[name].annotation, value, params[name].info.constraints) for name, value in given.items()
        }
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - it is not a plain value, or an annotation or a limit of the plugin raises
        return None


def _plain(annotation: Any, value: Any, constraints: Iterable[tuple[str, Any]] = ()) -> Any:
    """Return the value, converted to its type; raise _NotPlain or ValueError if pydantic must check it."""
    result: Any
    kind = type(value)
    if kind in _SCALARS and (kind is annotation or annotation is Any):
        result = value
    elif annotation is float and kind in (int, float):
        result = float(value)
    elif annotation is Duration or annotation == Duration:
        result = _parse_text(value) if kind is str else parse_duration(value)
    else:
        result = _plain_compound(annotation, value)
    if result is None and annotation is not Any:
        return None  # the constraints of an optional parameter apply to the other type of the union
    for name, limit in constraints:
        if name not in _CHECKS or type(result) not in (int, float, str, list) or not _CHECKS[name](result, limit):
            raise _NotPlain
    return result


_SCALARS = frozenset({bool, int, float, str, type(None)})

# Many jobs use the same few durations.
_parse_text = lru_cache(maxsize=1024)(parse_duration)


def _plain_compound(annotation: Any, value: Any) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal and any(value == each and type(value) is type(each) for each in arguments):
        return value
    if origin is Union or origin is types.UnionType:
        arms = [arm for arm in arguments if arm is not types.NoneType]
        if value is None and len(arms) < len(arguments):
            return None
        if len(arms) == 1:
            return _plain(arms[0], value)
    if origin is list and arguments and type(value) is list:
        return [_plain(arguments[0], item) for item in value]
    raise _NotPlain


_CHECKS: Mapping[str, Callable[[Any, Any], bool]] = {
    "ge": lambda value, limit: value >= limit,
    "gt": lambda value, limit: value > limit,
    "le": lambda value, limit: value <= limit,
    "lt": lambda value, limit: value < limit,
    "min_length": lambda value, limit: len(value) >= limit,
    "max_length": lambda value, limit: len(value) <= limit,
}
