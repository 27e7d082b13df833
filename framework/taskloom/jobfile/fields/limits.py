"""`timeout`, `ready_within`, `watchdog`, `replicas`: how long, how quiet, how many."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from taskloom.core.policies import Watchdog, WatchdogThen
from taskloom.jobfile.fields.validators import (
    DURATION,
    NONE,
    MappingReader,
    invalid_value,
    positive,
    read_choice,
    values_of,
)
from taskloom.text import did_you_mean

__all__ = ["LIMIT", "REPLICAS", "WATCHDOG", "limit_reader", "read_replicas", "read_watchdog"]

# Each is a thread, a token, a line in the status: who wants more has one job that does more.
_MOST_REPLICAS = 1000

LIMIT: Mapping[str, Any] = {"anyOf": [{"const": NONE}, *DURATION["anyOf"]]}
"""JSON Schema of a duration that may be none."""
WATCHDOG: Mapping[str, Any] = {
    "anyOf": [
        *LIMIT["anyOf"],
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["after"],
            "properties": {"after": DURATION, "then": {"enum": values_of(WatchdogThen)}},
        },
    ]
}
"""JSON Schema of a watchdog."""
REPLICAS: Mapping[str, Any] = {"type": "integer", "minimum": 1, "maximum": _MOST_REPLICAS}
"""JSON Schema of a number of replicas."""

_then = read_choice(WatchdogThen)


def limit_reader(name: str) -> Callable[[object], float | None]:
    """Return the reader of a deadline: a duration in seconds, or None for `none`. It raises JobMistakes."""

    def read(value: object) -> float | None:
        if value == NONE:
            return None
        if value is None:
            raise invalid_value(value, (name,), "a duration such as 5m, or none", "write none")
        return positive(value, (name,))

    return read


def read_watchdog(value: object) -> Watchdog | None:
    """Return the watchdog, or None for `none`. Raises JobMistakes."""
    loc = ("watchdog",)
    expected = "a duration such as 30s, none, or {after: 30s, then: restart}"
    if value == NONE:
        return None
    if isinstance(value, Mapping):
        parts = MappingReader(value, loc, ("after", "then"))
        after = parts.read("after", positive, 1.0)
        then = parts.read("then", _then, WatchdogThen.WARN)
        if not parts.mistakes and "after" not in value:
            raise invalid_value(value, loc, expected, "it lacks after")
        parts.done()
        return Watchdog(after, then)
    if isinstance(value, str) and not value[:1].isdigit():
        near = did_you_mean(value, values_of(WatchdogThen))
        raise invalid_value(value, loc, expected, f"write {{after: 30s, then: {value}}}" if near else "")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise invalid_value(value, loc, expected, "write none" if value is None or value is False else "")
    return Watchdog(positive(value, loc))


def read_replicas(value: object) -> int:
    """Return how many instances there are. Raises JobMistakes."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_REPLICAS:
        return value
    raise invalid_value(value, ("replicas",), f"an integer from 1 to {_MOST_REPLICAS}")
