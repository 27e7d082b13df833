"""`start`: whether the job starts by itself, and how long after its dependencies."""

from __future__ import annotations

from taskloom.core.model import StartMode, StartPolicy
from taskloom.jobfile.fields.mapping import Key, MappingReader, mapping
from taskloom.jobfile.fields.spec import Field, one_of, seconds, words
from taskloom.text import did_you_mean

__all__ = ["START"]

_MODES = {"auto": StartPolicy(), "manual": StartPolicy(StartMode.MANUAL)}
_FORMS = "auto, manual or {delay: 5s}"
_DELAY = Key("delay", seconds(), is_required=True)


def _build(reader: MappingReader) -> StartPolicy:
    return StartPolicy(StartMode.AUTO, reader.get(_DELAY, 0.0))


START = Field(
    "start",
    one_of(
        words(_MODES),
        mapping([_DELAY], _build, expected=_FORMS, is_empty_allowed=False),
        expected=_FORMS,
        hint=lambda value: did_you_mean(value, _MODES),
    ),
    "auto",
    "When the first run starts, or the schedule begins: auto, manual (when it is started by a call), or {delay: 5s}, "
    "counted from the moment at which all dependencies in `after` are satisfied.",
)
