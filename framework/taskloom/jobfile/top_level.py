"""The top level of a file: its keys, and whether it is a job file at all.

A file of another program (a compose file, a workflow, a manifest) would get a line for each of its keys. One line says
what is wrong with it. A file counts as one of another program if it has no `taskloom`, nothing in it is a job with a
task, and either there are no `jobs`, or the entries of its `jobs` have more foreign fields than ours and there are
foreign keys beside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from taskloom.diagnostics import Problem, missing_blank, near_match
from taskloom.jobfile.fields.registry import FIELDS, is_note
from taskloom.jobfile.fields.settings import SETTINGS
from taskloom.jobfile.file_settings import KEY
from taskloom.jobfile.secret_frames import mask_by_name
from taskloom.jobfile.written_values import named_as_written
from taskloom.text import suggest

if TYPE_CHECKING:
    from taskloom.jobfile.syntax.document import Document
    from taskloom.jobfile.syntax.reader import Reading

__all__ = ["foreign_file", "missing_jobs", "unknown_keys"]

_KEYS = (KEY, "defaults", "jobs")
# `tasks` is near to it, too, but never meant.
_SHORTEST_NEAR_KEY = len(KEY) - 1
_TASK = ("task",)
# Only this number of keys is compared with `jobs`: a comparison takes some 20 microseconds.
_MOST_COMPARED = 1000
_NO_JOBS = "cannot find 'jobs'; a job file contains its jobs under that key"
# A file that cannot be read to its end is one of jobs if a line of it says so.
_LOOKS_LIKE_JOBS = re.compile(r"""(?:^|^\s*\{\s*)["']?jobs["']?\s*:|\btask["']?\s*:""", re.MULTILINE)


def foreign_file(reading: Reading) -> Problem | None:
    """Return the one problem of a file that is not a job file; None if all problems of the file are to be reported."""
    found = _foreign_file(reading)
    return None if found is None else mask_by_name(found)


def _foreign_file(reading: Reading) -> Problem | None:
    document = reading.document
    if document is None:
        is_certain = len(reading.errors) > 1 and not _LOOKS_LIKE_JOBS.search(reading.text)
        return reading.fatal if is_certain else None
    root = document.root
    if isinstance(root, dict):
        return _foreign_mapping(document, root)
    if root is None or (isinstance(root, list) and any(map(_is_job, root))):
        return None
    return reading.fatal


def _foreign_mapping(document: Document, root: Mapping[str, Any]) -> Problem | None:
    first = islice(root.items(), _MOST_COMPARED)
    near = {key: value for key, value in first if key != "jobs" and near_match(key.lower(), ["jobs"])}
    if KEY in root or any(map(_is_job, root.values())) or any(_holds_job(value) for value in near.values()):
        return None
    if "jobs" not in root:
        if near:
            return _unknown_key(document, *next(iter(near.items())))
        misspelt = next(
            (
                key
                for key, value in islice(root.items(), _MOST_COMPARED)
                if _near_key(key) == KEY and _has_setting(value)
            ),
            None,
        )
        if misspelt is not None:
            return _unknown_key(document, misspelt, root[misspelt])
        return document.positions.problem((), _NO_JOBS)
    jobs = root["jobs"]
    entries = list(jobs.values() if isinstance(jobs, dict) else jobs) if isinstance(jobs, dict | list) else []
    if not entries or not any(map(_is_unknown, root)) or any(map(_may_be_job, entries)):
        return None
    if not any(entries):  # empty ones say nothing of another program
        return None
    fields = [key for entry in entries if isinstance(entry, dict) for key in entry]
    if 2 * sum(key in FIELDS for key in fields) >= max(1, len(fields)):
        return None
    message = "cannot find a job with a task under 'jobs'; a job file names the task of each of its jobs"
    return document.positions.problem(("jobs",), message, at_key=True)


def _holds_job(value: object) -> bool:
    return isinstance(value, dict | list) and any(map(_is_job, value.values() if isinstance(value, dict) else value))


def _is_job(value: object) -> bool:
    """Return whether a value has a task, perhaps without the blank that makes it a key."""
    if isinstance(value, dict):
        return "task" in value or any(missing_blank(key, _TASK) for key in value)
    return missing_blank(value, _TASK) is not None


def _may_be_job(value: object) -> bool:
    """Return whether a value has a task, or a key that may be a misspelt one."""
    return _is_job(value) or (isinstance(value, dict) and any(near_match(key.lower(), _TASK) for key in value))


def unknown_keys(document: Document, root: Mapping[str, Any]) -> Sequence[Problem]:
    """Return a problem for each key that a job file does not have."""
    return [_unknown_key(document, key, value) for key, value in root.items() if _is_unknown(key)]


def _is_unknown(key: str) -> bool:
    return key not in _KEYS and not is_note(key)


def _unknown_key(document: Document, key: str, value: object) -> Problem:
    blank = missing_blank(key) if value is None else None
    if blank is not None:
        return document.positions.problem((key,), blank[0], hint=blank[1], at_key=True)
    hint = suggest(_near_key(key))
    if _is_job(value):
        hint = "put the job under 'jobs:'"
    elif key in SETTINGS and not isinstance(value, dict):
        hint = f"put it under '{KEY}:'"
    message = f"cannot find key {key!r}; known: {', '.join(_KEYS)}, and x-... for notes"
    return document.positions.problem((key,), message, hint=hint, at_key=True)


def _near_key(key: str) -> str | None:
    lower = key.lower()
    near = near_match(lower, [KEY]) if len(lower) >= _SHORTEST_NEAR_KEY else None
    return near or near_match(lower, _KEYS[1:])


def _has_setting(value: object) -> bool:
    return isinstance(value, dict) and any(key in SETTINGS for key in value)


def missing_jobs(document: Document, root: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the value of `jobs`, which holds no jobs."""
    jobs = root.get("jobs")
    blank = missing_blank(jobs)
    if "jobs" not in root:
        # The hint at an unknown key may have explained it already.
        # A file of settings alone belongs to the other files of its folder.
        if KEY not in root and not any(near_match(key.lower(), ["jobs"]) or _is_job(root[key]) for key in root):
            yield document.positions.problem((), _NO_JOBS)
    elif blank is not None:
        yield document.positions.problem(("jobs",), blank[0], hint=blank[1])
    elif jobs:
        shown = named_as_written(document, ("jobs",), jobs)
        message = f"cannot use {shown} as jobs; expected a mapping of names to jobs"
        yield document.positions.problem(("jobs",), message)
    else:
        yield document.positions.problem(("jobs",), "cannot find a job under 'jobs'", at_key=True)
