"""From paths to jobs: every file read, every problem of all of them in one report."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.core.model import JobSpec
from taskloom.core.policies import STOP_WITHIN_SECONDS
from taskloom.diagnostics import FieldError, Place, Problem, Related, near_match
from taskloom.errors import JobFileError
from taskloom.jobfile.declared_job import Declared, problems_of
from taskloom.jobfile.fields.registry import JobErrors
from taskloom.jobfile.job_spec import is_note, job_spec, read_defaults
from taskloom.sync.gc_pause import paused_gc
from taskloom.text import did_you_mean, duration

if TYPE_CHECKING:
    from taskloom.catalog.entry_points import Catalog
    from taskloom.jobfile.checks.worst_stop import SlowStop, WorstStop
    from taskloom.jobfile.origins import Origin
    from taskloom.jobfile.syntax.document import Document

__all__ = ["CheckResult", "check", "load"]

_TOP_KEYS = ("defaults", "jobs")
AnyPath = str | os.PathLike[str]


class CheckResult(NamedTuple):
    """What job files hold: the jobs that can be used and everything there is to say about them."""

    jobs: tuple[JobSpec, ...]
    problems: tuple[Problem, ...]
    """Errors and warnings, in the order of the files and in each file by line."""
    files: tuple[str, ...]
    """The files that were read."""
    worst_stop_seconds: float
    """The longest that stopping all jobs takes, level by level; `join: wait` counts as the whole of the time."""
    stop_chain: tuple[SlowStop, ...] = ()
    """The jobs that make it so, in the order of the stop."""
    origins: Mapping[str, Mapping[str, Origin]] = {}
    """Per job and field where its value comes from; only when it was asked for."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that make the files unusable."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


def load(*paths: AnyPath, environ: Mapping[str, str] | None = None, catalog: Catalog | None = None) -> list[JobSpec]:
    """Return the jobs of job files; of a directory, those of its `*.yaml` and `*.yml`, sorted.

    `environ` is what `${VAR}` stands for (default: the process's), `catalog` where tasks are found (default: what
    is installed). Raises JobFileError with every problem of every file.
    """
    result = check(*paths, environ=environ, catalog=catalog)
    if result.errors:
        raise JobFileError(result.errors)
    return list(result.jobs)


def check(
    *paths: AnyPath,
    environ: Mapping[str, str] | None = None,
    catalog: Catalog | None = None,
    stop_within: float = STOP_WITHIN_SECONDS,
    with_origins: bool = False,
) -> CheckResult:
    """Return what `load` would, and all problems, warnings included; nothing about the files is raised.

    `stop_within`, in seconds, is what a whole shutdown will get: what may take longer is warned of. With
    `with_origins` the result also tells where each value comes from, which takes a while.
    """
    if catalog is None:
        from taskloom.catalog.entry_points import Catalog

        catalog = Catalog()
    checker = _Checker(os.environ if environ is None else environ, catalog, stop_within)
    # Ten thousand jobs are half a million new objects, none of them garbage; looking through them again and again
    # takes a third of the time. The reader pauses collection too, and both leave it as they found it.
    with paused_gc():
        for path in paths:
            checker.add(path)
        return checker.result(with_origins=with_origins)


class _Checker:
    """Collects the jobs and the problems of file after file."""

    def __init__(self, environ: Mapping[str, str], catalog: Catalog, stop_within: float) -> None:
        self._environ, self._catalog, self._stop_within = environ, catalog, stop_within
        self._files: dict[str, str] = {}
        self._problems: list[Problem] = []
        self._jobs: list[Declared] = []
        self._names: dict[str, Place] = {}
        # By path and line: where variables stand that are not set.
        self._spoiled: dict[tuple[str, int], list[Place]] = {}

    def add(self, path: AnyPath) -> None:
        """Read a file, or the job files of a directory. One that was read before is not read again."""
        for name in self._expanded(os.fspath(path)):
            real = os.path.realpath(name)
            if real not in self._files:
                self._files[real] = name
                self._problems += self._read(name)

    def result(self, *, with_origins: bool) -> CheckResult:
        """Return all that was found, and what can only be told of all files together."""
        from taskloom.jobfile.checks.warnings import warnings_of_each_job
        from taskloom.jobfile.checks.worst_stop import worst_stop

        self._problems += self._news(self._refusals())
        has_errors = any(problem.severity == "error" for problem in self._problems)
        specs = tuple(job.spec for job in self._jobs if job.spec is not None)
        if not self._names and not has_errors:
            where = next(iter(self._files.values()), ".")
            self._problems.append(_about(where, "cannot find any job: there is nothing to run"))
        self._problems += warnings_of_each_job(self._jobs, self._stop_within)
        worst = worst_stop(specs, self._stop_within)
        # With a mistake in a job, nobody knows whether it was meant to be a daemon, or what it waits for.
        if not has_errors:
            self._problems += self._of_all(specs, worst)
        origins: Mapping[str, Mapping[str, Origin]] = {}
        if with_origins:
            from taskloom.jobfile.origins import origins_of

            origins = {job.name: origins_of(job) for job in self._jobs if job.spec is not None}
        files = tuple(self._files.values())
        return CheckResult(specs, _in_order(self._problems), files, worst.seconds, worst.chain, origins)

    def _refusals(self) -> Iterator[Problem]:
        """Yield the dependencies that cannot be. Few programs have any, and those that have none import nothing."""
        if any("after" in job.written for job in self._jobs):
            from taskloom.jobfile.checks.dependencies import errors_in_dependencies

            yield from errors_in_dependencies(self._jobs, self._names)

    def _of_all(self, specs: Sequence[JobSpec], worst: WorstStop) -> Iterator[Problem]:
        """Yield the warnings about all jobs taken together."""
        if any(spec.after for spec in specs):
            from taskloom.jobfile.checks.dependencies import warnings_in_dependencies

            yield from warnings_in_dependencies(self._jobs)
        enabled = [spec for spec in specs if spec.enabled]
        if enabled and all(spec.daemon for spec in enabled):
            yield _daemons_only(enabled[0])
        if worst.seconds > self._stop_within and len(worst.chain) > 1:
            [last] = [job for job in self._jobs if job.name == worst.chain[-1].job]
            message = (
                f"cannot stop within {duration(self._stop_within)} for sure: dependents are stopped before what they "
                f"depend on, and that may take {duration(worst.seconds)}: {worst}"
            )
            yield last.warning("join", FieldError((), message))

    def _expanded(self, path: str) -> list[str]:
        if not Path(path).is_dir():
            return [path]
        try:
            found = sorted(each.name for each in Path(path).iterdir() if _is_job_file(each))
        except OSError as error:
            self._problems.append(
                _about(path, f"cannot read directory {path!r}: {(error.strerror or str(error)).lower()}")
            )
            return []
        if not found:
            self._problems.append(_about(path, f"cannot find a job file in {path!r}; expected *.yaml or *.yml"))
        return [os.path.join(path, name) for name in found]  # noqa: PTH118 - Path would drop a leading "./"

    def _read(self, path: str) -> Iterator[Problem]:
        from taskloom.jobfile.syntax.interpolation import interpolate
        from taskloom.jobfile.syntax.reader import read_file

        try:
            document = read_file(path)
        except JobFileError as error:
            yield from error.problems
            return
        yield from document.warnings
        if isinstance(document.root, dict):
            unset = interpolate(document, self._environ)
            yield from unset
            for problem in unset:
                self._spoiled.setdefault(problem.place[:2], []).append(problem.place)
            yield from self._news(self._file(document, document.root))

    def _news(self, problems: Iterable[Problem]) -> Iterator[Problem]:
        """Yield the problems that are news.

        What could not be substituted stands there as `${...}`: that it is no number, and no job's name, is none.
        """
        for problem in problems:
            spoiled = self._spoiled.get(problem.place[:2], ())
            if not any(_covers(problem.place, place) for place in spoiled):
                yield problem

    def _file(self, document: Document, root: Mapping[str, Any]) -> Iterator[Problem]:
        yield from _strange_keys(document, root)
        written = root.get("defaults")
        defaults: dict[str, Any] = {}
        if isinstance(written, dict):
            try:
                defaults = read_defaults(written)
            except JobErrors as error:
                yield from problems_of(document, ("defaults",), written, error.mistakes)
        elif written is not None:
            yield document.places.problem(("defaults",), "cannot use this as defaults; expected a mapping of fields")
        jobs = root.get("jobs")
        if not isinstance(jobs, dict) or not jobs:
            yield from _no_jobs(document, root)
            return
        shared = written if isinstance(written, dict) else {}
        for name, job in jobs.items():
            yield from self._job(document, name, job, shared, defaults)

    def _job(
        self, document: Document, name: str, written: object, shared: Mapping[str, Any], defaults: Mapping[str, Any]
    ) -> Iterator[Problem]:
        place = document.places.key(("jobs", name))
        first = self._names.setdefault(name, place)
        if first is not place:
            message = f"cannot use the name {name!r} twice: it is first used at {first}"
            problem = document.places.problem(("jobs", name), message, job=name, at_key=True)
            yield problem._replace(related=(Related(first, "first used here"),))
        if not isinstance(written, dict):
            message = f"cannot use {'null' if written is None else 'this'} as a job; expected a mapping of its fields"
            yield document.places.problem(("jobs", name), message, job=name, at_key=True)
            return
        spec = None
        try:
            spec = job_spec(name, written, self._catalog, defaults=defaults, place=place)
        except JobErrors as error:
            yield from problems_of(document, ("jobs", name), written, error.mistakes)
        if first is place:
            self._jobs.append(Declared(name, document, written, shared, spec))


def _is_job_file(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml") and not path.name.startswith(".") and not path.is_dir()


def _about(path: str, message: str) -> Problem:
    return Problem(Place(path, 1, 1), message)


def _covers(outer: Place, inner: Place) -> bool:
    return outer[:2] == inner[:2] and outer.column <= inner.column < outer.column + outer.length


def _daemons_only(job: JobSpec) -> Problem:
    message = "cannot end by itself: every job is a daemon, so it runs until it is stopped by a signal"
    return Problem(job.place or Place(".", 1, 1), message, severity="warning")


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the problems in the order in which their files turned up, in each file by line."""
    files: dict[str, int] = {}
    for problem in (problems := tuple(problems)):
        files.setdefault(problem.place.path, len(files))
    return tuple(sorted(problems, key=lambda problem: (files[problem.place.path], *problem.place[1:3])))


def _strange_keys(document: Document, root: Mapping[str, Any]) -> Iterator[Problem]:
    for key, value in root.items():
        if key in _TOP_KEYS or is_note(key):
            continue
        hint = "put the job under 'jobs:'" if _is_job(value) else did_you_mean(key, _TOP_KEYS)
        message = f"cannot find key {key!r}; known: {', '.join(_TOP_KEYS)}, and x-... for notes"
        yield document.places.problem((key,), message, hint=hint, at_key=True)


def _is_job(value: object) -> bool:
    return isinstance(value, dict) and "task" in value


def _no_jobs(document: Document, root: Mapping[str, Any]) -> Iterator[Problem]:
    if "jobs" not in root:
        # Where the hint at a strange key tells already, nothing is said twice.
        if not any(near_match(key, ["jobs"]) or _is_job(value) for key, value in root.items()):
            yield document.places.problem((), "cannot find 'jobs'; a job file holds its jobs under that key")
    elif root["jobs"]:
        yield document.places.problem(("jobs",), "cannot use this as jobs; expected a mapping of names to jobs")
    else:
        yield document.places.problem(("jobs",), "cannot find a job under 'jobs'", at_key=True)
