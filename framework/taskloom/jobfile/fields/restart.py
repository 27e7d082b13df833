"""`restart`: whether, when and how often a run follows one that ended."""

from __future__ import annotations

from itertools import accumulate, takewhile
from math import inf, isfinite

from taskloom.core.policies import RestartLimit, RestartPolicy, RestartWhen
from taskloom.diagnostics import quoted
from taskloom.jobfile.fields.mapping import Key, MappingReader, mapping
from taskloom.jobfile.fields.spec import (
    Field,
    Loc,
    Spec,
    choice,
    integer,
    invalid_value,
    number,
    one_of,
    seconds,
    words,
)
from taskloom.text import did_you_mean, duration

__all__ = ["RESTART", "most_restarts"]

_LARGEST_FACTOR = 100
# A run must be healthy for this long before its delay begins again: `core.restart.HEALTHY_SECONDS`, held equal by a
# test. The core's module is not imported for it, because most job files have no limit.
_HEALTHY_SECONDS = 30.0
# Delays that grow slower than this many steps are cut off there. The bound is then too high and never too low: only a
# limit that certainly has no effect is refused.
_MOST_DELAYS = 200
_USUAL = RestartPolicy()
_POLICIES = {when.value: RestartPolicy(when) for when in RestartWhen}
_FORMS = "never, on-failure, always or {when: on-failure, delay: 1s}"
_MEANINGS = {"no": "never", "false": "never", "none": "never", "yes": "on-failure", "true": "on-failure"}


def _read_share(value: object, loc: Loc) -> float:
    share = inf
    if isinstance(value, int | float) and not isinstance(value, bool):
        share = float(value)
    elif isinstance(value, str) and value.endswith("%") and value[:-1].replace(".", "", 1).isdecimal():
        share = float(value[:-1]) / 100
    if isfinite(share) and 0 <= share <= 1:
        return share
    hint = f"write {value:g}%" if isfinite(share) and isinstance(value, int | float) and 1 < share <= 100 else ""
    raise invalid_value(value, loc, "a share from 0% to 100%, or from 0 to 1", hint)


_SHARE = Spec(
    _read_share,
    {"anyOf": [{"type": "string", "pattern": r"^\d+(\.\d+)?%$"}, {"type": "number", "minimum": 0, "maximum": 1}]},
    lambda value: isinstance(value, int | float | str),
)

_TIMES = Key("times", integer(1), is_required=True)
_WITHIN = Key("within", seconds(is_zero_allowed=False), is_required=True)


def _build_limit(reader: MappingReader) -> RestartLimit:
    return RestartLimit(reader.get(_TIMES, 1), reader.get(_WITHIN, inf))


_WHEN = Key("when", choice(RestartWhen))
_DELAY = Key("delay", seconds())
_FACTOR = Key("factor", number(1, _LARGEST_FACTOR))
_MAX_DELAY = Key("max_delay", seconds())
_JITTER = Key("jitter", _SHARE)
_LIMIT = Key("limit", mapping([_TIMES, _WITHIN], _build_limit, expected="{times: 5, within: 1m}"))


def _build(reader: MappingReader) -> RestartPolicy:
    when = reader.get(_WHEN, RestartWhen.ON_FAILURE)
    delay = reader.get(_DELAY, _USUAL.delay)
    # A delay over the default of max_delay is legal: only a max_delay that is written can contradict it.
    max_delay = reader.get(_MAX_DELAY, max(delay, _USUAL.max_delay))
    factor = reader.get(_FACTOR, _USUAL.factor)
    jitter = reader.get(_JITTER, _USUAL.jitter)
    limit = reader.get(_LIMIT, None)
    policy = RestartPolicy(when, delay, factor, max_delay, jitter, limit)
    if not reader.errors:
        _check_delays(reader, policy)
    if not reader.errors:
        _check_limit(reader, policy)
    return policy


def _check_delays(reader: MappingReader, policy: RestartPolicy) -> None:
    if policy.max_delay < policy.delay:
        written = quoted(reader.written["max_delay"])
        message = f"cannot use {written} as restart.max_delay; expected at least the delay"
        reader.refuse("max_delay", message, f"the delay is {duration(policy.delay)}")


def _check_limit(reader: MappingReader, policy: RestartPolicy) -> None:
    limit = policy.limit
    if limit is None or policy.when is RestartWhen.NEVER:
        return
    most = most_restarts(policy)
    if most < limit.times:
        limit_words = f"{limit.times} restarts within {duration(limit.within)}"
        message = f"cannot ever reach {limit_words}: with these delays at most {most} are possible in that time"
        reader.refuse("limit", message, f"lower times to {most}, or lengthen within")


def most_restarts(policy: RestartPolicy) -> int:
    """Return a number that the restarts inside the limit's window cannot exceed; at most the limit's `times`.

    Counts the delays alone, without jitter, as if each run failed at once. Two restarts are separated by the next
    delay, or by a healthy run and the first delay. `least` is the lowest average cost of a restart if the delays
    begin again and again.
    """
    if policy.limit is None:
        return 0
    times, within = policy.limit.times, policy.limit.within
    delays, least = _delays(policy)
    # taken[n] is how long the first n delays take, as far as they are shorter than `least`; each later restart costs
    # `least`.
    taken = list(accumulate(takewhile(lambda delay: delay <= least, delays), initial=0.0))
    fewest, most = 0, times - 1  # the number of intervals between restarts, found by bisection
    while fewest < most:
        middle = (fewest + most + 1) // 2
        near = min(middle, len(taken) - 1)
        if taken[near] + (middle - near) * least < within:
            fewest = middle
        else:
            most = middle - 1
    return fewest + 1


def _delays(policy: RestartPolicy) -> tuple[list[float], float]:
    """Return the delays between runs that fail at once, for as long as that is the fastest way, and `least`."""
    first = delay = min(policy.delay, policy.max_delay)
    delays: list[float] = []
    least, spent = inf, 0.0
    while len(delays) < _MOST_DELAYS:
        # All delays so far, then a healthy run and the first delay: the average cost if the delays begin again here.
        least = min(least, (spent + max(_HEALTHY_SECONDS, delay) + first) / (len(delays) + 1))
        longer = min(delay * policy.factor, policy.max_delay)
        if longer > least:
            return delays, least
        if longer == delay:
            return delays, min(least, delay)
        delay = longer
        delays.append(delay)
        spent += delay
    return delays, min(least, first)


def _hint(value: object) -> str:
    meaning = _MEANINGS.get(quoted(value).strip("'").lower())
    return f"write {meaning}" if meaning else did_you_mean(value, _POLICIES)


RESTART = Field(
    "restart",
    one_of(
        words(_POLICIES),
        mapping([_WHEN, _DELAY, _FACTOR, _MAX_DELAY, _JITTER, _LIMIT], _build, expected=_FORMS, is_empty_allowed=False),
        expected=_FORMS,
        hint=_hint,
    ),
    "never",
    "When a run that ended is followed by another one: never, on-failure, always, or {when: on-failure, "
    "delay: 0.5s, factor: 2, max_delay: 30s, jitter: 50%, limit: {times: 5, within: 10m}}. The delay grows "
    "by factor up to max_delay, plus jitter, and begins again after a healthy run. With more restarts than times "
    "inside the sliding window the job gives up; without limit it never does.",
)
