"""`watchdog`: how long a run may go without polling its cancellation, and what happens then."""

from __future__ import annotations

from taskloom.core.policies import Watchdog, WatchdogThen
from taskloom.jobfile.fields.mapping import Key, MappingReader, mapping
from taskloom.jobfile.fields.spec import Field, choice, constant, one_of, seconds
from taskloom.text import did_you_mean

__all__ = ["WATCHDOG"]

_AFTER = Key("after", seconds(is_zero_allowed=False), is_required=True)
_THEN = Key("then", choice(WatchdogThen))
_FORMS = "a duration such as 30s, none, or {after: 30s, then: restart}"


def _build(reader: MappingReader) -> Watchdog:
    return Watchdog(reader.get(_AFTER, 1.0), reader.get(_THEN, WatchdogThen.WARN))


def _hint(value: object) -> str:
    if value is None or value is False:
        return "write none"
    is_action = did_you_mean(value, [each.value for each in WatchdogThen])
    return f"write {{after: 30s, then: {value}}}" if is_action else ""


WATCHDOG = Field(
    "watchdog",
    one_of(
        constant("none", None),
        _AFTER.spec.read_by(lambda value, loc: Watchdog(_AFTER.spec.read(value, loc))),
        mapping([_AFTER, _THEN], _build, expected=_FORMS),
        expected=_FORMS,
        hint=_hint,
    ),
    "none",
    "How long a ready run may go without polling its cancellation: a duration, or {after, then}; then is "
    "warn, stop or restart. The poll age has a resolution of 1 s. A task with terminate() that never polls "
    "cannot be watched.",
)
