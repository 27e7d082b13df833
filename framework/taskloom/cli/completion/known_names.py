"""The names that are completed: of tasks, and of the jobs in files. Nothing of a plugin is imported."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from taskloom.clock import mono

__all__ = ["complete_jobs_of_files", "complete_paths", "complete_tasks"]

# Of the 150 ms that a completion may take; the start of Python and of click takes about 80 ms.
_READ_SECONDS = 0.05
_MOST_BYTES = 1 << 20


def complete_paths(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Let the shell complete a path."""
    return [CompletionItem(incomplete, type="file")]


def complete_tasks(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the installed tasks that begin so."""
    # Not the catalog: its import takes twice as long as reading the entry points.
    from taskloom.catalog.installed import read_points

    points = read_points("taskloom.tasks").points
    return sorted({point.point.name for point in points if point.point.name.startswith(incomplete)})


def complete_jobs_of_files(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the jobs that begin so in the files of the command line, as far as they can be read in time."""
    # While an option waits for its value, click leaves the arguments before it unread.
    names = dict.fromkeys(_jobs_of(ctx.params.get("paths") or ctx.args))
    return [name for name in names if name.startswith(incomplete)]


def _jobs_of(paths: Iterable[str]) -> Iterator[str]:
    from taskloom.errors import JobFileError
    from taskloom.jobfile.syntax.inputs import bytes_of, is_stream
    from taskloom.jobfile.syntax.job_names import job_names

    until = mono() + _READ_SECONDS
    for path in _files(paths):
        if is_stream(path):
            continue  # it can be read only once, and not by us
        try:
            data = bytes_of(path, _MOST_BYTES)
        except JobFileError:
            continue
        for name in job_names(data):
            yield name
            if mono() > until:
                return


def _files(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        folder = Path(path).expanduser()
        if folder.is_dir():
            try:
                yield from sorted(os.fspath(each) for each in folder.iterdir() if each.suffix in {".yaml", ".yml"})
            except OSError:
                pass
        else:
            yield os.fspath(folder)
