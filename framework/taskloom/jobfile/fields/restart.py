"""`restart`: whether, when and how often a run follows one that ended."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, takewhile
from math import inf, isfinite
from typing import Any

from taskloom.core.policies import RestartLimit, RestartPolicy, RestartWhen
from taskloom.core.restart import HEALTHY_SECONDS
from taskloom.diagnostics import quoted
from taskloom.jobfile.fields.validators import (
    DURATION,
    JobErrors,
    Loc,
    MappingReader,
    invalid_value,
    positive,
    read_choice,
    read_seconds,
    values_of,
)
from taskloom.text import did_you_mean, duration

__all__ = ["RESTART", "most_restarts", "read_restart"]

_KEYS = ("when", "delay", "factor", "max_delay", "jitter", "limit")
_LARGEST_FACTOR = 100
# So many delays are looked at before a limit is believed: refusing one is for what is sure and seen by people.
_ENOUGH_DELAYS = 200

RESTART: Mapping[str, Any] = {
    "anyOf": [
        {"enum": values_of(RestartWhen)},
        {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {
                "when": {"enum": values_of(RestartWhen)},
                "delay": DURATION,
                "factor": {"type": "number", "minimum": 1, "maximum": _LARGEST_FACTOR},
                "max_delay": DURATION,
                "jitter": {
                    "anyOf": [
                        {"type": "string", "pattern": r"^\d+(\.\d+)?%$"},
                        {"type": "number", "minimum": 0, "maximum": 1},
                    ]
                },
                "limit": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["times", "within"],
                    "properties": {"times": {"type": "integer", "minimum": 1}, "within": DURATION},
                },
            },
        },
    ]
}
"""JSON Schema of a restart policy."""

_POLICIES = {when.value: RestartPolicy(when) for when in RestartWhen}
_when = read_choice(RestartWhen)
_NO_WORDS = {"no": "never", "false": "never", "none": "never", "yes": "on-failure", "true": "on-failure"}


def read_restart(value: object) -> RestartPolicy:
    """Return the restart policy. Raises JobMistakes."""
    if isinstance(value, str) and value in _POLICIES:
        return _POLICIES[value]
    if isinstance(value, Mapping) and value:
        return _of_mapping(value)
    meant = _NO_WORDS.get(quoted(value).strip("'").lower())
    hint = f"write {meant}" if meant else did_you_mean(value, _POLICIES)
    raise invalid_value(value, ("restart",), "never, on-failure, always or {when: on-failure, delay: 1s}", hint)


def _of_mapping(value: Mapping[str, object]) -> RestartPolicy:
    usual = RestartPolicy()
    parts = MappingReader(value, ("restart",), _KEYS)
    when = parts.read("when", _when, RestartWhen.ON_FAILURE)
    delay = parts.read("delay", read_seconds, usual.delay)
    # A delay over the usual cap means what it says: only a cap that is written can contradict it.
    max_delay = parts.read("max_delay", read_seconds, max(delay, usual.max_delay))
    factor = parts.read("factor", _factor, usual.factor)
    jitter = parts.read("jitter", _jitter, usual.jitter)
    limit = parts.read("limit", _limit, None)
    if not parts.mistakes and max_delay < delay:
        message = f"cannot use {quoted(value['max_delay'])} as restart.max_delay; expected at least the delay"
        parts.refuse("max_delay", message, f"the delay is {duration(delay)}")
    policy = RestartPolicy(when, delay, factor, max_delay, jitter, limit)
    if not parts.mistakes and limit is not None and when is not RestartWhen.NEVER:
        most = most_restarts(policy)
        if most < limit.times:
            reached = f"{limit.times} restarts within {duration(limit.within)}"
            message = f"cannot ever reach {reached}: with these delays at most {most} can begin in that time"
            parts.refuse("limit", message, f"lower times to {most}, or lengthen within")
    parts.done()
    return policy


def _factor(value: object, loc: Loc) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= _LARGEST_FACTOR:
        return float(value)
    raise invalid_value(value, loc, f"a number from 1 to {_LARGEST_FACTOR}")


def _jitter(value: object, loc: Loc) -> float:
    share = inf
    if isinstance(value, int | float) and not isinstance(value, bool):
        share = float(value)
    elif isinstance(value, str) and value.endswith("%") and value[:-1].replace(".", "", 1).isdecimal():
        share = float(value[:-1]) / 100
    if isfinite(share) and 0 <= share <= 1:
        return share
    hint = f"write {value:g}%" if isfinite(share) and isinstance(value, int | float) and 1 < share <= 100 else ""
    raise invalid_value(value, loc, "a share from 0% to 100%, or from 0 to 1", hint)


def _limit(value: object, loc: Loc) -> RestartLimit | None:
    expected = "{times: 5, within: 1m}"
    if not isinstance(value, Mapping):
        raise invalid_value(value, loc, expected)
    parts = MappingReader(value, loc, ("times", "within"))
    times = parts.read("times", _times, 1)
    within = parts.read("within", positive, inf)
    missing = [key for key in ("times", "within") if key not in value]
    if not parts.mistakes and missing:
        raise JobErrors(invalid_value(value, loc, expected, f"it lacks {' and '.join(missing)}").mistakes)
    parts.done()
    return RestartLimit(times, within)


def _times(value: object, loc: Loc) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise invalid_value(value, loc, "an integer of at least 1")


def most_restarts(policy: RestartPolicy) -> int:
    """Return a number that the restarts inside the limit's window cannot exceed; at most the limit's `times`.

    The delays alone are counted, without jitter, as if each run failed at once. Between two restarts lies the next
    delay, or a healthy run and the first delay again; `least` is the least time that a restart costs on average
    where delays start anew time after time.
    """
    if policy.limit is None:
        return 0
    times, within = policy.limit.times, policy.limit.within
    delays, least = _delays(policy)
    # What so many of the shorter delays take; from there on each costs `least`.
    taken = list(accumulate(takewhile(lambda delay: delay <= least, delays), initial=0.0))
    fewest, most = 0, times - 1  # counted in the times between restarts
    while fewest < most:
        middle = (fewest + most + 1) // 2
        near = min(middle, len(taken) - 1)
        if taken[near] + (middle - near) * least < within:
            fewest = middle
        else:
            most = middle - 1
    return fewest + 1


def _delays(policy: RestartPolicy) -> tuple[list[float], float]:
    """Return the delays between restarts that fail at once, as far as that is the fastest way, and `least`."""
    first = delay = min(policy.delay, policy.max_delay)
    delays: list[float] = []
    least, spent = inf, 0.0
    while len(delays) < _ENOUGH_DELAYS:
        # A healthy run and the first delay, after as many delays as there are: what starting anew costs on average.
        least = min(least, (spent + max(HEALTHY_SECONDS, delay) + first) / (len(delays) + 1))
        longer = min(delay * policy.factor, policy.max_delay)
        if longer > least:
            return delays, least
        if longer == delay:
            return delays, min(least, delay)
        delay = longer
        delays.append(delay)
        spent += delay
    return delays, min(least, first)
