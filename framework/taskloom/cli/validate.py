"""`taskloom validate`: every mistake of every job file, and what a stop may take."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from taskloom.core.model import JobSpec
    from taskloom.jobfile import CheckResult

__all__ = ["validate"]

EXIT_INVALID = 2


def _seconds(context: click.Context, parameter: click.Parameter, value: str) -> float:
    from taskloom.task import parse_duration

    if value == "forever":
        return float("inf")
    try:
        return parse_duration(float(value) if value.replace(".", "", 1).isdigit() else value)
    except ValueError as error:
        raise click.BadParameter(f"{error}, or forever", context, parameter) from None


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json prints everything as data on standard output.",
)
@click.option(
    "--stop-within",
    default="30s",
    show_default=True,
    callback=_seconds,
    metavar="DURATION",
    help="The time that a whole shutdown will get, or forever: what may take longer is warned of.",
)
@click.pass_context
def validate(context: click.Context, paths: tuple[str, ...], output: str, stop_within: float) -> None:
    """Check job files, and start nothing.

    Of a directory, the *.yaml and *.yml files are read. Problems go to standard error, a summary to standard
    output. The exit code is 2 when a file cannot be used, else 0; warnings do not change it.
    """
    from taskloom.jobfile import check
    from taskloom.jobfile.frames import render_all

    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints when imported is no answer of ours
        result = check(*paths, stop_within=stop_within)
    if output == "json":
        import json

        click.echo(json.dumps(_as_json(result), indent=2, ensure_ascii=False))
    else:
        if result.problems:
            click.echo(render_all(result.problems, color=_wants_color()), err=True)
        click.echo(_summary(result))
    if result.errors:
        context.exit(EXIT_INVALID)


def _wants_color() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


def _summary(result: CheckResult) -> str:
    errors = len(result.errors)
    found = [_count(errors, "error"), _count(len(result.problems) - errors, "warning")]
    problems = ", ".join(each for each in found if each) or "no problems"
    files = _count(len(result.files), "file") or "no files"
    if errors:
        return f"{files}: {problems}"
    jobs = _count(len(result.jobs), "job") or "no jobs"
    return f"{jobs} in {files}: {problems}; worst-case stop {_seconds_text(result.worst_stop_seconds)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}" if number else ""


def _seconds_text(seconds: float) -> str:
    return "unbounded" if seconds == float("inf") else f"{seconds:g} s"


def _as_json(result: CheckResult) -> dict[str, Any]:
    from taskloom.jobfile.frames import as_json

    return {
        "files": list(result.files),
        "jobs": [_job_as_json(job) for job in result.jobs],
        "problems": as_json(result.problems),
        "worst_stop_seconds": _finite(result.worst_stop_seconds),
    }


def _job_as_json(job: JobSpec) -> dict[str, Any]:
    place = {} if job.place is None else {"path": job.place.path, "line": job.place.line}
    return {
        "name": job.name,
        "task": job.task,
        "description": job.description,
        "labels": list(job.labels),
        "enabled": job.enabled,
        "daemon": job.daemon,
        "poll_interval": job.poll_interval,
        "join": {"within": _finite(job.join.within), "otherwise": job.join.otherwise.value},
        "start": {"mode": job.start.mode.value, "delay": job.start.delay_seconds},
        "runner": job.runner.name,
        **place,
    }


def _finite(seconds: float) -> float | None:
    """Return the seconds, and None for ever: JSON has no infinity."""
    return None if seconds == float("inf") else seconds
