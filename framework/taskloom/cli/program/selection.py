"""The job files of one program: read at the start, and again at each reload."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from taskloom.cli.resources import room_to_read
from taskloom.core.model import JobSpec
from taskloom.diagnostics import Problem, quoted
from taskloom.errors import JobFileError

if TYPE_CHECKING:
    from taskloom.catalog.entry_points import AfterLoad
    from taskloom.cli.settings import Given, Sources

__all__ = ["JobFiles", "Selection"]


class Selection(NamedTuple):
    """The jobs to run, and the warnings about them."""

    specs: list[JobSpec]
    dependencies: list[str]
    """The names of the jobs that have none of the labels: chosen jobs start after them."""
    warnings: tuple[Problem, ...]
    secrets: frozenset[str] = frozenset()
    """The texts of all secrets in the files, of jobs that are not chosen, too."""
    settings: Mapping[str, Given] = {}
    """Every setting of the program, as the command line, the environment and these files have it."""


class JobFiles:
    """The paths and labels of one command line.

    `stop_within`: seconds, inf for no deadline; None for that of `sources` or of the files. `env_files`: the paths of
    files with values for `${VAR}`. `sources`: the other settings of the command line, and those of the environment.
    `after_load` is called after each import of a plugin, as `Catalog` describes. `now` is the time at which the jobs
    begin, in seconds since the epoch (default: the time of each reading).
    """

    def __init__(
        self,
        paths: Sequence[str],
        *,
        labels: Iterable[str] = (),
        stop_within: float | None = None,
        env_files: Sequence[str] = (),
        sources: Sources | None = None,
        after_load: AfterLoad | None = None,
        now: float | None = None,
    ) -> None:
        self.paths = tuple(paths)
        # The contents of streams, by their identity, until they are used; None if none was read before.
        self._contents: dict[str, bytes] | None = None
        self._labels = frozenset(labels)
        self._stop_within = stop_within
        self._env_files = tuple(env_files)
        self._sources = sources
        self._after_load = after_load
        self._now = now
        self._folder = _working_folder()

    def read_streams(self) -> None:
        """Read standard input and pipes to their end, and keep the content for the first `read`.

        It may take forever: call it while Ctrl-C still raises KeyboardInterrupt. Raises JobFileError.
        """
        from taskloom.jobfile.loader import content_of_streams

        self._contents = content_of_streams(self.paths)

    def read(self) -> Selection:
        """Read all files as they are now.

        Raises JobFileError with every problem of all files, and click.UsageError for labels that no job has, for a bad
        setting in an env file, if code of a task exits while its parameters are checked, or if a stream would have to
        be read a second time. Raises OutOfResources if no files can be opened.
        """
        contents = self._take_contents()
        from taskloom.catalog.entry_points import Catalog
        from taskloom.cli.limits import limit_warnings
        from taskloom.cli.program.history_choice import has_history
        from taskloom.cli.settings import misspelt_in_files
        from taskloom.clock import wall
        from taskloom.jobfile.checks.nothing_starts import warnings_if_nothing_starts
        from taskloom.jobfile.env_file import environ_with, read_env_files
        from taskloom.jobfile.loader import check

        room_to_read()
        env_values = read_env_files(self._lasting(self._env_files))
        stop_within = self._stop_within
        if stop_within is None and self._sources is not None:
            stop_within = self._sources.stop_within(env_values)
        try:
            catalog = Catalog(self._after_load)
            now = wall() if self._now is None else self._now
            result = check(
                *self._lasting(self.paths),
                environ=environ_with(env_values, os.environ),
                stop_within=stop_within,
                catalog=catalog,
                contents=contents,
                now=now,
            )
        except SystemExit as error:
            why = f"a task called sys.exit({quoted(error.code)}) while the parameters of the jobs were checked"
            raise click.UsageError(f"cannot read the job files: {why}") from error
        if result.errors:
            raise JobFileError(result.problems)
        specs, needed = self._select(result.jobs)
        problems = list(result.problems)
        if len(specs) < len(result.jobs):
            problems += warnings_if_nothing_starts(specs, now)
        settings: Mapping[str, Given] = {}
        is_recorded = False
        if self._sources is not None:
            settings = self._sources.with_files(env_values, result.settings)
            if self._stop_within is None:
                # A later reading changes no setting: its warnings are about the stop that the program will really have.
                self._stop_within = float(settings["stop_within"].value)
            problems += misspelt_in_files(env_values)
            is_recorded = has_history(settings["history"].value)
        warnings = (*problems, *limit_warnings(specs, result.files[0], has_history=is_recorded))
        return Selection(specs, needed, warnings, result.secrets, settings)

    def _lasting(self, paths: Sequence[str]) -> list[str]:
        """Return what names the same files, also if a task has changed the working folder of the process."""
        if not self._folder or _working_folder() == self._folder:
            return list(paths)
        return [path if path == "-" else os.path.join(self._folder, path) for path in paths]  # noqa: PTH118

    def _take_contents(self) -> dict[str, bytes]:
        """Return what was read from streams. Raises click.UsageError if it was taken before."""
        contents, self._contents = self._contents, {}
        if contents is None:
            return {}
        from taskloom.jobfile.syntax.inputs import identity_of, is_stream, shown_path

        used = [shown_path(path) for path in self.paths if is_stream(path) and identity_of(path) not in contents]
        if used:
            raise click.UsageError(f"cannot read {used[0]!r} again: standard input and pipes can be read only once")
        return contents

    def _select(self, jobs: Sequence[JobSpec]) -> tuple[list[JobSpec], list[str]]:
        """Return the jobs with one of the labels and their dependencies, and the names of the dependencies."""
        if not self._labels:
            return list(jobs), []
        chosen = {job.name for job in jobs if self._labels.intersection(job.labels)}
        if not chosen:
            known = sorted({label for job in jobs for label in job.labels})
            wanted = ", ".join(sorted(self._labels))
            raise click.UsageError(f"cannot find a job with label {wanted!r}; labels: {', '.join(known) or 'none'}")
        wanted_names = _with_dependencies(chosen, jobs)
        specs = [job for job in jobs if job.name in wanted_names]
        return specs, [job.name for job in specs if job.name not in chosen]


def _working_folder() -> str:
    """Return the path of the working folder; "" if it was removed."""
    try:
        return os.getcwd()  # noqa: PTH109 - paths are text here
    except OSError:
        return ""


def _with_dependencies(chosen: Iterable[str], jobs: Sequence[JobSpec]) -> set[str]:
    """Return the chosen names and those of all their direct and indirect dependencies."""
    after = {job.name: [dependency.job for dependency in job.after] for job in jobs}
    found = set(chosen)
    unvisited = list(found)
    while unvisited:
        for name in after.get(unvisited.pop(), ()):
            if name not in found:
                found.add(name)
                unvisited.append(name)
    return found
