"""The options of runner `process`, which those of runner `dask` share: what a process of a run is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskloom.core.model import RunnerSpec
from taskloom.diagnostics import SECRET_NAME, FieldError, quoted
from taskloom.jobfile.fields.mapping import Key, MappingReader, mapping
from taskloom.jobfile.fields.spec import JobErrors, Loc, Spec, integer, invalid_value, is_number, size

__all__ = [
    "NO_REUSE",
    "OPTIONS",
    "PROCESS",
    "PROCESS_KEYS",
    "PROCESS_OPTIONS",
    "SMALLEST_MEMORY_LIMIT",
    "described",
    "path",
]

SMALLEST_MEMORY_LIMIT = 16 << 20
"""Bytes. An interpreter alone needs about 10 MiB: with less no run would get as far as its task."""
OPTIONS = "a mapping of the runner's options"
"""Named by the message about a value that is none."""

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


def path(expected: str) -> Spec[str]:
    """Accept a path, whose `~` would not be replaced. `expected`: what it is, for messages."""

    def read(value: object, loc: Loc) -> str:
        if not isinstance(value, str) or not value or "\0" in value:
            raise invalid_value(value, loc, expected)
        if value.startswith("~"):
            raise invalid_value(value, loc, expected, "'~' is not replaced here: write ${HOME}")
        return value

    pattern = r"^[^~\u0000][^\u0000]*$"
    return Spec(read, {"type": "string", "pattern": pattern}, lambda value: isinstance(value, str))


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

PROCESS_KEYS: tuple[Key[Any], ...] = (
    Key("env", _ENV),
    Key("cwd", path("the path of a folder")),
    Key("nice", integer(-20, 19)),
    Key("user", _USER),
    Key("memory_limit", size(SMALLEST_MEMORY_LIMIT)),
)


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


def described(schema: Mapping[str, Any], meanings: Mapping[str, str]) -> dict[str, Any]:
    """Return the schema of a mapping of options with the meaning of each."""
    properties = {name: {"description": meanings[name], **each} for name, each in schema["properties"].items()}
    return {**schema, "properties": properties}


def _build(reader: MappingReader) -> RunnerSpec:
    options = {key.name: reader.get(key, None) for key in PROCESS_KEYS if key.name in reader.written}
    return RunnerSpec("process", options)


NO_REUSE = "cannot reuse processes: each run has a new one"
_KNOWN = mapping(PROCESS_KEYS, _build, expected=OPTIONS, name="runner", is_null_allowed=True)


def _read(value: Any, loc: Loc) -> RunnerSpec:
    if not isinstance(value, Mapping) or "reuse" not in value:
        return _KNOWN.read(value, loc)
    errors = [FieldError((*loc, "reuse"), NO_REUSE, "leave it out", at_key=True)]
    try:
        _KNOWN.read({key: each for key, each in value.items() if key != "reuse"}, loc)
    except JobErrors as error:
        errors += error.errors
    raise JobErrors(errors)


PROCESS = Spec(_read, described(_KNOWN.schema, PROCESS_OPTIONS), lambda value: isinstance(value, Mapping))
