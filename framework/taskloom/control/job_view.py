"""The jobs as the API shows them: one status a job, and which of them need attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskloom.core.model import JobState, ReasonKind
from taskloom.observe.masked_data import masked_data
from taskloom.scheduler.handles import JobStatus

__all__ = ["is_wrong", "status_data"]

# Written by tasks, files or clients; all else is from enums and clocks.
_MAY_HAVE_SECRETS = frozenset({"reason", "error", "progress", "waits_for", "held", "counts"})


def is_wrong(status: JobStatus) -> bool:
    """Return whether a person should look at the job: `taskloom status --check` fails then."""
    report = status.report
    return (
        report.has_failed
        or report.has_given_up
        or report.is_overdue
        or report.is_flapping
        or report.is_unresponsive
        or report.unreachable_since is not None
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
    data["wrong"] = is_wrong(status)
    data |= masked_data(mask, {name: data[name] for name in _MAY_HAVE_SECRETS if data[name]})
    return data
