"""The jobs as the API shows them: one status a job, and which of them need attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from taskloom.control.api_state import ApiState, masked
from taskloom.core.model import JobState, ReasonKind
from taskloom.scheduler.handles import JobStatus

__all__ = ["View", "is_wrong", "look", "status_data"]

# Written by tasks, files or clients; all else is from enums and clocks.
_MAY_HAVE_SECRETS = ("reason", "error", "progress", "counts", "waits_for", "held")


class View(NamedTuple):
    """All jobs at one moment, and the number of the last event before it."""

    seq: int
    statuses: Sequence[JobStatus]


def look(state: ApiState) -> View:
    """Return all jobs as they are now. The scheduler's thread only takes the values; JSON is made here."""
    return View(state.events.last_seq, state.scheduler.status())


def is_wrong(status: JobStatus) -> bool:
    """Return whether a person should look at the job: `taskloom status --check` fails then."""
    report = status.report
    return (
        report.has_failed
        or report.has_given_up
        or report.is_overdue
        or report.is_flapping
        or report.is_unresponsive
        or report.state is JobState.BLOCKED
        or (
            report.state is JobState.SKIPPED
            and report.reason is not None
            and report.reason.kind is ReasonKind.DEPENDENCY
        )
    )


def status_data(status: JobStatus, mask: Callable[[str], str]) -> dict[str, Any]:
    """Return a status as JSON data, with its secrets masked."""
    data = status.as_dict()
    data.setdefault("paused", False)
    data.setdefault("held", None)
    data["wrong"] = is_wrong(status)
    for name in _MAY_HAVE_SECRETS:
        if data[name]:
            data[name] = masked(mask, data[name])
    return data
