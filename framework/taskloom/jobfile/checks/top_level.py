"""Errors in the top level of a job file: unknown keys, and a missing or empty `jobs`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from taskloom.diagnostics import Problem, near_match
from taskloom.jobfile.fields.registry import is_note
from taskloom.text import suggest

if TYPE_CHECKING:
    from taskloom.jobfile.syntax.document import Document

__all__ = ["missing_jobs", "unknown_keys"]

_KEYS = ("defaults", "jobs")


def unknown_keys(document: Document, root: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield an error for each unknown key."""
    for key, value in root.items():
        if key in _KEYS or is_note(key):
            continue
        near = near_match(key, _KEYS)
        hint = suggest(near)
        if _is_job(value):
            hint = "put the job under 'jobs:'"
        message = f"cannot find key {key!r}; known: {', '.join(_KEYS)}, and x-... for notes"
        yield document.positions.problem((key,), message, hint=hint, at_key=True)


def _is_job(value: object) -> bool:
    return isinstance(value, dict) and "task" in value


def missing_jobs(document: Document, root: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the error for a file without jobs."""
    if "jobs" not in root:
        # The hint at an unknown key may have explained it already.
        if not any(near_match(key, ["jobs"]) or _is_job(value) for key, value in root.items()):
            yield document.positions.problem((), "cannot find 'jobs'; a job file contains its jobs under that key")
    elif root["jobs"]:
        yield document.positions.problem(("jobs",), "cannot use this as jobs; expected a mapping of names to jobs")
    else:
        yield document.positions.problem(("jobs",), "cannot find a job under 'jobs'", at_key=True)
