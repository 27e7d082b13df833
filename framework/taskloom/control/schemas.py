"""The JSON Schemas of all replies, by name. The OpenAPI document has them, and the tests check every reply by them.

An object may get further members in later versions of the API, so that clients ignore what they do not know.
"""

from __future__ import annotations

from collections.abc import Mapping

from taskloom.control.schema_types import (
    COUNT,
    COUNTS,
    FLAG,
    INSTANT,
    NAME,
    RECORDED,
    RUN,
    SECONDS,
    SEQ,
    START,
    TEXT,
    Schema,
    list_of,
    one_of,
    or_null,
    record,
    reference,
    text,
)
from taskloom.core.events import EventName
from taskloom.core.model import JobState, Outcome, ReasonKind, StartMode, WaitingFor
from taskloom.core.reload import ReloadAction

__all__ = ["SCHEMAS"]

_REASON: Schema = record("Why something happened.", {"kind": one_of(ReasonKind), "text": TEXT})

_PROCESS: Mapping[str, Schema] = {
    "pid": {**COUNT, "description": "The main process: the worker, or the program."},
    "processes": {**COUNT, "description": "How many processes the run has."},
    "memory": {**COUNT, "description": "The bytes of memory of all of them."},
    "cpu": or_null({**SECONDS, "description": "The seconds of processor time of all of them."}),
    "state": {"type": "string", "enum": ["running", "sleeping", "stopped"]},
}

_PLACE: Mapping[str, Schema] = {
    "host": or_null({**TEXT, "description": "The machine on which it executes; null if that is this one."}),
    "worker": or_null({**TEXT, "description": "The worker of the cluster there."}),
}

_WHEREABOUTS: Mapping[str, Schema] = {
    "host": TEXT,
    "worker": TEXT,
    "pid": {**COUNT, "description": "0 while it is not known."},
}

_STATUS = record(
    "The status of one job.",
    {
        "job": NAME,
        "task": TEXT,
        "daemon": FLAG,
        "state": one_of(JobState),
        "waiting_for": or_null(one_of(WaitingFor)),
        "runs": COUNT,
        "run": or_null(RUN),
        "outcome": or_null(one_of(Outcome)),
        "seconds": or_null(SECONDS),
        "reason": or_null(TEXT),
        "error": or_null(TEXT),
        "overdue": FLAG,
        "outcomes": COUNTS,
        "attempt": COUNT,
        "restarts": COUNT,
        "missed": COUNT,
        "waits_for": or_null(TEXT),
        "due_in": or_null(SECONDS),
        "next_firing": or_null(INSTANT),
        "failed": FLAG,
        "marks": list_of(TEXT),
        "paused": {**FLAG, "description": "Whether its schedule is paused."},
        "paused_since": or_null({**INSTANT, "description": "Since when; perhaps from an earlier start."}),
        "held": or_null(text("How a user holds it back and why: `stopped by alice (uid 1000, pid 4242)`.")),
        "start": {**one_of(StartMode), "description": "Whether it starts by itself, or by a user only."},
        "within": or_null({**SECONDS, "description": "How long its stop may take; null for no limit."}),
        "family": text("The name in the declaration: that of the job, or of all its replicas."),
        "replica": COUNT,
        "labels": list_of(TEXT),
        "whereabouts": or_null(record("The place of its last run, if that executes elsewhere, or did.", _WHEREABOUTS)),
        "unreachable_since": or_null({**INSTANT, "description": "Since when nothing is heard of its run."}),
        "blocked_until": or_null(
            {**INSTANT, "description": "When nothing is left of the lost run that blocks it, at the latest."}
        ),
        "stopping_for": or_null({**SECONDS, "description": "Seconds since its run was requested to stop."}),
        "stop_left": or_null(
            {**SECONDS, "description": "Seconds until the join policy decides about that run; null for no limit."}
        ),
        "poll_age": or_null(SECONDS),
        "worst_gap": or_null(SECONDS),
        "wakeable": FLAG,
        "would_meet_join": or_null(FLAG),
        "counts": {"type": "object"},
        "progress": or_null(
            record(
                "What the run has reported.",
                {"done": or_null(SECONDS), "total": or_null(SECONDS), "unit": TEXT},
            )
        ),
        "otherwise": text("The treatment of a run that outlives its `join`: `exit`, `abandon` or `kill`."),
        "runner": text("The runner that executes its runs: `thread`, `process` or that of a plugin."),
        "process": or_null(record("The processes of its run, if it has some.", _PROCESS)),
        "wrong": {**FLAG, "description": "Whether a person should look at it."},
    },
)

_PROBLEM = record(
    "One error or warning about a job file.",
    {
        "place": text("`file:line:column`."),
        "message": TEXT,
        "hint": or_null(TEXT),
        "severity": {"type": "string", "enum": ["error", "warning"]},
        "job": or_null(NAME),
        "frame": or_null(text("The line of the file, with its secrets masked.")),
    },
)

_EVENT = {
    **record(
        "One event. Further members depend on its name, as the reference of events says.",
        {
            "seq": SEQ,
            "at": INSTANT,
            "mono": or_null(SECONDS),
            "event": one_of(EventName),
            "job": NAME,
            "run": RUN,
            "attempt": COUNT,
            "reason": _REASON,
            "outcome": one_of(Outcome),
            "seconds": or_null(SECONDS),
            "error": record("An exception, as text.", {"type": TEXT, "message": TEXT, "traceback": TEXT}),
        },
        optional=("job", "run", "attempt", "reason", "outcome", "seconds", "error"),
    ),
}

_HISTORY = record(
    "The history of runs. `queued` rows wait to be written, and `dropped` ones were lost because too many waited.",
    {
        "state": {"type": "string", "enum": ["on", "degraded", "off"]},
        "reason": or_null(text("Why it is degraded.")),
        "since": or_null(INSTANT),
        "url": or_null(text("Where it is, without a password.")),
        "queued": COUNT,
        "dropped": COUNT,
    },
)

_RECEIVER = record(
    "A receiver of notifications.",
    {
        "name": text("What it is, such as `webhook example.com`."),
        "reason": text("Why the last try to send has failed; empty if it has not."),
        "sent": {**COUNT, "description": "Messages that were sent."},
        "queued": {**COUNT, "description": "Notifications that wait, or are being sent."},
        "lost": {**COUNT, "description": "Notifications that could not be sent."},
    },
)

_LINE = record(
    "One log line.",
    {"at": INSTANT, "level": TEXT, "job": TEXT, "run": or_null(RUN), "text": TEXT, "seq": COUNT},
)
_GAP = record(
    "Sent as `event: gap` where events or lines are missing.",
    {"from": TEXT, "to": TEXT, "why": {"type": "string", "enum": ["restart", "lost"]}},
)
_END = record("Sent as `event: end`, last.", {"start": START, "seq": SEQ})

SCHEMAS: Mapping[str, Schema] = {
    "Action": record(
        "An action that was carried out. `seq` is the number of the last event before it.",
        {
            "start": START,
            "seq": SEQ,
            "run": or_null(RUN),
            "job": reference("Status"),
            "recorded": RECORDED,
        },
    ),
    "Api": record("The routes.", {"api": {"const": 1}, "start": START, "routes": list_of(TEXT)}),
    "Declaration": record(
        "The declaration of a job.",
        {
            "start": START,
            "declaration": {
                "type": "object",
                "description": "Its fields, durations in seconds, with `params`; `path` and `line` if it is in a file.",
                "required": ["name", "task", "params"],
            },
        },
    ),
    "End": _END,
    "Error": record(
        "Why a request was refused. `code` is for programs, `near` has names that may be meant.",
        {"error": record("The error.", {"code": TEXT, "message": TEXT, "near": list_of(TEXT)})},
    ),
    "Event": _EVENT,
    "EventStream": {"anyOf": [reference("Event"), reference("Gap"), reference("End")]},
    "Events": record(
        "Events. The next page begins after `seq`; `gap`: whether events between were lost.",
        {"start": START, "seq": SEQ, "gap": FLAG, "events": list_of(reference("Event"))},
    ),
    "Gap": _GAP,
    "Health": record(
        "Whether the program lives and is ready.",
        {
            "start": START,
            "live": {**FLAG, "description": "Whether the scheduler's thread is late by ten seconds at most."},
            "late": {**SECONDS, "description": "By how many seconds it is late; 0 if it answers in time."},
            "ready": FLAG,
            "text": text("`ready`, or why it is not."),
            "missing": list_of(NAME),
        },
    ),
    "InvalidFiles": record(
        "Job files with errors. `text` has them as `taskloom validate` prints them.",
        {
            "error": record("The error.", {"code": TEXT, "message": TEXT, "near": list_of(TEXT)}),
            "problems": list_of(reference("Problem")),
            "text": TEXT,
        },
    ),
    "Job": record("One job.", {"start": START, "seq": SEQ, "job": reference("Status")}),
    "Jobs": record("The jobs.", {"start": START, "seq": SEQ, "jobs": list_of(reference("Status"))}),
    "Line": _LINE,
    "LogStream": {"anyOf": [reference("Line"), reference("Gap"), reference("End")]},
    "Logs": record(
        "Log lines. From the instant `from` on, all lines are kept.",
        {"from": or_null(INSTANT), "lines": list_of(reference("Line"))},
    ),
    "Runs": record(
        "Runs, the oldest first. From the instant `from` on, all of them are kept.",
        {
            "start": START,
            "from": or_null(INSTANT),
            "history": {
                "enum": ["read", "off", "unread", None],
                "description": "Whether the runs of the history are there; `unread` if it could not be read in time, "
                "null if they were not asked for.",
            },
            "runs": list_of(
                record(
                    "One run.",
                    {
                        "start": START,
                        "job": NAME,
                        "run": RUN,
                        "attempt": COUNT,
                        "queued": INSTANT,
                        "due": or_null({**INSTANT, "description": "The instant of the schedule that it starts for."}),
                        "started": or_null(INSTANT),
                        "ended": or_null(INSTANT),
                        "outcome": or_null(one_of(Outcome)),
                        "seconds": or_null(SECONDS),
                        "error": or_null(TEXT),
                        "reason": or_null(TEXT),
                        "whereabouts": or_null(record("Its place, if it executes elsewhere, or did.", _WHEREABOUTS)),
                    },
                )
            ),
        },
    ),
    "Next": record(
        "Coming firings.",
        {
            "firings": list_of(
                record(
                    "One firing; `in` is the seconds until then.",
                    {"job": NAME, "at": INSTANT, "in": SECONDS, "schedule": TEXT, "paused": FLAG},
                )
            )
        },
    ),
    "OpenApi": {"type": "object", "description": "This document.", "required": ["openapi", "info", "paths"]},
    "Problem": _PROBLEM,
    "Processes": record(
        "The runs that are in processes of their own.",
        {"processes": list_of(record("One run.", {"job": NAME, "run": RUN, "runner": TEXT, **_PLACE, **_PROCESS}))},
    ),
    "Program": record(
        "The program.",
        {
            "name": TEXT,
            "label": or_null(text("The name that is typed while it is unique.")),
            "pid": COUNT,
            "uid": COUNT,
            "version": TEXT,
            "python": TEXT,
            "start": START,
            "since": INSTANT,
            "now": {**INSTANT, "description": "What the clock of the program says."},
            "paths": list_of(TEXT),
            "cwd": TEXT,
            "command": list_of(TEXT),
            "state": {"type": "string", "enum": ["running", "stopping", "stopped"]},
            "stop": or_null(
                record(
                    "The stop of everything, once it has begun.",
                    {"reason": TEXT, "seconds_left": or_null(SECONDS), "awaited": list_of(NAME)},
                )
            ),
            "jobs": record("How many jobs.", {"total": COUNT, "by_state": COUNTS, "wrong": COUNT}),
            "seq": SEQ,
            "log": record(
                "The log lines that it keeps, the folder of its log files, and why they cannot be written.",
                {"from": or_null(INSTANT), "dir": or_null(TEXT), "problem": or_null(TEXT)},
            ),
            "history": _HISTORY,
            "page": or_null(
                record("The web page, if the program serves it.", {"url": TEXT, "token_file": text("A path.")})
            ),
            "notifications": list_of(_RECEIVER),
        },
    ),
    "Reload": record(
        "What a reload changes.",
        {
            "changes": list_of(
                record("One job.", {"job": NAME, "action": one_of(ReloadAction), "fields": list_of(TEXT)})
            ),
            "sum": TEXT,
            "warnings": list_of(reference("Problem")),
            "text": text("The warnings as `taskloom validate` prints them."),
            "recorded": RECORDED,
        },
        optional=("recorded",),
    ),
    "Shutdown": record(
        "A stop that was requested.", {"start": START, "seq": SEQ, "reason": TEXT, "recorded": RECORDED}
    ),
    "Stacks": record(
        "Where the runs are.",
        {
            "stacks": list_of(
                record(
                    "One run. `text`: its stack, or the processes of a program; empty if that was not read in time.",
                    {
                        "job": NAME,
                        "run": RUN,
                        "where": or_null(TEXT),
                        "poll_age": or_null(SECONDS),
                        "runner": TEXT,
                        "pid": or_null({**COUNT, "description": "Its main process; null for a run in a thread."}),
                        **_PLACE,
                        "text": TEXT,
                    },
                )
            )
        },
    ),
    "Status": _STATUS,
    "StopReport": record(
        "The report of the stop, as `taskloom run -o json` prints it.",
        {
            "exit_code": COUNT,
            "reason": _REASON,
            "seconds": or_null(SECONDS),
            "jobs": list_of({"type": "object"}),
            "survivors": list_of({"type": "object"}),
            "killed": list_of(record("A run that the stop killed.", {"job": NAME, "run": RUN, "how": TEXT})),
            "lost": list_of(
                record(
                    "A lost run of which something may still be executing, and the seconds until nothing can be.",
                    {"job": NAME, "run": RUN, "host": TEXT, "worker": TEXT, "seconds": or_null(SECONDS)},
                )
            ),
            "threads_left": list_of({"type": "object"}),
            "processes_left": list_of({"type": "object"}),
        },
        optional=("threads_left", "processes_left"),
    ),
    "Text": text("Text in place of JSON."),
    "Why": record(
        "Why a job is, or is not, running: a paragraph, and the facts it was made from.",
        {"start": START, "seq": SEQ, "job": NAME, "text": TEXT, "facts": {"type": "object"}},
    ),
}
