"""Taking values that are plainly right without pydantic, whose import costs seven times a bare interpreter start.

Everything else, every mistake included, is left to `paramcheck`: this module only ever says yes, and a test
holds that pydantic would have said the same.
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
    """Pydantic has to decide."""


def accept_plain(params: Mapping[str, ParamShape], given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the given values in their types when each is plainly right; None when that is not plain to see."""
    try:
        return {
            name: _plain(params[name].annotation, value, params[name].info.constraints) for name, value in given.items()
        }
    except (_NotPlain, KeyError, ValueError, TypeError, OverflowError):
        return None


def _plain(annotation: Any, value: Any, constraints: Iterable[tuple[str, Any]] = ()) -> Any:
    """Return the value as its type wants it; raise _NotPlain, or ValueError, when that is not plain to see."""
    result: Any
    kind = type(value)
    if kind in _SCALARS and (kind is annotation or annotation is Any):
        result = value
    elif annotation is float and kind in (int, float):
        result = float(value)
    elif annotation is Duration or annotation == Duration:
        result = _seconds_of_text(value) if kind is str else parse_duration(value)
    else:
        result = _plain_compound(annotation, value)
    if result is None and annotation is not Any:
        return None  # the constraints of an optional parameter are those of the other arm
    for name, limit in constraints:
        if name not in _HOLDS or type(result) not in (int, float, str, list) or not _HOLDS[name](result, limit):
            raise _NotPlain
    return result


_SCALARS = frozenset({bool, int, float, str, type(None)})

# Many jobs write the same few durations.
_seconds_of_text = lru_cache(maxsize=1024)(parse_duration)


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
    if origin is list and type(value) is list:
        return [_plain(arguments[0], item) for item in value]
    raise _NotPlain


_HOLDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "ge": lambda value, limit: value >= limit,
    "gt": lambda value, limit: value > limit,
    "le": lambda value, limit: value <= limit,
    "lt": lambda value, limit: value < limit,
    "min_length": lambda value, limit: len(value) >= limit,
    "max_length": lambda value, limit: len(value) <= limit,
}
