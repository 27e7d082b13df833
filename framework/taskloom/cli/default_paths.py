"""The job files of a command that is given none: `taskloom.yaml` of the working folder, else its folder `jobs`."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from taskloom.cli.echo import echo_error
from taskloom.text import suggest

__all__ = ["FILE", "FOLDER", "chosen_paths", "default_paths", "paths_or_default"]

FILE, FOLDER = "taskloom.yaml", "jobs/"
_NEAR = ("taskloom.yml", "jobs.yaml", "jobs.yml")


def default_paths() -> tuple[str, ...]:
    """Return the path that is used if none is given; none if it does not exist."""
    if os.path.lexists(FILE):
        return (FILE,)
    return (FOLDER,) if os.path.isdir(FOLDER) else ()  # noqa: PTH112


def paths_or_default(paths: Sequence[str]) -> tuple[str, ...]:
    """Return the paths, or the one that is used if there are none. Raises click.UsageError if neither exists."""
    found = tuple(paths) or default_paths()
    if found:
        return found
    near = next((name for name in _NEAR if os.path.lexists(name)), None)
    hint = suggest(near, before="; ")
    raise click.UsageError(
        f"cannot find {FILE!r} or {FOLDER!r} in the working folder; give the PATH of job files{hint}"
    )


def chosen_paths(paths: Sequence[str]) -> tuple[str, ...]:
    """Return the paths, or the one that is used if there are none, and say which on standard error."""
    chosen = paths_or_default(paths)
    if not paths:
        echo_error(f"no PATH was given: using {chosen[0]}")
    return chosen
