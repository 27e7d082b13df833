"""Warnings about all jobs of all files together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from taskloom.core.model import JobSpec
from taskloom.diagnostics import FieldError, Place, Problem
from taskloom.jobfile.checks.worst_stop import WorstStop
from taskloom.jobfile.declared_job import DeclaredJob
from taskloom.text import duration

__all__ = ["warnings_in_all_jobs"]


def warnings_in_all_jobs(declared: Sequence[DeclaredJob], worst: WorstStop, stop_within: float) -> Iterator[Problem]:
    """Yield the warnings. All jobs must be valid: an error may hide that a job is a daemon, or what it waits for."""
    specs = [job.spec for job in declared if job.spec is not None]
    if any(spec.after for spec in specs):
        from taskloom.jobfile.checks.dependencies import warnings_in_dependencies

        yield from warnings_in_dependencies(declared)
    enabled = [spec for spec in specs if spec.enabled]
    if enabled and all(spec.daemon for spec in enabled):
        yield _only_daemons(enabled[0])
    if worst.seconds > stop_within and len(worst.chain) > 1:
        [last] = [job for job in declared if job.name == worst.chain[-1].job]
        yield last.warning("join", FieldError((), _slow_stop(worst, stop_within)))


def _only_daemons(job: JobSpec) -> Problem:
    message = "program never ends by itself: every job is a daemon, so it runs until a signal stops it"
    return Problem(job.place or Place(".", 1, 1), message, severity="warning")


def _slow_stop(worst: WorstStop, stop_within: float) -> str:
    return (
        f"stop may take longer than {duration(stop_within)}: dependents are stopped before their dependencies, "
        f"and that may take {duration(worst.seconds)}: {worst}"
    )
