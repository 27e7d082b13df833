"""The fields of a job, and what each may hold.

One table, `FIELDS`, is what job files, jobs declared in code, the JSON Schema and the reference are made of; the
readers of the larger fields stand in modules of their own. pydantic is not used here: the sentences about two dozen
fields are better written than translated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from taskloom.catalog.pydantic_errors import value_hint
from taskloom.core.model import RunnerSpec, StartMode, StartPolicy
from taskloom.diagnostics import FieldError, quoted
from taskloom.jobfile.fields.after import AFTER, read_after
from taskloom.jobfile.fields.join import JOIN, Join, read_join
from taskloom.jobfile.fields.limits import LIMIT, REPLICAS, WATCHDOG, limit_reader, read_replicas, read_watchdog
from taskloom.jobfile.fields.restart import RESTART, read_restart
from taskloom.jobfile.fields.schedule import SCHEDULE, read_schedule
from taskloom.jobfile.fields.validators import (
    DURATION,
    JobErrors,
    MappingReader,
    invalid_value,
    positive,
    read_flag,
    read_seconds,
    read_text,
)
from taskloom.text import did_you_mean

__all__ = ["FIELDS", "Field", "JobErrors", "Join"]


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


def _flag(name: str) -> Callable[[object], bool]:
    return lambda value: read_flag(value, (name,))


def _text(name: str) -> Callable[[object], str]:
    return lambda value: read_text(value, (name,))


def _labels(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise invalid_value(value, ("labels",), "a list of texts", f"write [{value}]" if isinstance(value, str) else "")
    mistakes = []
    for index, label in enumerate(value):
        if not isinstance(label, str) or not label:
            message = f"cannot use {quoted(label)} as a label; expected text"
            mistakes.append(FieldError(("labels", index), message, value_hint(["string_type"], label)))
    if mistakes:
        raise JobErrors(mistakes)
    return tuple(value)


def _params(value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise invalid_value(value, ("params",), "a mapping of the task's parameters")


def _poll_interval(value: object) -> float:
    return positive(value, ("poll_interval",))


_AUTO, _MANUAL = StartPolicy(), StartPolicy(StartMode.MANUAL)


def _start(value: object) -> StartPolicy:
    loc, expected = ("start",), "auto, manual or {delay: 5s}"
    if value == "auto":
        return _AUTO
    if value == "manual":
        return _MANUAL
    if not isinstance(value, Mapping):
        raise invalid_value(value, loc, expected, did_you_mean(value, ["auto", "manual"]))
    parts = MappingReader(value, loc, ("delay",))
    delay = parts.read("delay", read_seconds, 0.0)
    parts.done()
    if "delay" not in value:
        raise invalid_value(value, loc, expected)
    return StartPolicy(StartMode.AUTO, delay)


_THREAD = RunnerSpec()
_REUSED = RunnerSpec("thread", {"reuse": True})


def _runner(value: object) -> RunnerSpec:
    if value == "thread":
        return _THREAD
    if isinstance(value, str) and value:
        return RunnerSpec(value)
    if not isinstance(value, Mapping) or len(value) != 1:
        raise invalid_value(value, ("runner",), "the name of a runner, such as thread")
    name, options = next(iter(value.items()))
    if options is None or options == {}:
        return RunnerSpec(name)
    if not isinstance(options, Mapping):
        raise invalid_value(options, ("runner", name), "a mapping of the runner's options", name="runner")
    if name == "thread":
        parts = MappingReader(options, ("runner", name), ("reuse",))
        reuse = parts.read("reuse", read_flag, False)
        parts.done()
        return _REUSED if reuse else _THREAD
    raise JobErrors(
        FieldError(
            ("runner", name, option), f"cannot honour {option!r} of runner {name!r} in this version", at_key=True
        )
        for option in options
    )


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
              DURATION),
        Field("join", read_join, "10s",
              "How long a stop waits for a run: a duration, 0s (asked and woken, not awaited), wait (for ever), or "
              "{within, otherwise}. otherwise is what happens then: abandon (daemon jobs only, their default) leaves "
              "the thread behind; exit (default of the others) ends a whole shutdown by a hard exit with code 3.",
              JOIN),
        Field("start", _start, "auto",
              "When the first run starts, or the schedule is armed: auto, manual (when somebody starts it), or "
              "{delay: 5s}, counted from when all that `after` names has come true.",
              {"anyOf": [{"enum": ["auto", "manual"]},
                         {"type": "object", "additionalProperties": False, "required": ["delay"],
                          "properties": {"delay": DURATION}}]}),
        Field("schedule", read_schedule, "none",
              "When runs start by themselves: {every: 5m}, {cron: '0 6 * * *'} (as Debian's cron means it; six fields "
              "begin with seconds) or {at: '2030-01-31 06:00'}. Beside it: timezone of cron and at (the machine's), "
              "jitter (0s), overlap (skip, queue, replace), missed (once, skip), grace (1h: how late a missed instant "
              "may still run), immediately (false).",
              SCHEDULE),
        Field("after", read_after, "[]",
              "The jobs to wait for: a name, a list of names, or {job: condition}. A bare name waits for ready; the "
              "other conditions are started, succeeded and finished. The name of a job with replicas means all of "
              "them.",
              AFTER),
        Field("restart", read_restart, "never",
              "Which ends of a run are followed by another one: never, on-failure, always, or {when: on-failure, "
              "delay: 0.5s, factor: 2, max_delay: 30s, jitter: 50%, limit: {times: 5, within: 10m}}. The delay grows "
              "by factor up to max_delay, jitter comes on top, and begins anew after a healthy run. With more "
              "restarts than times inside the sliding window the job gives up; without limit it never does.",
              RESTART),
        Field("timeout", limit_reader("timeout"), "none",
              "How long a run may take, from the order to begin it; then it is stopped and ends timed_out.", LIMIT),
        Field("ready_within", limit_reader("ready_within"), "none",
              "How long a run may take to be ready; then it is stopped and ends failed. For tasks that announce "
              "that they are ready: any other is ready once started.", LIMIT),
        Field("watchdog", read_watchdog, "none",
              "How long a ready run may go without a poll of its cancellation: a duration, or {after, then}; then is "
              "warn, stop or restart. Ages are known to 1 s. A task with terminate() that never polls cannot be "
              "watched.",
              WATCHDOG),
        Field("essential", _flag("essential"), "false", "true: when the job fails for good, everything stops.",
              {"type": "boolean"}),
        Field("replicas", read_replicas, "1",
              "How many instances there are, named name.1 to name.n; ctx.replica tells a run which it is.", REPLICAS),
        Field("runner", _runner, "thread",
              "Where the runs execute: thread, or {thread: {reuse: true}} (daemon jobs only), which keeps idle "
              "threads for the runs to come; what a task leaves in thread-locals carries over.",
              {"anyOf": [
                  {"type": "string", "minLength": 1},
                  {"type": "object", "minProperties": 1, "maxProperties": 1,
                   "properties": {"thread": {
                       "type": ["object", "null"], "additionalProperties": False,
                       "properties": {"reuse": {"type": "boolean"}}}}},
              ]}),
    )
}  # fmt: skip
