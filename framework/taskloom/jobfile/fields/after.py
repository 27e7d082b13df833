"""`after`: which jobs a job waits for, and for what in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from taskloom.core.policies import Condition, Dependency
from taskloom.diagnostics import FieldError, quoted
from taskloom.jobfile.fields.validators import JobErrors, Loc, invalid_value, join_or, values_of
from taskloom.text import did_you_mean

__all__ = ["AFTER", "WrittenNeed", "read_after", "written_needs"]

_CONDITIONS = {each.value: each for each in Condition}
_NAMES: Mapping[str, Any] = {"type": "string", "minLength": 1}
_BY_CONDITION: Mapping[str, Any] = {"type": "object", "additionalProperties": {"enum": values_of(Condition)}}

AFTER: Mapping[str, Any] = {
    "anyOf": [
        _NAMES,
        _BY_CONDITION,
        {"type": "array", "items": {"anyOf": [_NAMES, {**_BY_CONDITION, "minProperties": 1, "maxProperties": 1}]}},
    ]
}
"""JSON Schema of dependencies."""

_FORMS = "the name of a job, a list of names, or {job: started, ready, succeeded or finished}"


class WrittenNeed(NamedTuple):
    """One dependency as it is written, and where."""

    loc: Loc
    at_key: bool
    """Whether the name is a key."""
    job: object
    condition: object


def written_needs(value: object) -> Iterator[WrittenNeed]:
    """Yield the dependencies in the order in which they are written, right or wrong.

    Raises JobMistakes for what is no dependency at all.
    """
    if isinstance(value, str):
        yield WrittenNeed(("after",), False, value, Condition.READY.value)
    elif isinstance(value, Mapping):
        for job, condition in value.items():
            yield WrittenNeed(("after", job), True, job, condition)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            if isinstance(item, Mapping) and len(item) == 1:
                [(job, condition)] = item.items()
                yield WrittenNeed(("after", index, job), True, job, condition)
            else:
                yield WrittenNeed(("after", index), False, item, Condition.READY.value)
    else:
        raise invalid_value(value, ("after",), _FORMS, "write [] for none" if value is None else "")


def read_after(value: object) -> tuple[Dependency, ...]:
    """Return the dependencies. Raises JobMistakes."""
    needs: dict[str, Dependency] = {}
    mistakes = []
    for loc, at_key, job, condition in written_needs(value):
        if not isinstance(job, str) or not job:
            hint = "one job an item" if isinstance(job, Mapping) and job else ""
            message = f"cannot use {quoted(job)} as a dependency; expected the name of a job, or {{job: condition}}"
            mistakes.append(FieldError(loc, message, hint))
        elif not isinstance(condition, str) or condition not in _CONDITIONS:
            expected = join_or(list(_CONDITIONS))
            message = f"cannot wait for {job!r} to be {quoted(condition)}; expected {expected}"
            mistakes.append(FieldError(loc, message, did_you_mean(condition, _CONDITIONS)))
        elif job in needs:
            first = needs[job].condition.value
            hint = "" if condition == first else f"it waits for {first} already"
            mistakes.append(FieldError(loc, f"cannot wait for {job!r} twice", hint, at_key=at_key))
        else:
            needs[job] = Dependency(job, _CONDITIONS[condition])
    if mistakes:
        raise JobErrors(mistakes)
    return tuple(needs.values())
