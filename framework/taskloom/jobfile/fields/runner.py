"""`runner`: where the runs of a job execute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskloom.core.model import RunnerSpec
from taskloom.jobfile.fields.dask_options import DASK, DASK_OPTIONS
from taskloom.jobfile.fields.mapping import Key, mapping
from taskloom.jobfile.fields.process_options import OPTIONS, PROCESS, PROCESS_OPTIONS
from taskloom.jobfile.fields.spec import Field, Loc, Spec, flag, invalid_value, one_of, text

__all__ = ["RUNNER"]

# Nearly all jobs have one of these two, and a file may hold a hundred thousand jobs.
_THREAD = RunnerSpec()
_REUSED_THREAD = RunnerSpec("thread", {"reuse": True})

# -- the options of thread

_REUSE = Key("reuse", flag())
_THREAD_OPTIONS = mapping(
    [_REUSE],
    lambda reader: _REUSED_THREAD if reader.get(_REUSE, False) else _THREAD,
    expected=OPTIONS,
    name="runner",
    is_null_allowed=True,
)

# -- any runner

_NAME = text(is_empty_allowed=False)
_OPTIONS_OF: Mapping[str, Mapping[str, str]] = {"process": PROCESS_OPTIONS, "dask": DASK_OPTIONS}


def _form_hint(value: object) -> str:
    """Return how options are written below the name of their runner, for a mapping that does it otherwise; else ""."""
    if not isinstance(value, Mapping):
        return ""
    for name, options in _OPTIONS_OF.items():
        others = value.keys() - {name}
        if others and others <= options.keys():
            return f"indent its options below {name}" if name in value else f"write them as {{{name}: {{...}}}}"
    return "write one runner" if len(value) > 1 else ""


def _of_name(value: object, loc: Loc) -> RunnerSpec:
    if value == "dask":
        return DASK.read(None, loc)
    return _THREAD if value == "thread" else RunnerSpec(_NAME.read(value, loc))


# Without options runner dask has no cluster.
_BARE_NAME: Spec[RunnerSpec] = Spec(_of_name, {**_NAME.schema, "not": {"const": "dask"}}, _NAME.recognises)


def _of_mapping(value: Any, loc: Loc) -> RunnerSpec:
    [(name, options)] = value.items()
    if name == "thread":
        return _THREAD_OPTIONS.read(options, (*loc, name))
    if name == "process":
        return PROCESS.read(options, (*loc, name))
    if name == "dask":
        return DASK.read(options, (*loc, name))
    if options is not None and not isinstance(options, Mapping):
        raise invalid_value(options, (*loc, name), OPTIONS, _form_hint(value), name="runner")
    # The options of another runner are known to it alone: it checks them once the job is put together.
    return RunnerSpec(_NAME.read(name, loc), dict(options or {}))


_BY_NAME: Spec[RunnerSpec] = Spec(
    _of_mapping,
    {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {"thread": _THREAD_OPTIONS.schema, "process": PROCESS.schema, "dask": DASK.schema},
        "additionalProperties": {"type": ["object", "null"]},
    },
    lambda value: isinstance(value, Mapping) and len(value) == 1,
    keys=("thread", "process", "dask"),
)

RUNNER = Field(
    "runner",
    one_of(_BARE_NAME, _BY_NAME, expected="the name of a runner, such as thread", hint=_form_hint),
    "thread",
    "Where the runs execute: thread, or {thread: {reuse: true}} (daemon jobs only), which keeps idle threads "
    "for later runs; values that a task leaves in thread-locals are still there. process, or {process: {env, cwd, "
    "nice, user, memory_limit}}: each run has a process of its own, which can be killed. It is the default for tasks "
    "that describe a program, such as command. {dask: {scheduler, tls, ...}}: each run has a process on a worker of a "
    "Dask cluster, and {dask: {local: 2}} tries it on this machine.",
)
