"""The fingerprint of a declared job: another one means that what its schedule remembers is about another job.

It is made of the task, the params and the schedule, whatever the order of keys, and it is the same in every start of
the program. A secret does not count: one that is renewed each night is no other job. Fingerprints are stored, and other
params may be secret too, so those of the params have 16 bits only: enough to notice a change, and no help for someone
who guesses one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from hashlib import sha256

from taskloom.core.model import JobSpec

__all__ = ["fingerprint"]

_DECLARED_DIGITS, _PARAMS_DIGITS = 16, 4
# The address in a default `repr` differs from start to start.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_PLAIN = frozenset({str, bool, int, float, type(None)})
# Greater whole numbers may be no floats.
_EXACT = 2**53
# Deeper params are a cycle.
_DEEPEST = 50


def fingerprint(spec: JobSpec) -> str:
    """Return the fingerprint of a job. Pure; any thread may call it. Never raises for params of any kind."""
    # A job that was disabled, or that only a user starts, has missed nothing when that changes.
    declared = (spec.task, spec.schedule, spec.enabled, spec.start.mode)
    try:
        first = _digest_of_declared(declared)
    except Exception:  # noqa: BLE001 - a calendar of a plugin that has no hash
        first = _digest(declared)
    return f"{first[:_DECLARED_DIGITS]}-{_digest_of_params(spec.params)[:_PARAMS_DIGITS]}"


def _digest_of_params(params: Mapping[str, object]) -> str:
    # Most params are plain values, and there may be a hundred thousand jobs: five times as fast as the general way.
    if _PLAIN.issuperset(map(type, params.values())):
        return _hash(repr(sorted(params.items())))
    return _digest(params)


@lru_cache(maxsize=4096)
def _digest_of_declared(declared: tuple[object, ...]) -> str:
    """Cached: thousands of jobs may have the same task and schedule."""
    return _digest(declared)


def _digest(value: object) -> str:
    return _hash(_text(value, 0))


def _hash(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _text(value: object, depth: int) -> str:
    """Return a text that is equal for equal values, in each start of the program."""
    try:
        return _text_of(value, depth)
    except Exception:  # noqa: BLE001 - the methods of an object of the program
        return type(value).__qualname__


def _text_of(value: object, depth: int) -> str:
    if depth > _DEEPEST:
        return "..."
    secret = getattr(value, "get_secret_value", None)
    if callable(secret) and not isinstance(value, type):
        return "secret"
    if isinstance(value, Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _EXACT:
        return repr(float(value))  # 60 and 60.0 are equal
    if isinstance(value, (str, bytes, bytearray, int, float, complex, type(None))):
        return repr(value)
    if isinstance(value, Mapping):
        items = sorted((_text(key, depth + 1), _text(each, depth + 1)) for key, each in value.items())
        return "{" + ", ".join(f"{key}: {each}" for key, each in items) + "}"
    if isinstance(value, AbstractSet):
        return f"{{{', '.join(sorted(_text(each, depth + 1) for each in value))}}}"
    if isinstance(value, Sequence):
        return f"[{', '.join(_text(each, depth + 1) for each in value)}]"
    return _text_of_object(value, depth)


def _text_of_object(value: object, depth: int) -> str:
    name = type(value).__qualname__
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    parts = _parts_of(value)
    if parts is not None:
        return f"{name}{_text(parts, depth + 1)}"
    return f"{name} {_ADDRESS.sub('', repr(value))}"


def _parts_of(value: object) -> Mapping[str, object] | None:
    """Return what an object is made of: a dataclass, a model of pydantic, or a plain object without a `repr`."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value) if field.compare}
    if hasattr(value, "__pydantic_fields__") or type(value).__repr__ is object.__repr__:
        return dict(vars(value))
    return None
