"""`join`: how long a stop waits for a run, and what happens to one that takes longer."""

from __future__ import annotations

from typing import NamedTuple

from taskloom.core.model import WAIT_FOR_EVER, Otherwise
from taskloom.jobfile.fields import spec
from taskloom.jobfile.fields.mapping import Key, MappingReader, mapping
from taskloom.text import did_you_mean, suggest

__all__ = ["JOIN", "Join"]


class Join(NamedTuple):
    """A join policy as written. The default of `otherwise` depends on the runner and on `daemon`."""

    within: float = 10.0
    otherwise: Otherwise | None = None


_WITHIN = Key("within", spec.one_of(spec.constant("wait", WAIT_FOR_EVER), spec.seconds()))
_OTHERWISE = Key("otherwise", spec.choice(Otherwise))
_FORMS = "a duration such as 10s, wait, or {within: 5s, otherwise: abandon}"


def _build(reader: MappingReader) -> Join:
    return Join(reader.get(_WITHIN, Join().within), reader.get(_OTHERWISE, None))


def _of_time(value: object, loc: spec.Loc) -> Join:
    try:
        return Join(_WITHIN.spec.read(value, loc))
    except spec.JobErrors:
        hint = suggest("wait") if did_you_mean(value, ["wait", "forever"]) else ""
        raise spec.invalid_value(value, loc, _FORMS, hint) from None


JOIN = spec.Field(
    "join",
    spec.one_of(
        _WITHIN.spec.read_by(_of_time).recognised_by(lambda value: isinstance(value, str) or spec.is_number(value)),
        mapping([_WITHIN, _OTHERWISE], _build, expected=_FORMS),
        expected=_FORMS,
    ),
    "10s",
    "How long a stop waits for a run: a duration, 0s (request the stop and do not wait; a run that is alive at the end "
    "of the stop is abandoned, or killed), wait (for ever), or {within, otherwise}. otherwise is what happens after "
    "that time: abandon (daemon jobs only, their default) leaves the thread behind; exit (the default of other jobs) "
    "ends a whole shutdown by a hard exit with code 3; kill (on runner process only, where it is the default of all "
    "jobs) kills its processes.",
)
