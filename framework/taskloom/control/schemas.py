"""The JSON Schemas of all replies, by name. The OpenAPI document has them, and the tests check every reply by them.

An object may get further members in later versions of the API, so that clients ignore what they do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskloom.core.enums import FastEnum
from taskloom.core.events import EventName
from taskloom.core.model import JobState, Outcome, ReasonKind, StartMode, WaitingFor
from taskloom.core.reload import ReloadAction

__all__ = ["SCHEMAS", "reference"]

Schema = Mapping[str, Any]


def reference(name: str) -> Schema:
    """Return the reference to a schema of this table."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(meaning: str, members: Mapping[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "description": meaning,
        "properties": dict(members),
        "required": [name for name in members if name not in optional],
    }


def _or_null(schema: Schema) -> Schema:
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    kinds = {**schema, "type": [schema["type"], "null"]}
    return {**kinds, "enum": [*schema["enum"], None]} if "enum" in schema else kinds


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _one_of(members: type[FastEnum]) -> Schema:
    return {"type": "string", "enum": [member.value for member in members]}


def _text(meaning: str) -> Schema:
    return {"type": "string", "description": meaning}


_TEXT: Schema = {"type": "string"}
_NAME: Schema = _text("The name of a job.")
_RUN: Schema = _text("The id of a run.")
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_SECONDS: Schema = {"type": "number", "description": "In seconds."}
_INSTANT: Schema = {"type": "string", "format": "date-time", "description": "RFC 3339, in UTC."}
_START: Schema = _text("The id of this start of the program.")
_SEQ: Schema = {"type": "integer", "minimum": 0, "description": "The number of an event; events after it are later."}
_COUNTS: Schema = {"type": "object", "additionalProperties": {"type": "integer"}}
_RECORDED: Schema = {
    "type": "boolean",
    "description": "Whether the action is committed in the history. The reply waits for that, for a second at most.",
}
_REASON: Schema = _object("Why something happened.", {"kind": _one_of(ReasonKind), "text": _TEXT})

_PROCESS: Mapping[str, Schema] = {
    "pid": {**_COUNT, "description": "The main process: the worker, or the program."},
    "processes": {**_COUNT, "description": "How many processes the run has."},
    "memory": {**_COUNT, "description": "The bytes of memory of all of them."},
    "cpu": _or_null({**_SECONDS, "description": "The seconds of processor time of all of them."}),
    "state": {"type": "string", "enum": ["running", "sleeping", "stopped"]},
}

_PLACE: Mapping[str, Schema] = {
    "host": _or_null({**_TEXT, "description": "The machine on which it executes; null if that is this one."}),
    "worker": _or_null({**_TEXT, "description": "The worker of the cluster there."}),
}

_STATUS = _object(
    "The status of one job.",
    {
        "job": _NAME,
        "task": _TEXT,
        "daemon": _FLAG,
        "state": _one_of(JobState),
        "waiting_for": _or_null(_one_of(WaitingFor)),
        "runs": _COUNT,
        "run": _or_null(_RUN),
        "outcome": _or_null(_one_of(Outcome)),
        "seconds": _or_null(_SECONDS),
        "reason": _or_null(_TEXT),
        "error": _or_null(_TEXT),
        "overdue": _FLAG,
        "outcomes": _COUNTS,
        "attempt": _COUNT,
        "restarts": _COUNT,
        "missed": _COUNT,
        "waits_for": _or_null(_TEXT),
        "due_in": _or_null(_SECONDS),
        "next_firing": _or_null(_INSTANT),
        "failed": _FLAG,
        "marks": _list(_TEXT),
        "paused": {**_FLAG, "description": "Whether its schedule is paused."},
        "paused_since": _or_null({**_INSTANT, "description": "Since when; perhaps from an earlier start."}),
        "held": _or_null(_text("How a user holds it back and why: `stopped by alice (uid 1000, pid 4242)`.")),
        "start": {**_one_of(StartMode), "description": "Whether it starts by itself, or by a user only."},
        "within": _or_null({**_SECONDS, "description": "How long its stop may take; null for no limit."}),
        "family": _text("The name in the declaration: that of the job, or of all its replicas."),
        "replica": _COUNT,
        "labels": _list(_TEXT),
        "whereabouts": _or_null(
            _object(
                "The place of its last run, if that executes elsewhere, or did.",
                {"host": _TEXT, "worker": _TEXT, "pid": {**_COUNT, "description": "0 while it is not known."}},
            )
        ),
        "unreachable_since": _or_null({**_INSTANT, "description": "Since when nothing is heard of its run."}),
        "blocked_until": _or_null(
            {**_INSTANT, "description": "When nothing is left of the lost run that blocks it, at the latest."}
        ),
        "stopping_for": _or_null({**_SECONDS, "description": "Seconds since its run was requested to stop."}),
        "stop_left": _or_null(
            {**_SECONDS, "description": "Seconds until the join policy decides about that run; null for no limit."}
        ),
        "poll_age": _or_null(_SECONDS),
        "worst_gap": _or_null(_SECONDS),
        "wakeable": _FLAG,
        "would_meet_join": _or_null(_FLAG),
        "counts": {"type": "object"},
        "progress": _or_null(
            _object(
                "What the run has reported.",
                {"done": _or_null(_SECONDS), "total": _or_null(_SECONDS), "unit": _TEXT},
            )
        ),
        "otherwise": _text("The treatment of a run that outlives its `join`: `exit`, `abandon` or `kill`."),
        "runner": _text("The runner that executes its runs: `thread`, `process` or that of a plugin."),
        "process": _or_null(_object("The processes of its run, if it has some.", _PROCESS)),
        "wrong": {**_FLAG, "description": "Whether a person should look at it."},
    },
)

_PROBLEM = _object(
    "One error or warning about a job file.",
    {
        "place": _text("`file:line:column`."),
        "message": _TEXT,
        "hint": _or_null(_TEXT),
        "severity": {"type": "string", "enum": ["error", "warning"]},
        "job": _or_null(_NAME),
        "frame": _or_null(_text("The line of the file, with its secrets masked.")),
    },
)

_EVENT = {
    **_object(
        "One event. Further members depend on its name, as the reference of events says.",
        {
            "seq": _SEQ,
            "at": _INSTANT,
            "mono": _or_null(_SECONDS),
            "event": _one_of(EventName),
            "job": _NAME,
            "run": _RUN,
            "attempt": _COUNT,
            "reason": _REASON,
            "outcome": _one_of(Outcome),
            "seconds": _or_null(_SECONDS),
            "error": _object("An exception, as text.", {"type": _TEXT, "message": _TEXT, "traceback": _TEXT}),
        },
        optional=("job", "run", "attempt", "reason", "outcome", "seconds", "error"),
    ),
}

_HISTORY = _object(
    "The history of runs. `queued` rows wait to be written, and `dropped` ones were lost because too many waited.",
    {
        "state": {"type": "string", "enum": ["on", "degraded", "off"]},
        "reason": _or_null(_text("Why it is degraded.")),
        "since": _or_null(_INSTANT),
        "url": _or_null(_text("Where it is, without a password.")),
        "queued": _COUNT,
        "dropped": _COUNT,
    },
)

_RECEIVER = _object(
    "A receiver of notifications.",
    {
        "name": _text("What it is, such as `webhook example.com`."),
        "reason": _text("Why the last try to send has failed; empty if it has not."),
        "sent": {**_COUNT, "description": "Messages that were sent."},
        "queued": {**_COUNT, "description": "Notifications that wait, or are being sent."},
        "lost": {**_COUNT, "description": "Notifications that could not be sent."},
    },
)

_LINE = _object(
    "One log line.",
    {"at": _INSTANT, "level": _TEXT, "job": _TEXT, "run": _or_null(_RUN), "text": _TEXT, "seq": _COUNT},
)
_GAP = _object(
    "Sent as `event: gap` where events or lines are missing.",
    {"from": _TEXT, "to": _TEXT, "why": {"type": "string", "enum": ["restart", "lost"]}},
)
_END = _object("Sent as `event: end`, last.", {"start": _START, "seq": _SEQ})

SCHEMAS: Mapping[str, Schema] = {
    "Action": _object(
        "An action that was carried out. `seq` is the number of the last event before it.",
        {
            "start": _START,
            "seq": _SEQ,
            "run": _or_null(_RUN),
            "job": reference("Status"),
            "recorded": _RECORDED,
        },
    ),
    "Api": _object("The routes.", {"api": {"const": 1}, "start": _START, "routes": _list(_TEXT)}),
    "Declaration": _object(
        "The declaration of a job.",
        {
            "start": _START,
            "declaration": {
                "type": "object",
                "description": "Its fields, durations in seconds, with `params`; `path` and `line` if it is in a file.",
                "required": ["name", "task", "params"],
            },
        },
    ),
    "End": _END,
    "Error": _object(
        "Why a request was refused. `code` is for programs, `near` has names that may be meant.",
        {"error": _object("The error.", {"code": _TEXT, "message": _TEXT, "near": _list(_TEXT)})},
    ),
    "Event": _EVENT,
    "EventStream": {"anyOf": [reference("Event"), reference("Gap"), reference("End")]},
    "Events": _object(
        "Events. The next page begins after `seq`; `gap`: whether events between were lost.",
        {"start": _START, "seq": _SEQ, "gap": _FLAG, "events": _list(reference("Event"))},
    ),
    "Gap": _GAP,
    "Health": _object(
        "Whether the program lives and is ready.",
        {
            "start": _START,
            "live": {**_FLAG, "description": "Whether the scheduler's thread is late by ten seconds at most."},
            "late": {**_SECONDS, "description": "By how many seconds it is late; 0 if it answers in time."},
            "ready": _FLAG,
            "text": _text("`ready`, or why it is not."),
            "missing": _list(_NAME),
        },
    ),
    "InvalidFiles": _object(
        "Job files with errors. `text` has them as `taskloom validate` prints them.",
        {
            "error": _object("The error.", {"code": _TEXT, "message": _TEXT, "near": _list(_TEXT)}),
            "problems": _list(reference("Problem")),
            "text": _TEXT,
        },
    ),
    "Job": _object("One job.", {"start": _START, "seq": _SEQ, "job": reference("Status")}),
    "Jobs": _object("The jobs.", {"start": _START, "seq": _SEQ, "jobs": _list(reference("Status"))}),
    "Line": _LINE,
    "LogStream": {"anyOf": [reference("Line"), reference("Gap"), reference("End")]},
    "Logs": _object(
        "Log lines. From the instant `from` on, all lines are kept.",
        {"from": _or_null(_INSTANT), "lines": _list(reference("Line"))},
    ),
    "Runs": _object(
        "Runs, the oldest first. From the instant `from` on, all of them are kept.",
        {
            "start": _START,
            "from": _or_null(_INSTANT),
            "history": {
                "enum": ["read", "off", "unread", None],
                "description": "Whether the runs of the history are there; `unread` if it could not be read in time, "
                "null if they were not asked for.",
            },
            "runs": _list(
                _object(
                    "One run.",
                    {
                        "start": _START,
                        "job": _NAME,
                        "run": _RUN,
                        "attempt": _COUNT,
                        "queued": _INSTANT,
                        "due": _or_null({**_INSTANT, "description": "The instant of the schedule that it starts for."}),
                        "started": _or_null(_INSTANT),
                        "ended": _or_null(_INSTANT),
                        "outcome": _or_null(_one_of(Outcome)),
                        "seconds": _or_null(_SECONDS),
                        "error": _or_null(_TEXT),
                        "reason": _or_null(_TEXT),
                    },
                )
            ),
        },
    ),
    "Next": _object(
        "Coming firings.",
        {
            "firings": _list(
                _object(
                    "One firing; `in` is the seconds until then.",
                    {"job": _NAME, "at": _INSTANT, "in": _SECONDS, "schedule": _TEXT, "paused": _FLAG},
                )
            )
        },
    ),
    "OpenApi": {"type": "object", "description": "This document.", "required": ["openapi", "info", "paths"]},
    "Problem": _PROBLEM,
    "Processes": _object(
        "The runs that are in processes of their own.",
        {"processes": _list(_object("One run.", {"job": _NAME, "run": _RUN, "runner": _TEXT, **_PLACE, **_PROCESS}))},
    ),
    "Program": _object(
        "The program.",
        {
            "name": _TEXT,
            "label": _or_null(_text("The name that is typed while it is unique.")),
            "pid": _COUNT,
            "uid": _COUNT,
            "version": _TEXT,
            "python": _TEXT,
            "start": _START,
            "since": _INSTANT,
            "now": {**_INSTANT, "description": "What the clock of the program says."},
            "paths": _list(_TEXT),
            "cwd": _TEXT,
            "command": _list(_TEXT),
            "state": {"type": "string", "enum": ["running", "stopping", "stopped"]},
            "stop": _or_null(
                _object(
                    "The stop of everything, once it has begun.",
                    {"reason": _TEXT, "seconds_left": _or_null(_SECONDS), "awaited": _list(_NAME)},
                )
            ),
            "jobs": _object("How many jobs.", {"total": _COUNT, "by_state": _COUNTS, "wrong": _COUNT}),
            "seq": _SEQ,
            "log": _object(
                "The log lines that it keeps, the folder of its log files, and why they cannot be written.",
                {"from": _or_null(_INSTANT), "dir": _or_null(_TEXT), "problem": _or_null(_TEXT)},
            ),
            "history": _HISTORY,
            "page": _or_null(
                _object("The web page, if the program serves it.", {"url": _TEXT, "token_file": _text("A path.")})
            ),
            "notifications": _list(_RECEIVER),
        },
    ),
    "Reload": _object(
        "What a reload changes.",
        {
            "changes": _list(
                _object("One job.", {"job": _NAME, "action": _one_of(ReloadAction), "fields": _list(_TEXT)})
            ),
            "sum": _TEXT,
            "warnings": _list(reference("Problem")),
            "text": _text("The warnings as `taskloom validate` prints them."),
            "recorded": _RECORDED,
        },
        optional=("recorded",),
    ),
    "Shutdown": _object(
        "A stop that was requested.", {"start": _START, "seq": _SEQ, "reason": _TEXT, "recorded": _RECORDED}
    ),
    "Stacks": _object(
        "Where the runs are.",
        {
            "stacks": _list(
                _object(
                    "One run. `text`: its stack, or the processes of a program; empty if that was not read in time.",
                    {
                        "job": _NAME,
                        "run": _RUN,
                        "where": _or_null(_TEXT),
                        "poll_age": _or_null(_SECONDS),
                        "runner": _TEXT,
                        "pid": _or_null({**_COUNT, "description": "Its main process; null for a run in a thread."}),
                        **_PLACE,
                        "text": _TEXT,
                    },
                )
            )
        },
    ),
    "Status": _STATUS,
    "StopReport": _object(
        "The report of the stop, as `taskloom run -o json` prints it.",
        {
            "exit_code": _COUNT,
            "reason": _REASON,
            "seconds": _or_null(_SECONDS),
            "jobs": _list({"type": "object"}),
            "survivors": _list({"type": "object"}),
            "killed": _list(_object("A run that the stop killed.", {"job": _NAME, "run": _RUN, "how": _TEXT})),
            "lost": _list(
                _object(
                    "A lost run of which something may still be executing, and the seconds until nothing can be.",
                    {"job": _NAME, "run": _RUN, "host": _TEXT, "worker": _TEXT, "seconds": _or_null(_SECONDS)},
                )
            ),
            "threads_left": _list({"type": "object"}),
            "processes_left": _list({"type": "object"}),
        },
        optional=("threads_left", "processes_left"),
    ),
    "Text": _text("Text in place of JSON."),
    "Why": _object(
        "Why a job is, or is not, running: a paragraph, and the facts it was made from.",
        {"start": _START, "seq": _SEQ, "job": _NAME, "text": _TEXT, "facts": {"type": "object"}},
    ),
}
