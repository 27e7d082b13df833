"""From paths to jobs: every file read, every problem of all of them in one report."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.collector import paused_gc
from taskloom.complaints import Mistake, quoted
from taskloom.core.model import WAIT_FOR_EVER, JobSpec
from taskloom.errors import JobFileError, Place, Problem, Related, near_match
from taskloom.jobfile.fields import JobMistakes
from taskloom.jobfile.schema import is_note, job_spec, read_defaults

if TYPE_CHECKING:
    from taskloom.catalog import Catalog
    from taskloom.jobfile.document import Document

__all__ = ["STOP_WITHIN_SECONDS", "CheckResult", "check", "load"]

STOP_WITHIN_SECONDS = 30.0
"""The time that a whole shutdown gets, unless the command line says otherwise."""

# A shorter text is no secret worth the name, and may be part of any word of a message.
_SHORTEST_SECRET = 4

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
    """The longest that stopping all jobs takes; `join: wait` counts as the whole of the time to stop."""

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
) -> CheckResult:
    """Return what `load` would, and all problems, warnings included; nothing about the files is raised.

    `stop_within`, in seconds, is what a whole shutdown will get: a job that may take longer is warned of.
    """
    if catalog is None:
        from taskloom.catalog import Catalog

        catalog = Catalog()
    checker = _Checker(os.environ if environ is None else environ, catalog, stop_within)
    # Ten thousand jobs are half a million new objects, none of them garbage; looking through them again and again
    # takes a third of the time. The reader pauses collection too, and both leave it as they found it.
    with paused_gc():
        for path in paths:
            checker.add(path)
    return checker.result()


class _Checker:
    """Collects the jobs and the problems of file after file."""

    def __init__(self, environ: Mapping[str, str], catalog: Catalog, stop_within: float) -> None:
        self._environ, self._catalog, self._stop_within = environ, catalog, stop_within
        self._files: dict[str, str] = {}
        self._problems: list[Problem] = []
        self._jobs: list[JobSpec] = []
        self._declared: dict[str, Place] = {}

    def add(self, path: AnyPath) -> None:
        """Read a file, or the job files of a directory. One that was read before is not read again."""
        for name in self._expanded(os.fspath(path)):
            real = os.path.realpath(name)
            if real not in self._files:
                self._files[real] = name
                self._problems += self._read(name)

    def result(self) -> CheckResult:
        """Return all that was found, and what can only be told of all files together."""
        has_errors = any(problem.severity == "error" for problem in self._problems)
        enabled = [job for job in self._jobs if job.enabled]
        if not self._declared and not has_errors:
            where = next(iter(self._files.values()), ".")
            self._problems.append(_about(where, "cannot find any job: there is nothing to run"))
        # With a mistake in a job, nobody knows whether it was meant to be a daemon.
        if enabled and not has_errors and all(job.daemon for job in enabled):
            self._problems.append(_daemons_only(enabled[0]))
        worst = max((self._longest(job) for job in enabled), default=0.0)
        return CheckResult(tuple(self._jobs), _in_order(self._problems), tuple(self._files.values()), worst)

    def _longest(self, job: JobSpec) -> float:
        """Return the seconds that stopping a job may take; the end of a whole shutdown bounds `wait` alone."""
        return self._stop_within if job.join.within == WAIT_FOR_EVER else job.join.within

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
        from taskloom.jobfile.interpolate import interpolate
        from taskloom.jobfile.reader import read_file

        try:
            document = read_file(path)
        except JobFileError as error:
            yield from error.problems
            return
        yield from document.warnings
        if isinstance(document.root, dict):
            unset = interpolate(document, self._environ)
            yield from unset
            # What could not be substituted stands there as `${...}`: that it is no number either is no news.
            spoiled: dict[int, list[Place]] = {}
            for problem in unset:
                spoiled.setdefault(problem.place.line, []).append(problem.place)
            for found in self._file(document, document.root):
                if not any(_covers(found.place, place) for place in spoiled.get(found.place.line, ())):
                    yield found

    def _file(self, document: Document, root: Mapping[str, Any]) -> Iterator[Problem]:
        yield from _strange_keys(document, root)
        written = root.get("defaults")
        defaults: dict[str, Any] = {}
        if isinstance(written, dict):
            try:
                defaults = read_defaults(written)
            except JobMistakes as error:
                yield from problems_of(document, ("defaults",), written, error.mistakes)
        elif written is not None:
            yield document.places.problem(("defaults",), "cannot use this as defaults; expected a mapping of fields")
        jobs = root.get("jobs")
        if not isinstance(jobs, dict) or not jobs:
            yield from _no_jobs(document, root)
            return
        before = len(self._jobs)
        for name, job in jobs.items():
            yield from self._job(document, name, job, defaults)
        for path, job in _longest_stops(self._jobs[before:], jobs):
            if job.join.within > self._stop_within:
                yield document.places.problem(path, self._slow(job), severity="warning", job=job.name)

    def _job(self, document: Document, name: str, written: object, defaults: dict[str, Any]) -> Iterator[Problem]:
        place = document.places.key(("jobs", name))
        first = self._declared.setdefault(name, place)
        if first is not place:
            message = f"cannot use the name {name!r} twice: it is first used at {first}"
            problem = document.places.problem(("jobs", name), message, job=name, at_key=True)
            yield problem._replace(related=(Related(first, "first used here"),))
        if not isinstance(written, dict):
            message = f"cannot use {'null' if written is None else 'this'} as a job; expected a mapping of its fields"
            yield document.places.problem(("jobs", name), message, job=name, at_key=True)
            return
        try:
            spec = job_spec(name, written, self._catalog, defaults=defaults, place=place)
        except JobMistakes as error:
            yield from problems_of(document, ("jobs", name), written, error.mistakes)
            return
        if first is place:
            self._jobs.append(spec)

    def _slow(self, job: JobSpec) -> str:
        if job.join.within == WAIT_FOR_EVER:
            return "cannot tell how long a stop takes: join: wait waits for ever, to the end of a whole shutdown"
        return f"cannot stop within {self._stop_within:g} s for sure: this job alone may take {job.join.within:g} s"


def _longest_stops(specs: Iterable[JobSpec], written: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], JobSpec]]:
    """Yield where each join policy of enabled jobs is written, with its job; that of `defaults:` once."""
    seen = set()
    for job in specs:
        path = ("jobs", job.name, "join") if "join" in written[job.name] else ("defaults", "join")
        if job.enabled and path not in seen:
            seen.add(path)
            yield path, job


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
        near = near_match(key, _TOP_KEYS)
        hint = f"did you mean {near!r}?" if near else ""
        if _is_job(value):
            hint = "put the job under 'jobs:'"
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


def problems_of(
    document: Document, base: tuple[str, ...], written: Mapping[str, Any], mistakes: Iterable[Mistake]
) -> Iterator[Problem]:
    """Place the mistakes of what is written at `base`.

    A value that came from the environment is shown as it is written, `${PASSWORD}`: never quoted.
    """
    job = base[-1] if base[0] == "jobs" else None
    for mistake in mistakes:
        path = (*base, *mistake.loc)
        message, hint = mistake.message, mistake.hint
        for value, text in _substituted(document, path, _at(written, mistake.loc)):
            message, hint = message.replace(value, text), hint.replace(value, text)
        yield document.places.problem(path, message, hint=hint, job=job, at_key=mistake.at_key)


def _at(value: Any, loc: Iterable[str | int]) -> Any:
    for part in loc:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            break
    return value


def _substituted(document: Document, path: tuple[str | int, ...], value: Any) -> Iterator[tuple[str, str]]:
    """Yield the values beneath a path that came from the environment, each with what is written in the file."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _substituted(document, (*path, key), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _substituted(document, (*path, index), item)
    else:
        written = document.places.written(path)
        if "${" in written:
            yield quoted(value), quoted(written.strip("\"'"))
            if len(str(value)) >= _SHORTEST_SECRET:
                yield str(value), written.strip("\"'")
