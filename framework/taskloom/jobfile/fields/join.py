"""`join`: how long a stop waits for a run, and what happens to one that takes longer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from taskloom.core.model import WAIT_FOR_EVER, Otherwise
from taskloom.jobfile.fields.validators import (
    DURATION,
    JobErrors,
    Loc,
    MappingReader,
    invalid_value,
    read_choice,
    read_seconds,
    values_of,
)
from taskloom.text import did_you_mean, suggest

__all__ = ["JOIN", "Join", "read_join"]

_WITHIN: Mapping[str, Any] = {"anyOf": [{"const": "wait"}, *DURATION["anyOf"]]}

JOIN: Mapping[str, Any] = {
    "anyOf": [
        *_WITHIN["anyOf"],
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {"within": _WITHIN, "otherwise": {"enum": values_of(Otherwise)}},
        },
    ]
}
"""JSON Schema of a join policy."""


class Join(NamedTuple):
    """A join policy as written: what `otherwise` defaults to depends on `daemon`."""

    within: float = 10.0
    otherwise: Otherwise | None = None


_otherwise = read_choice(Otherwise)


def _within(value: object, loc: Loc) -> float:
    return WAIT_FOR_EVER if value == "wait" else read_seconds(value, loc)


def read_join(value: object) -> Join:
    """Return the join policy. Raises JobMistakes."""
    if isinstance(value, Mapping):
        parts = MappingReader(value, ("join",), ("within", "otherwise"))
        within = parts.read("within", _within, Join().within)
        otherwise = parts.read("otherwise", _otherwise, None)
        parts.done()
        return Join(within, otherwise)
    try:
        return Join(_within(value, ("join",)))
    except JobErrors:
        hint = suggest("wait") if did_you_mean(value, ["wait", "forever"]) else ""
        expected = "a duration such as 10s, wait, or {within: 5s, otherwise: abandon}"
        raise invalid_value(value, ("join",), expected, hint) from None
