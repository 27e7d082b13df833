"""All fields of a job. Job files, jobs declared in code, the JSON Schema and the reference are made from this table.

A new field is an entry here, in the order of the reference. One that has rules of its own is a module, and a line here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from taskloom.jobfile.fields import spec
from taskloom.jobfile.fields.after import AFTER
from taskloom.jobfile.fields.join import JOIN
from taskloom.jobfile.fields.log import LOG
from taskloom.jobfile.fields.restart import RESTART
from taskloom.jobfile.fields.runner import RUNNER
from taskloom.jobfile.fields.schedule import SCHEDULE
from taskloom.jobfile.fields.spec import Field, Loc, Spec
from taskloom.jobfile.fields.start import START
from taskloom.jobfile.fields.watchdog import WATCHDOG

__all__ = ["FIELDS", "JOB_NAME", "NOTE_PREFIX", "is_note"]

JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII)
NOTE_PREFIX = "x-"


def is_note(key: str) -> bool:
    """Return whether a key is a note for people, which Taskloom ignores."""
    return key.startswith(NOTE_PREFIX)


# Each replica is a thread, a token and a line in the status. One job that does more is better than more replicas.
_MOST_REPLICAS = 1000


def _read_params(value: object, loc: Loc) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    spec.check_blank(value, loc)
    raise spec.invalid_value(value, loc, "a mapping of the task's parameters")


# Only null gets the general message: any other mistake is best explained as a mistake in a duration.
_LIMIT = spec.one_of(
    spec.constant("none", None),
    spec.seconds(is_zero_allowed=False).recognised_by(lambda value: value is not None),
    expected="a duration such as 5m, or none",
    hint=lambda _: "write none",
)

FIELDS: Mapping[str, Field] = {
    field.name: field
    for field in (
        Field(
            "task",
            spec.text(),
            "",
            "The task to run: the name that an installed package offers. If two packages offer it, with the package "
            "before it: acme-beats/countdown.",
            is_shareable=False,
        ),
        Field(
            "params",
            Spec(_read_params, {"type": ["object", "null"]}, lambda value: value is None or isinstance(value, Mapping)),
            "{}",
            "The task's parameters; see taskloom tasks NAME.",
            is_shareable=False,
        ),
        Field("description", spec.text(), "", "What the job is for. Only people read it.", is_shareable=False),
        Field(
            "labels",
            spec.list_of(
                spec.text(is_empty_allowed=False, name="a label"),
                "a list of texts",
                lambda value: f"write [{value}]" if isinstance(value, str) else "",
            ),
            "[]",
            "For selecting jobs.",
        ),
        Field("enabled", spec.flag(), "true", "false disables the job: it cannot be started."),
        Field(
            "daemon",
            spec.flag(),
            "false",
            "true: the job runs on daemon threads and does not keep `taskloom run` alive.",
        ),
        Field(
            "poll_interval",
            spec.seconds(is_zero_allowed=False),
            "1s",
            "The timeout that the task uses, as ctx.poll_interval, for blocking calls that cannot be cancelled.",
        ),
        JOIN,
        START,
        SCHEDULE,
        AFTER,
        RESTART,
        Field(
            "timeout",
            _LIMIT,
            "none",
            "How long a run may take, counted from the request to start it. Then it is stopped, with the outcome "
            "timed_out.",
        ),
        Field(
            "ready_within",
            _LIMIT,
            "none",
            "How long a run may take to become ready. Then it is stopped, with the outcome failed. This is for tasks "
            "that announce that they are ready; any other is ready as soon as it is started.",
        ),
        WATCHDOG,
        Field("essential", spec.flag(), "false", "true: if the job fails permanently, everything stops."),
        LOG,
        Field(
            "replicas",
            spec.integer(1, _MOST_REPLICAS),
            "1",
            "The number of instances, named name.1 to name.n. A run finds its own number in ctx.replica.",
        ),
        RUNNER,
    )
}
