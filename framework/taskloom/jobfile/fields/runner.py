"""`runner`: where the runs of a job execute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskloom.core.model import RunnerSpec
from taskloom.diagnostics import SECRET_NAME, FieldError, quoted
from taskloom.jobfile.fields.mapping import Key, MappingReader, mapping
from taskloom.jobfile.fields.spec import (
    Field,
    JobErrors,
    Loc,
    Spec,
    flag,
    integer,
    invalid_value,
    is_number,
    one_of,
    size,
    text,
)

__all__ = ["PROCESS_OPTIONS", "RUNNER", "SMALLEST_MEMORY_LIMIT"]

SMALLEST_MEMORY_LIMIT = 16 << 20
"""Bytes. An interpreter alone needs about 10 MiB: with less no run would get as far as its task."""

# Nearly all jobs have one of these two, and a file may hold a hundred thousand jobs.
_THREAD = RunnerSpec()
_REUSED_THREAD = RunnerSpec("thread", {"reuse": True})
_OPTIONS = "a mapping of the runner's options"

# -- the options of thread

_REUSE = Key("reuse", flag())
_THREAD_OPTIONS = mapping(
    [_REUSE],
    lambda reader: _REUSED_THREAD if reader.get(_REUSE, False) else _THREAD,
    expected=_OPTIONS,
    name="runner",
    is_null_allowed=True,
)

# -- the options of process

# Set for each run by the runner itself.
_OWN_VARIABLES = ("TASKLOOM_JOB", "TASKLOOM_RUN")


def _read_env(value: object, loc: Loc) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise invalid_value(value, loc, "a mapping of names to texts", "write {NAME: text}")
    errors = [error for name, each in value.items() for error in _errors_in_variable(name, each, loc)]
    if errors:
        raise JobErrors(errors)
    return dict(value)


def _errors_in_variable(name: object, value: object, loc: Loc) -> list[FieldError]:
    inner = (*loc, str(name))
    if not isinstance(name, str) or not name or "=" in name or "\0" in name:
        why = "text without '=' that is not empty"
        message = f"cannot use {quoted(name)} as the name of an environment variable; expected {why}"
        return [FieldError(inner, message, at_key=True)]
    if name in _OWN_VARIABLES:
        return [FieldError(inner, f"cannot set {name}: it is set for each run, to its own", at_key=True)]
    if isinstance(value, str) and "\0" not in value:
        return []
    shown = "this value" if SECRET_NAME.search(name) else quoted(value)
    expected = "text without NUL characters" if isinstance(value, str) else "text"
    hint = "write it in quotes" if is_number(value) or isinstance(value, bool) else ""
    hint = "write '' for an empty text" if value is None else hint
    return [FieldError(inner, f"cannot use {shown} as {'.'.join(map(str, inner))}; expected {expected}", hint)]


_ENV: Spec[dict[str, str]] = Spec(
    _read_env,
    {
        "type": "object",
        "propertyNames": {"pattern": r"^[^=\u0000]+$", "not": {"enum": list(_OWN_VARIABLES)}},
        "additionalProperties": {"type": "string", "pattern": r"^[^\u0000]*$"},
    },
    lambda value: isinstance(value, Mapping),
)


def _read_path(value: object, loc: Loc) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise invalid_value(value, loc, "the path of a folder")
    if value.startswith("~"):
        raise invalid_value(value, loc, "the path of a folder", "'~' is not replaced here: write ${HOME}")
    return value


_CWD: Spec[str] = Spec(
    _read_path, {"type": "string", "pattern": r"^[^~\u0000][^\u0000]*$"}, lambda value: isinstance(value, str)
)
_USER_FORMS = "the name or the number of a user, or user:group"


def _read_user(value: object, loc: Loc) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value)
    if isinstance(value, str):
        user, colon, group = value.partition(":")
        if user.strip() == user != "" and group.strip() == group and bool(group) == bool(colon) and ":" not in group:
            return value
    raise invalid_value(value, loc, _USER_FORMS)


_USER: Spec[str] = Spec(
    _read_user,
    {
        "anyOf": [
            {"type": "string", "pattern": r"^[^:\s]([^:]*[^:\s])?(:[^:\s]([^:]*[^:\s])?)?$"},
            {"type": "integer", "minimum": 0},
        ]
    },
    lambda value: isinstance(value, str | int),
)

_PROCESS_KEYS: tuple[Key[Any], ...] = (
    Key("env", _ENV),
    Key("cwd", _CWD),
    Key("nice", integer(-20, 19)),
    Key("user", _USER),
    Key("memory_limit", size(SMALLEST_MEMORY_LIMIT)),
)


def _process(reader: MappingReader) -> RunnerSpec:
    options = {key.name: reader.get(key, None) for key in _PROCESS_KEYS if key.name in reader.written}
    return RunnerSpec("process", options)


_KNOWN_PROCESS_OPTIONS = mapping(_PROCESS_KEYS, _process, expected=_OPTIONS, name="runner", is_null_allowed=True)

PROCESS_OPTIONS: Mapping[str, str] = {
    "env": "Environment variables that are added to those that the program has, without `TASKLOOM_...` and those that "
    "systemd gives to it alone: a mapping of names to texts.",
    "cwd": "The working directory; a relative path begins at that of the program, which is the default.",
    "nice": "The niceness, from -20 to 19. Less than that of the program needs root.",
    "user": "The user that it runs as: a name or a number, or user:group. Needs root. The run gets the groups of that "
    "user before anything of the task is imported.",
    "memory_limit": "How much memory all processes of a run may use together, such as 512MiB or 1GiB; at least 16MiB. "
    "A run that uses more is killed, and has failed.",
}
"""The meaning of each option of runner `process`, for the reference and the JSON Schema."""


def _described(schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = {name: {"description": PROCESS_OPTIONS[name], **each} for name, each in schema["properties"].items()}
    return {**schema, "properties": properties}


def _read_process_options(value: Any, loc: Loc) -> RunnerSpec:
    if not isinstance(value, Mapping) or "reuse" not in value:
        return _KNOWN_PROCESS_OPTIONS.read(value, loc)
    errors = [
        FieldError((*loc, "reuse"), "cannot reuse processes: each run has a new one", "leave it out", at_key=True)
    ]
    try:
        _KNOWN_PROCESS_OPTIONS.read({key: each for key, each in value.items() if key != "reuse"}, loc)
    except JobErrors as error:
        errors += error.errors
    raise JobErrors(errors)


# -- any runner

_NAME = text(is_empty_allowed=False)


def _of_name(value: object, loc: Loc) -> RunnerSpec:
    return _THREAD if value == "thread" else RunnerSpec(_NAME.read(value, loc))


def _of_mapping(value: Any, loc: Loc) -> RunnerSpec:
    [(name, options)] = value.items()
    if name == "thread":
        return _THREAD_OPTIONS.read(options, (*loc, name))
    if name == "process":
        return _read_process_options(options, (*loc, name))
    if options is not None and not isinstance(options, Mapping):
        raise invalid_value(options, (*loc, name), _OPTIONS, name="runner")
    # The options of another runner are known to it alone: it checks them once the job is put together.
    return RunnerSpec(_NAME.read(name, loc), dict(options or {}))


_BY_NAME: Spec[RunnerSpec] = Spec(
    _of_mapping,
    {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {"thread": _THREAD_OPTIONS.schema, "process": _described(_KNOWN_PROCESS_OPTIONS.schema)},
    },
    lambda value: isinstance(value, Mapping) and len(value) == 1,
    keys=("thread", "process"),
)

RUNNER = Field(
    "runner",
    one_of(_NAME.read_by(_of_name), _BY_NAME, expected="the name of a runner, such as thread"),
    "thread",
    "Where the runs execute: thread, or {thread: {reuse: true}} (daemon jobs only), which keeps idle threads "
    "for later runs; values that a task leaves in thread-locals are still there. process, or {process: {env, cwd, "
    "nice, user, memory_limit}}: each run has a process of its own, which can be killed. It is the default for tasks "
    "that describe a program, such as command.",
)
