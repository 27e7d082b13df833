"""The rules for names of jobs and for keys that are notes."""

from __future__ import annotations

import re

__all__ = ["JOB_NAME", "NOTE_PREFIX", "is_note"]

JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII)
NOTE_PREFIX = "x-"


def is_note(key: str) -> bool:
    """Return whether a key is a note for people, which Taskloom ignores."""
    return key.startswith(NOTE_PREFIX)
