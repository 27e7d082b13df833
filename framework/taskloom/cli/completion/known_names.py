"""The names that are completed: of tasks, of jobs in files or in a running program. No plugin is imported."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from taskloom.clock import mono

if TYPE_CHECKING:
    from taskloom.control.reply_fields import Fields

__all__ = [
    "complete_failed_runs",
    "complete_histories",
    "complete_jobs_and_signals",
    "complete_jobs_of_files",
    "complete_jobs_of_history",
    "complete_labels",
    "complete_paths",
    "complete_programs",
    "complete_running_jobs",
    "complete_starts",
    "complete_tasks",
]

# A completion may take 150 ms, and the start of Python and of click takes about 80 of them.
_READ_SECONDS = 0.05
_MOST_BYTES = 1 << 20
# A program that holds its interpreter lock does not answer, and a shell waits for the completion.
_ASK_SECONDS = 0.3


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
    from taskloom.cli.default_paths import default_paths

    # While an option waits for its value, click leaves the arguments before it unread.
    names = dict.fromkeys(_jobs_of(ctx.params.get("paths") or ctx.args or default_paths()))
    return [name for name in names if name.startswith(incomplete)]


def complete_running_jobs(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the jobs of the running program that begin so, and the names of replicated jobs; none if it is silent."""
    # A name is offered once: not if it was typed already.
    typed = {*(ctx.params.get("jobs") or ()), *ctx.args}
    jobs = _running_jobs(ctx)
    families = (each.text("family") for each in jobs)
    names = dict.fromkeys([*(each.text("job") for each in jobs), *families])
    return [name for name in names if name and name.startswith(incomplete) and name not in typed]


def complete_jobs_and_signals(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the running jobs that begin so; once the jobs are known, the names of signals as well."""
    from taskloom.signal_names import SIGNAL_NAMES

    # A single word before the cursor is a job, although click takes it for the signal, which comes last.
    are_known = any(ctx.params.get(name) for name in ("jobs", "written", "labels", "wants_all")) or ctx.args
    found = [each for each in SIGNAL_NAMES if each.startswith(incomplete)] if are_known else []
    return [*complete_running_jobs(ctx, parameter, incomplete), *found]


def complete_labels(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the labels of the jobs of the running program that begin so."""
    labels = {label for each in _running_jobs(ctx) for label in each.texts("labels")}
    return sorted(label for label in labels if label.startswith(incomplete))


def complete_programs(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of the running programs of this user that begin so."""
    from taskloom.control.finding import list_programs, short_names

    return [name for name in short_names(list_programs()) if name.startswith(incomplete)]


def complete_histories(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of the programs that begin so and have a history in the folder of this user."""
    from taskloom.cli.completion.known_history import names_of_histories

    return [name for name in names_of_histories() if name.startswith(incomplete)]


def complete_jobs_of_history(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the jobs of the history that begin so."""
    from taskloom.cli.completion.known_history import jobs_of_history

    typed = {*(ctx.params.get("jobs") or ()), *ctx.args}
    return [name for name in jobs_of_history(ctx) if name.startswith(incomplete) and name not in typed]


def complete_starts(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Return the ids of the starts in the history that begin so, the latest first, each with its time."""
    from taskloom.cli.completion.known_history import starts_of_history

    return [CompletionItem(start, help=text) for start, text in starts_of_history(ctx) if start.startswith(incomplete)]


def complete_failed_runs(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Return the last runs in the history that begin so and failed, the latest first, each with its time."""
    from taskloom.cli.completion.known_history import failed_runs_of_history

    return [CompletionItem(run, help=text) for run, text in failed_runs_of_history(ctx) if run.startswith(incomplete)]


def _running_jobs(ctx: click.Context) -> list[Fields]:
    from taskloom.control.client import Connection, ControlError, find

    try:
        program = find(ctx.params.get("name"), ctx.params.get("socket"))
        connection = Connection(program, _ASK_SECONDS)
        return connection.fields(connection.get("/v1/jobs")).objects("jobs")
    except ControlError:
        return []


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
