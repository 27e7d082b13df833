"""The fields of a job, and what each may hold.

One table, `FIELDS`, is what job files, jobs declared in code, the JSON Schema and the reference are made of.
pydantic is not used here: the sentences about a dozen fields are better written than translated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from taskloom.complaints import Mistake, quoted, value_hint
from taskloom.core.model import WAIT_FOR_EVER, Otherwise, RunnerSpec, StartMode, StartPolicy
from taskloom.errors import near_match
from taskloom.task import parse_duration

__all__ = ["FIELDS", "LATER", "Field", "JobMistakes", "Join"]

LATER = ("restart", "schedule", "after", "timeout", "ready_within", "watchdog", "essential", "replicas")
"""Fields that a job file may come to have, and that this version refuses rather than ignores."""


class JobMistakes(Exception):
    """A declaration cannot be used: `mistakes` holds all that is wrong with it."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(mistake.message for mistake in self.mistakes))


class Field(NamedTuple):
    """One field of a job."""

    name: str
    read: Callable[[object], Any]
    """Turns a plain value into the final one; raises JobMistakes with locations that start at the field."""
    default: str
    """As it would be written; empty where there is none."""
    summary: str
    schema: Mapping[str, Any]
    """JSON Schema of the plain value."""


class Join(NamedTuple):
    """A join policy as written: what `otherwise` defaults to depends on `daemon`."""

    within: float = 10.0
    otherwise: Otherwise | None = None


def _unfit(name: str, value: object, expected: str, hint: str = "", loc: tuple[str | int, ...] = ()) -> JobMistakes:
    return JobMistakes([Mistake((name, *loc), f"cannot use {quoted(value)} as {name}; expected {expected}", hint)])


def _flag(name: str) -> Callable[[object], bool]:
    def read(value: object) -> bool:
        if isinstance(value, bool):
            return value
        raise _unfit(name, value, "true or false", value_hint(["bool_type"], value))

    return read


def _text(name: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if isinstance(value, str):
            return value
        raise _unfit(name, value, "text", value_hint(["string_type"], value))

    return read


def _labels(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _unfit("labels", value, "a list of texts", f"write [{value}]" if isinstance(value, str) else "")
    mistakes = []
    for index, label in enumerate(value):
        if not isinstance(label, str) or not label:
            message = f"cannot use {quoted(label)} as a label; expected text"
            mistakes.append(Mistake(("labels", index), message, value_hint(["string_type"], label)))
    if mistakes:
        raise JobMistakes(mistakes)
    return tuple(value)


def _params(value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise _unfit("params", value, "a mapping of the task's parameters")


# Many jobs write the same few durations.
_seconds_of_text = lru_cache(maxsize=1024)(parse_duration)


def _seconds(value: object, *loc: str) -> float:
    try:
        return _seconds_of_text(value) if type(value) is str else parse_duration(value)
    except ValueError as error:
        raise JobMistakes([Mistake(loc, f"{error}")]) from None


def _poll_interval(value: object) -> float:
    seconds = _seconds(value, "poll_interval")
    if seconds == 0:
        raise _unfit("poll_interval", value, "more than 0")
    return seconds


def _within(value: object, *loc: str) -> float:
    return WAIT_FOR_EVER if value == "wait" else _seconds(value, *loc)


def _join(value: object) -> Join:
    if isinstance(value, Mapping):
        return _join_mapping(value)
    try:
        return Join(_within(value, "join"))
    except JobMistakes:
        hint = "did you mean 'wait'?" if isinstance(value, str) and near_match(value, ["wait", "forever"]) else ""
        expected = "a duration such as 10s, wait, or {within: 5s, otherwise: abandon}"
        raise _unfit("join", value, expected, hint) from None


def _join_mapping(value: Mapping[str, object]) -> Join:
    mistakes = _unknown_keys("join", value, ("within", "otherwise"))
    join = Join()
    try:
        join = Join(_within(value.get("within", join.within), "join", "within"))
    except JobMistakes as error:
        mistakes += error.mistakes
    choices = {each.value: each for each in Otherwise}
    otherwise = value.get("otherwise")
    if "otherwise" in value and (not isinstance(otherwise, str) or otherwise not in choices):
        near = near_match(otherwise, choices) if isinstance(otherwise, str) else None
        message = f"cannot use {quoted(otherwise)} as join.otherwise; expected {' or '.join(choices)}"
        mistakes.append(Mistake(("join", "otherwise"), message, f"did you mean {near!r}?" if near else ""))
    if mistakes:
        raise JobMistakes(mistakes)
    return join._replace(otherwise=choices.get(str(otherwise)))


def _unknown_keys(name: str, value: Mapping[str, object], known: tuple[str, ...]) -> list[Mistake]:
    found = []
    for key in value:
        if key not in known:
            near = near_match(str(key), known)
            message = f"cannot find {key!r} in {name}; known: {', '.join(known)}"
            found.append(Mistake((name, key), message, f"did you mean {near!r}?" if near else "", at_key=True))
    return found


def _start(value: object) -> StartPolicy:
    if value == "auto":
        return _AUTO
    if value == "manual":
        return _MANUAL
    if not isinstance(value, Mapping):
        near = near_match(value, ["auto", "manual"]) if isinstance(value, str) else None
        raise _unfit("start", value, "auto, manual or {delay: 5s}", f"did you mean {near!r}?" if near else "")
    mistakes = _unknown_keys("start", value, ("delay",))
    if mistakes:
        raise JobMistakes(mistakes)
    if "delay" not in value:
        raise _unfit("start", value, "auto, manual or {delay: 5s}")
    return StartPolicy(StartMode.AUTO, _seconds(value["delay"], "start", "delay"))


_AUTO, _MANUAL = StartPolicy(), StartPolicy(StartMode.MANUAL)
_THREAD = RunnerSpec()


def _runner(value: object) -> RunnerSpec:
    if value == "thread":
        return _THREAD
    if isinstance(value, str) and value:
        return RunnerSpec(value)
    if not isinstance(value, Mapping) or len(value) != 1:
        raise _unfit("runner", value, "the name of a runner, such as thread")
    name, options = next(iter(value.items()))
    if options is None or options == {}:
        return RunnerSpec(name)
    if not isinstance(options, Mapping):
        raise _unfit("runner", options, "a mapping of the runner's options", loc=(name,))
    raise JobMistakes(
        Mistake(("runner", name, option), f"cannot honour {option!r} of runner {name!r} in this version", at_key=True)
        for option in options
    )


_DURATION: Mapping[str, Any] = {
    "anyOf": [{"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"}, {"type": "number", "minimum": 0}]
}
_WITHIN: Mapping[str, Any] = {"anyOf": [{"const": "wait"}, *_DURATION["anyOf"]]}

FIELDS: Mapping[str, Field] = {
    field.name: field
    for field in (
        Field("task", _text("task"), "", "The task to run: the name that an installed package offers.",
              {"type": "string"}),
        Field("params", _params, "{}", "The task's parameters; see taskloom tasks NAME.",
              {"type": ["object", "null"]}),
        Field("description", _text("description"), "", "What the job is for, for people.", {"type": "string"}),
        Field("labels", _labels, "[]", "For selecting jobs.",
              {"type": "array", "items": {"type": "string", "minLength": 1}}),
        Field("enabled", _flag("enabled"), "true", "false switches the job off: it cannot be started.",
              {"type": "boolean"}),
        Field("daemon", _flag("daemon"), "false",
              "true: runs on daemon threads, and does not keep `taskloom run` alive.", {"type": "boolean"}),
        Field("poll_interval", _poll_interval, "1s",
              "The timeout, as ctx.poll_interval, that the task gives to blocking calls that know no cancellation.",
              _DURATION),
        Field("join", _join, "10s",
              "How long a stop waits for a run: a duration, 0s (asked and woken, not awaited), wait (for ever), or "
              "{within, otherwise}. otherwise is what happens then: abandon (daemon jobs only, their default) leaves "
              "the thread behind; exit (default of the others) ends a whole shutdown by a hard exit with code 3.",
              {"anyOf": [*_WITHIN["anyOf"], {
                  "type": "object", "additionalProperties": False,
                  "properties": {"within": _WITHIN, "otherwise": {"enum": [each.value for each in Otherwise]}}}]}),
        Field("start", _start, "auto", "When the first run starts: auto, manual, or {delay: 5s} after the start.",
              {"anyOf": [{"enum": ["auto", "manual"]},
                         {"type": "object", "additionalProperties": False, "required": ["delay"],
                          "properties": {"delay": _DURATION}}]}),
        Field("runner", _runner, "thread", "Where the runs execute.",
              {"anyOf": [{"type": "string"}, {"type": "object", "minProperties": 1, "maxProperties": 1}]}),
    )
}  # fmt: skip
