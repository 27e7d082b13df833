"""The fields that need no rules of their own: each is one declaration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskloom.jobfile.fields.errors import Loc, invalid_value
from taskloom.jobfile.fields.spec import Field, Spec, constant, flag, integer, list_of, one_of, seconds, text

__all__ = [
    "DAEMON",
    "DESCRIPTION",
    "ENABLED",
    "ESSENTIAL",
    "LABELS",
    "PARAMS",
    "POLL_INTERVAL",
    "READY_WITHIN",
    "REPLICAS",
    "TASK",
    "TIMEOUT",
]

# Each replica is a thread, a token and a line in the status. One job that does more is better than more replicas.
_MOST_REPLICAS = 1000


def _read_params(value: object, loc: Loc) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise invalid_value(value, loc, "a mapping of the task's parameters")


def _is_not_null(value: object) -> bool:
    return value is not None


def _write_none(value: object) -> str:
    del value
    return "write none"


# Only null gets the general message: any other mistake is best explained as a mistake in a duration.
_LIMIT = one_of(
    constant("none", None),
    seconds(is_zero_allowed=False).recognised_by(_is_not_null),
    expected="a duration such as 5m, or none",
    hint=_write_none,
)


TASK = Field("task", text(), "", "The task to run: the name that an installed package offers.", is_shareable=False)
PARAMS = Field(
    "params",
    Spec(_read_params, {"type": ["object", "null"]}, lambda value: value is None or isinstance(value, Mapping)),
    "{}",
    "The task's parameters; see taskloom tasks NAME.",
    is_shareable=False,
)
DESCRIPTION = Field("description", text(), "", "What the job is for. Only people read it.", is_shareable=False)
LABELS = Field(
    "labels",
    list_of(
        text(is_empty_allowed=False, name="a label"),
        "a list of texts",
        lambda value: f"write [{value}]" if isinstance(value, str) else "",
    ),
    "[]",
    "For selecting jobs.",
)
ENABLED = Field("enabled", flag(), "true", "false disables the job: it cannot be started.")
DAEMON = Field(
    "daemon", flag(), "false", "true: the job runs on daemon threads and does not keep `taskloom run` alive."
)
POLL_INTERVAL = Field(
    "poll_interval",
    seconds(is_zero_allowed=False),
    "1s",
    "The timeout that the task uses, as ctx.poll_interval, for blocking calls that cannot be cancelled.",
)
TIMEOUT = Field(
    "timeout",
    _LIMIT,
    "none",
    "How long a run may take, counted from the request to start it. Then it is stopped, with the outcome timed_out.",
)
READY_WITHIN = Field(
    "ready_within",
    _LIMIT,
    "none",
    "How long a run may take to become ready. Then it is stopped, with the outcome failed. This is for tasks that "
    "announce that they are ready; any other is ready as soon as it is started.",
)
ESSENTIAL = Field("essential", flag(), "false", "true: if the job fails permanently, everything stops.")
REPLICAS = Field(
    "replicas",
    integer(1, _MOST_REPLICAS),
    "1",
    "The number of instances, named name.1 to name.n. A run finds its own number in ctx.replica.",
)
