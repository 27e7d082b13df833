"""`runner`: where the runs of a job execute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskloom.core.model import RunnerSpec
from taskloom.diagnostics import FieldError
from taskloom.jobfile.fields.mapping import Key, mapping
from taskloom.jobfile.fields.spec import Field, JobErrors, Loc, Spec, flag, invalid_value, one_of, text

__all__ = ["RUNNER"]

# Nearly all jobs have one of these two, and a file may hold a hundred thousand jobs.
_THREAD = RunnerSpec()
_REUSED_THREAD = RunnerSpec("thread", {"reuse": True})
_REUSE = Key("reuse", flag())


_THREAD_OPTIONS = mapping(
    [_REUSE],
    lambda reader: _REUSED_THREAD if reader.get(_REUSE, False) else _THREAD,
    expected="a mapping of the runner's options",
    name="runner",
    is_null_allowed=True,
)
_NAME = text(is_empty_allowed=False)


def _of_name(value: object, loc: Loc) -> RunnerSpec:
    return _THREAD if value == "thread" else RunnerSpec(_NAME.read(value, loc))


def _of_mapping(value: Any, loc: Loc) -> RunnerSpec:
    [(name, options)] = value.items()
    if name == "thread":
        return _THREAD_OPTIONS.read(options, (*loc, name))
    if options is None or options == {}:
        return RunnerSpec(name)
    if not isinstance(options, Mapping):
        raise invalid_value(options, (*loc, name), "a mapping of the runner's options", name="runner")
    raise JobErrors(
        FieldError(
            (*loc, name, option), f"cannot use option {option!r} of runner {name!r} in this version", at_key=True
        )
        for option in options
    )


_BY_NAME: Spec[RunnerSpec] = Spec(
    _of_mapping,
    {"type": "object", "minProperties": 1, "maxProperties": 1, "properties": {"thread": _THREAD_OPTIONS.schema}},
    lambda value: isinstance(value, Mapping) and len(value) == 1,
    keys=("thread",),
)

RUNNER = Field(
    "runner",
    one_of(_NAME.read_by(_of_name), _BY_NAME, expected="the name of a runner, such as thread"),
    "thread",
    "Where the runs execute: thread, or {thread: {reuse: true}} (daemon jobs only), which keeps idle threads "
    "for later runs; values that a task leaves in thread-locals are still there.",
)
