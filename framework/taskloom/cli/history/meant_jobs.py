"""Which jobs of a history are meant: by name, by the name of a job with replicas, or by a glob."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from taskloom.cli.history.choosing import NotInHistory
from taskloom.diagnostics import near_match, quoted
from taskloom.text import first_of, suggest

__all__ = ["meant_jobs"]

_MOST_NAMED = 10


def meant_jobs(known: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return the jobs that are meant. Raises NotInHistory for a name that no job has."""
    return list(dict.fromkeys(job for each in wanted for job in _meant(known, each)))


def _meant(known: Sequence[str], name: str) -> list[str]:
    if name in known:
        return [name]
    replica = re.compile(rf"{re.escape(name)}\.\d+")
    found = [job for job in known if replica.fullmatch(job)] or [job for job in known if fnmatchcase(job, name)]
    if not found:
        names = first_of(known, _MOST_NAMED) or "none"
        near = suggest(near_match(name, known), before="; ")
        raise NotInHistory(f"cannot find job {quoted(name)} in the history; known: {names}{near}")
    return found
