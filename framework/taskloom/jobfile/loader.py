"""Loads job files: reads every file, validates every job, and reports all problems at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.clock import wall
from taskloom.core.model import JobSpec
from taskloom.core.policies import STOP_WITHIN_SECONDS
from taskloom.diagnostics import FieldError, Place, Problem, Related, missing_blank
from taskloom.errors import JobFileError
from taskloom.jobfile.declared_job import DeclaredJob, problems_of
from taskloom.jobfile.fields.spec import JobErrors
from taskloom.jobfile.file_settings import KEY as SETTINGS_KEY
from taskloom.jobfile.file_settings import FileSetting, FileSettings
from taskloom.jobfile.job_spec import job_spec, read_defaults
from taskloom.jobfile.repeated_errors import RepeatedErrors
from taskloom.jobfile.secret_frames import WrittenJob, mask_by_name, mask_secret_params
from taskloom.jobfile.secret_values import secrets_of, without_values
from taskloom.jobfile.syntax.document import LIMITS
from taskloom.jobfile.syntax.inputs import bytes_of, identity_of, is_stream, shown_path, stream_bytes
from taskloom.jobfile.syntax.near_file import near_in_directory
from taskloom.jobfile.syntax.value_files import ValueFiles
from taskloom.jobfile.top_level import foreign_file, missing_jobs, unknown_keys
from taskloom.jobfile.written_values import named_as_written
from taskloom.sync.gc_pause import paused_gc
from taskloom.text import suggest

if TYPE_CHECKING:
    from taskloom.catalog.entry_points import Catalog
    from taskloom.jobfile.checks.origins import Origin
    from taskloom.jobfile.checks.worst_stop import SlowStop
    from taskloom.jobfile.syntax.document import Document

__all__ = ["CheckResult", "check", "content_of_streams", "load"]

AnyPath = str | os.PathLike[str]

# Their legal values depend on the runner of the job: one default may fit some jobs of a file and not others.
_DIFFERENT_BY_JOB = ("join", "runner")


class CheckResult(NamedTuple):
    """The valid jobs of job files, and all problems in the files."""

    jobs: tuple[JobSpec, ...]
    problems: tuple[Problem, ...]
    """Errors and warnings, in the order of the files, and within a file by line."""
    files: tuple[str, ...]
    """The files that were read."""
    worst_stop_seconds: float
    """The longest time that stopping all jobs may take, level by level. `join: wait` counts as `stop_within`."""
    stop_chain: tuple[SlowStop, ...] = ()
    """The jobs that determine that time, in the order in which they stop."""
    origins: Mapping[str, Mapping[str, Origin]] = {}
    """The origin of each value, by job and field. Empty unless `check` was called with `with_origins`."""
    settings: Mapping[str, FileSetting] = {}
    """The settings of the whole program in the files, by name."""
    secrets: frozenset[str] = frozenset()
    """The texts of all secrets of the valid jobs, to be masked wherever they would be shown."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that make the files unusable."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


def load(*paths: AnyPath, environ: Mapping[str, str] | None = None, catalog: Catalog | None = None) -> list[JobSpec]:
    """Return the jobs of job files. A directory stands for its `*.yaml` and `*.yml` files, sorted by name.

    "-" is standard input. It and pipes are read once, to their end.

    `environ` provides the values of `${VAR}` (default: the environment of the process), `catalog` the tasks (default:
    all installed ones). Raises JobFileError with every problem of every file.
    """
    result = check(*paths, environ=environ, catalog=catalog)
    if result.errors:
        raise JobFileError(result.errors)
    return list(result.jobs)


def check(
    *paths: AnyPath,
    environ: Mapping[str, str] | None = None,
    catalog: Catalog | None = None,
    stop_within: float | None = None,
    with_origins: bool = False,
    contents: Mapping[str, bytes] | None = None,
    now: float | None = None,
) -> CheckResult:
    """Return what `load` would return, and all problems including warnings. Problems in files are not raised.

    `stop_within` is the time in seconds that a whole shutdown will get (default: what the files say, or 30); jobs that
    may take longer cause a warning.
    With `with_origins` the result also contains the origin of each value, which takes longer. `contents` holds what
    was read before from streams, by `identity_of` their paths. `now` is the time at which the jobs begin, in seconds
    since the epoch (default: the present time).
    """
    if catalog is None:
        from taskloom.catalog.entry_points import Catalog

        catalog = Catalog()
    environ = os.environ if environ is None else environ
    checker = _Checker(environ, catalog, stop_within, contents or {}, wall() if now is None else now)
    # Ten thousand jobs are half a million new objects, and none of them is garbage: collections would take a third of
    # the time. The reader pauses collection too; each restores the state that it found.
    with paused_gc():
        for path in paths:
            checker.add(path)
        return checker.result(with_origins=with_origins)


def content_of_streams(paths: Iterable[str]) -> dict[str, bytes]:
    """Read the streams among the paths to their end; return their contents for `check`. Raises JobFileError."""
    contents: dict[str, bytes] = {}
    for path in filter(is_stream, paths):
        identity = identity_of(path)
        if identity not in contents:
            contents[identity] = stream_bytes(path, LIMITS.bytes)
    return contents


class _Checker:
    """Collects the jobs and the problems of one file after another."""

    def __init__(
        self,
        environ: Mapping[str, str],
        catalog: Catalog,
        stop_within: float | None,
        contents: Mapping[str, bytes],
        now: float,
    ) -> None:
        self._environ, self._catalog, self._given_stop_within = environ, catalog, stop_within
        self._settings = FileSettings()
        self._contents, self._now = contents, now
        self._value_files = ValueFiles()
        self._streams: set[str] = set()
        self._files: dict[str, str] = {}
        self._problems: list[Problem] = []
        self._jobs: list[DeclaredJob] = []
        self._written: list[WrittenJob] = []
        self._names: dict[str, Place] = {}
        self._repeated = RepeatedErrors()
        # The places of variables that could not be replaced, by path and line.
        self._unset: dict[tuple[str, int], list[Place]] = {}

    def add(self, path: AnyPath) -> None:
        """Read a file, or the job files of a directory. A file that was read before is skipped."""
        for name in self._expand(os.fspath(path)):
            identity = identity_of(name)
            if identity not in self._files:
                self._files[identity] = shown_path(name)
                self._problems += self._read(name, identity)

    def result(self, *, with_origins: bool) -> CheckResult:
        """Check all files together, and return everything that was found."""
        from taskloom.jobfile.checks.warnings import warnings_in_all_jobs, warnings_of_each_job
        from taskloom.jobfile.checks.worst_stop import worst_stop

        self._problems += self._repeated.problems()
        # Few programs have dependencies, and the others do not pay for the import.
        if any("after" in job.written for job in self._jobs):
            from taskloom.jobfile.checks.dependencies import errors_in_dependencies

            self._problems += self._without_consequences(errors_in_dependencies(self._jobs, self._names))
        if any(job.spec is not None and getattr(job.spec.binding, "program", None) for job in self._jobs):
            from taskloom.jobfile.checks.programs import problems_in_programs

            self._problems += self._without_consequences(problems_in_programs(self._jobs))
        has_errors = any(problem.severity == "error" for problem in self._problems)
        specs = tuple(job.spec for job in self._jobs if job.spec is not None)
        if not self._names and not has_errors:
            path = next(iter(self._files.values()), ".")
            if len(self._files) == 1:
                self._problems = []  # the warning that the file is empty, which is the same news
            self._problems.append(_problem_of(path, "cannot find any job: there is nothing to run"))
        stop_within = self._stop_within()
        self._problems += warnings_of_each_job(self._jobs, stop_within, self._now)
        worst = worst_stop(specs, stop_within)
        if not has_errors:
            self._problems += warnings_in_all_jobs(self._jobs, worst, stop_within, self._now)
        origins: Mapping[str, Mapping[str, Origin]] = {}
        if with_origins:
            from taskloom.jobfile.checks.origins import origins_of

            origins = {job.name: origins_of(job) for job in self._jobs if job.spec is not None}
        files = tuple(self._files.values())
        problems = _in_order(self._problems)
        contents = self._value_files.contents
        if problems:
            problems = tuple(without_values(mask_secret_params(problems, self._written, self._catalog), contents))
        return CheckResult(
            specs,
            problems,
            files,
            worst.seconds,
            worst.chain,
            origins,
            self._settings.found,
            secrets_of(specs, contents),
        )

    def _stop_within(self) -> float:
        if self._given_stop_within is not None:
            return self._given_stop_within
        found = self._settings.found.get("stop_within")
        return STOP_WITHIN_SECONDS if found is None else float(found.value)

    def _expand(self, path: str) -> list[str]:
        if is_stream(path):  # a pipe in a directory is none: to read it may take forever
            self._streams.add(path)
            return [path]
        if not os.path.isdir(path):  # noqa: PTH112 - Path("") is the working directory
            return [path]
        try:
            found = sorted(each.name for each in Path(path).iterdir() if _is_job_file(each))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            self._problems.append(_problem_of(path, f"cannot read directory {path!r}: {reason}"))
            return []
        if not found:
            near = suggest(near_in_directory(path), before="; ")
            message = f"cannot find a job file in {path!r}; expected *.yaml or *.yml{near}"
            self._problems.append(_problem_of(path, message))
        return [os.path.join(path, name) for name in found]  # noqa: PTH118 - Path would drop a leading "./"

    def _read(self, path: str, identity: str) -> Iterator[Problem]:
        from taskloom.jobfile.syntax.interpolation import interpolate
        from taskloom.jobfile.syntax.reader import examine

        try:
            data = self._contents.get(identity)
            if data is None:
                data = (stream_bytes if path in self._streams else bytes_of)(path, LIMITS.bytes)
            reading = examine(data, shown_path(path))
        except JobFileError as error:
            yield from error.problems
            return
        foreign = foreign_file(reading)
        if foreign is not None:
            yield foreign
            return
        document = reading.document
        if document is None or reading.errors:
            yield from map(mask_by_name, reading.errors)
            return
        yield from document.warnings
        if isinstance(document.root, dict):
            unset = interpolate(document, self._environ, self._value_files)
            yield from unset
            for problem in unset:
                self._unset.setdefault(problem.place[:2], []).append(problem.place)
            yield from self._without_consequences(self._check_file(document, document.root))

    def _without_consequences(self, problems: Iterable[Problem]) -> Iterator[Problem]:
        """Yield the problems that do not follow from a variable that could not be replaced.

        Such a value still reads `${...}`. It is not a number or the name of a job either, but that is no further error.
        """
        for problem in problems:
            _, _, column, length = problem.place
            unset = self._unset.get(problem.place[:2], ())
            if not any(column <= place.column < column + length for place in unset):
                yield problem

    def _check_file(self, document: Document, root: Mapping[str, Any]) -> Iterator[Problem]:
        yield from unknown_keys(document, root)
        yield from self._settings.add(document, root)
        settings = root.get(SETTINGS_KEY)
        if isinstance(settings, dict):
            self._written.append(WrittenJob((SETTINGS_KEY,), document, settings))
        written = root.get("defaults")
        values: dict[str, Any] = {}
        if isinstance(written, dict):
            self._written.append(WrittenJob(("defaults",), document, written))
            try:
                values = read_defaults(written)
            except JobErrors as error:
                yield from problems_of(document, ("defaults",), written, error.errors)
        elif written is not None:
            blank = missing_blank(written)
            shown = named_as_written(document, ("defaults",), written)
            message, hint = blank or (f"cannot use {shown} as defaults; expected a mapping of fields", "")
            yield document.positions.problem(("defaults",), message, hint=hint)
        jobs = root.get("jobs")
        if not isinstance(jobs, dict) or not jobs:
            yield from missing_jobs(document, root)
            return
        defaults = written if isinstance(written, dict) else {}
        for name, job in jobs.items():
            yield from self._check_job(document, name, job, defaults, values)

    def _check_job(
        self, document: Document, name: str, written: object, defaults: Mapping[str, Any], values: Mapping[str, Any]
    ) -> Iterator[Problem]:
        """Add a job and yield its problems. `defaults` is as written, `values` its final values."""
        place = document.positions.key(("jobs", name))
        first = self._names.setdefault(name, place)
        if first is not place:
            message = f"cannot use the name {name!r} twice: it is first used at {first}"
            problem = document.positions.problem(("jobs", name), message, job=name, at_key=True)
            yield problem._replace(related=(Related(first, "first used here"),))
        if not isinstance(written, dict):
            yield _no_job(document, name, written)
            return
        self._written.append(WrittenJob(("jobs", name), document, written))
        spec = None
        try:
            spec = job_spec(name, written, self._catalog, defaults=values, place=place)
        except JobErrors as error:
            problems = problems_of(document, ("jobs", name), written, error.errors)
            for problem, each in zip(problems, error.errors, strict=True):
                related = _set_in_defaults(document, written, defaults, each)
                problem = problem._replace(related=(*problem.related, *related))
                if not self._repeated.takes(problem, each, related):
                    yield problem
        if first is place:
            self._jobs.append(DeclaredJob(name, document, written, defaults, spec))


def _set_in_defaults(
    document: Document, written: Mapping[str, Any], defaults: Mapping[str, Any], error: FieldError
) -> tuple[Related, ...]:
    """Return the place in `defaults:` of a value that is wrong for this job alone; the problem itself is at the job."""
    if (
        not error.loc
        or error.loc[0] not in _DIFFERENT_BY_JOB
        or error.loc[0] in written
        or error.loc[0] not in defaults
    ):
        return ()
    return (Related(document.positions.value(("defaults", *error.loc)), "set here, for all jobs of the file"),)


def _no_job(document: Document, name: str, written: object) -> Problem:
    """Return the problem of a job that is not a mapping."""
    path = ("jobs", name)
    blank = missing_blank(written)
    if blank is not None:
        return document.positions.problem(path, blank[0], hint=blank[1], job=name)
    blank = missing_blank(name)
    if blank is not None:
        return document.positions.problem(path, blank[0], hint=blank[1], at_key=True)
    message = f"cannot use {named_as_written(document, path, written)} as a job; expected a mapping of its fields"
    return document.positions.problem(path, message, job=name, at_key=True)


def _is_job_file(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml") and not path.name.startswith(".") and not os.path.isdir(path)  # noqa: PTH112


def _problem_of(path: str, message: str) -> Problem:
    return Problem(Place(path, 1, 1), message)


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the problems in the order in which their files were read, and within a file by line."""
    files: dict[str, int] = {}
    for problem in (problems := tuple(problems)):
        files.setdefault(problem.place.path, len(files))
    return tuple(sorted(problems, key=lambda problem: (files[problem.place.path], *problem.place[1:3])))
