"""Imports in advance all that an answer may need: jobs may use up memory and descriptors, and packages are replaced."""

from __future__ import annotations

from importlib import import_module

__all__ = ["import_for_answers"]

# Modules that are otherwise imported when they are first used.
_MODULES = (
    "_strptime",
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.utf_8",
    "linecache",
    "logging",
    "stringprep",
    "tokenize",
    "traceback",
    "taskloom.runners.stacks",
    "taskloom.scheduler.firings",
    "taskloom.scheduler.snapshots",
    "taskloom.scheduler.why",
)


def import_for_answers() -> None:
    """Import them, on the thread that calls."""
    for name in _MODULES:
        import_module(name)
