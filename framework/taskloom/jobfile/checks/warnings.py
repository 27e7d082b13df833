"""Warnings: what is legal, and probably does not do what its author expects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from taskloom.core.model import WAIT_FOR_EVER, JobSpec
from taskloom.diagnostics import FieldError, Place, Problem, quoted
from taskloom.jobfile.checks.nothing_starts import has_passed, warnings_if_nothing_starts
from taskloom.jobfile.checks.worst_stop import WorstStop
from taskloom.jobfile.declared_job import DeclaredJob
from taskloom.text import duration

__all__ = ["warnings_in_all_jobs", "warnings_of_each_job"]

# Ages are sampled once a second, so a poll that happens every second may appear to be two seconds old.
_RELIABLE_WATCHDOG_SECONDS = 2.0


def warnings_of_each_job(declared: Iterable[DeclaredJob], stop_within: float, now: float) -> Iterator[Problem]:
    """Yield the warnings about each enabled job. A warning about a value of `defaults:` is yielded once.

    `now`: seconds since the epoch.
    """
    seen = set()
    for job in declared:
        spec = job.spec
        if spec is None or not spec.enabled:
            continue
        for field, error in _warnings_of(spec, stop_within, now):
            path = job.path_of(field)
            key: tuple[str, ...] | None = None
            # Only values of `defaults:` can cause the same warning twice, and what is said of a task and of no job.
            if path[0] == "defaults":
                key = (job.document.path, *path, error.message)
            elif field == "task":
                key = (error.message,)
            if key is None or key not in seen:
                seen.add(key)
                yield job.warning(field, error)


def _warnings_of(spec: JobSpec, stop_within: float, now: float) -> Iterator[tuple[str, FieldError]]:
    """Yield each field with its warning, whose location begins inside the field."""
    if spec.join.within > stop_within:
        yield "join", FieldError((), _slow_stop(spec, stop_within))
    if in_doubt := getattr(spec.binding, "context_in_doubt", ""):
        message = f"the first parameter of task {spec.task!r} gets the context, and is called {in_doubt!r}"
        yield "task", FieldError((), message, "call it ctx, annotate it as Context, or put ctx before it")
    if spec.ready_within is not None:
        yield from _useless_ready_within(spec, spec.ready_within)
    has_checks = getattr(spec.binding, "check_seconds", None) is not None
    if spec.watchdog is not None and spec.watchdog.after < _RELIABLE_WATCHDOG_SECONDS and not has_checks:
        message = f"watchdog of {duration(spec.watchdog.after)} is unreliable: poll age has a resolution of 1s"
        yield "watchdog", FieldError(("after",), message, "use 2s or more")
    yield from _missing_folder(spec)
    yield from _short_stop_elsewhere(spec)
    remark = getattr(spec.schedule.calendar, "remark", "") if spec.schedule is not None else ""
    if remark:
        yield "schedule", FieldError(("at",), f"this local time is unreliable: {remark}")
    if spec.schedule is not None and has_passed(spec, now):
        kind, _, written = spec.schedule.text.partition(" ")
        message = f"does not start by itself: {written} has passed" if kind == "at" else "never starts by itself again"
        yield "schedule", FieldError((kind,), message)


def _missing_folder(spec: JobSpec) -> Iterator[tuple[str, FieldError]]:
    """Warn of the working directory of a process that does not exist now; that of a program is checked with it."""
    folder = spec.runner.options.get("cwd") if spec.runner.name == "process" else None
    if folder is not None and getattr(spec.binding, "program", None) is None and not Path(folder).is_dir():
        message = f"the process cannot start before its folder exists: {quoted(folder)}"
        yield "runner", FieldError(("process", "cwd"), message)


def _short_stop_elsewhere(spec: JobSpec) -> Iterator[tuple[str, FieldError]]:
    """Warn of a run on another machine that is killed before a request to stop that got lost is sent again."""
    if spec.runner.name != "dask" or "scheduler" not in spec.runner.options:
        return
    from taskloom.runners.dask.options import DaskOptions

    period = DaskOptions.of(spec.runner.options).cluster.lease.period
    if spec.join.within < period:
        message = (
            f"stop is unreliable: a request that the network loses is sent again after {duration(period)}, and the run "
            f"is killed after {duration(spec.join.within)}"
        )
        yield "join", FieldError(("within",), message, f"use {duration(period)} or more")


def _slow_stop(spec: JobSpec, stop_within: float) -> str:
    if spec.join.within == WAIT_FOR_EVER:
        return "stop has no time limit of its own: join: wait waits for ever, up to the end of the whole shutdown"
    return f"stop may take longer than {duration(stop_within)}: this job alone may take {duration(spec.join.within)}"


def _useless_ready_within(spec: JobSpec, ready_within: float) -> Iterator[tuple[str, FieldError]]:
    if not getattr(spec.binding, "announces_ready", True):
        message = (
            f"ready_within has no effect: task {spec.task!r} does not announce that it is ready, so it is ready at once"
        )
        yield "ready_within", FieldError((), message, "leave it out, or use timeout")
    elif spec.timeout is not None and ready_within >= spec.timeout:
        timeout, limit = duration(spec.timeout), duration(ready_within)
        message = f"ready_within has no effect: the timeout, {timeout}, is not longer than {limit}"
        yield "ready_within", FieldError((), message, "write less than the timeout")


def warnings_in_all_jobs(
    declared: Sequence[DeclaredJob], worst: WorstStop, stop_within: float, now: float
) -> Iterator[Problem]:
    """Yield the warnings. All jobs must be valid: an error may hide that a job is a daemon, or what it waits for."""
    specs = [job.spec for job in declared if job.spec is not None]
    if any(spec.after for spec in specs):
        from taskloom.jobfile.checks.dependencies import warnings_in_dependencies

        yield from warnings_in_dependencies(declared)
    unstarted = list(warnings_if_nothing_starts(specs, now))
    yield from unstarted
    enabled = [spec for spec in specs if spec.enabled]
    if not unstarted and enabled and all(spec.daemon for spec in enabled):
        message = "program never ends by itself: every job is a daemon, so it runs until a signal stops it"
        yield Problem(enabled[0].place or Place(".", 1, 1), message, severity="warning")
    if worst.seconds > stop_within and len(worst.chain) > 1:
        [last] = [job for job in declared if job.name == worst.chain[-1].job]
        message = (
            f"stop may take longer than {duration(stop_within)}: dependents are stopped before their dependencies, "
            f"and that may take {duration(worst.seconds)}: {worst}"
        )
        yield last.warning("join", FieldError((), message))
