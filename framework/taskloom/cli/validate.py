"""`taskloom validate`: all problems of all job files, and how long a stop may take."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from taskloom.cli.completion.known_names import complete_paths
from taskloom.cli.echo import echo, echo_error, echo_json, echo_styled
from taskloom.cli.options import Seconds, env_file_option
from taskloom.cli.standard_streams import imports_on_stderr
from taskloom.observe.terminal import has_styles, is_terminal
from taskloom.text import duration, finite, plural

# A job file may have made these of a secret; all else are names, numbers and words of ours.
_WRITTEN = ("description", "log", "runner_options")

if TYPE_CHECKING:
    from taskloom.cli.settings import Given
    from taskloom.core.model import Moment
    from taskloom.jobfile import CheckResult
    from taskloom.jobfile.env_file import EnvValue

__all__ = ["validate"]

EXIT_INVALID = 2


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...", shell_complete=complete_paths)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="Output format; json is on standard output.")  # fmt: skip
@click.option("--stop-within", type=Seconds(allows_forever=True), metavar="DURATION",
              help="The time allowed for stopping all jobs, or forever; a job that may take longer is a warning. "
                   "[default: 30s]")  # fmt: skip
@env_file_option
@click.option("--plan", "with_plan", is_flag=True,
              help="Also show which jobs would start, in which order, and where each value comes from.")  # fmt: skip
@click.pass_context
def validate(
    context: click.Context,
    paths: tuple[str, ...],
    output: str,
    stop_within: float | None,
    env_files: tuple[str, ...],
    *,
    with_plan: bool,
) -> None:
    """Check job files without starting anything.

    Each PATH is a job file, a directory, of which the *.yaml and *.yml files are read, or - for standard input; without
    one it is taskloom.yaml, else jobs/. It is a warning if the jobs need more threads than the limits of this process
    allow. Problems go to standard error. Each schedule in words, its next start times and a summary go to standard
    output. The exit code is 2 if a file has an error, otherwise 0, also with warnings.
    """
    from taskloom.cli.default_paths import chosen_paths
    from taskloom.cli.limits import limit_warnings
    from taskloom.cli.program.history_choice import has_history
    from taskloom.cli.settings import Flag, Sources, misspelt_in_files
    from taskloom.clock import MonotonicClock
    from taskloom.errors import JobFileError
    from taskloom.jobfile import CheckResult, check
    from taskloom.jobfile.checks.without_history import errors_without_history
    from taskloom.jobfile.env_file import environ_with, read_env_files
    from taskloom.jobfile.fields.history import HistoryMode

    sources = Sources({"stop_within": Flag("--stop-within", stop_within)}, os.environ)
    for warning in sources.warnings:
        echo_error(f"warning: {warning}")
    chosen = chosen_paths(paths)
    env_values: Mapping[str, EnvValue] = {}
    try:
        env_values = read_env_files(env_files)
        with imports_on_stderr():  # keeps what plugins print on import out of the output
            result = check(
                *chosen,
                environ=environ_with(env_values, os.environ),
                stop_within=sources.stop_within(env_values),
                with_origins=with_plan,
            )
    except JobFileError as error:  # without the variables, most errors in job files would be consequences
        result = CheckResult((), error.problems, env_files, 0.0)
    settings = None
    if not result.errors:
        settings = sources.with_files(env_values, result.settings)
        history = settings["history"].value
        misspelt = misspelt_in_files(env_values)
        limits = limit_warnings(result.jobs, result.files[0], has_history=has_history(history))
        # Without its packages `run` refuses them as well; but they may be installed where the program will run.
        refused = errors_without_history(result.jobs) if history.mode is HistoryMode.OFF else ()
        result = result._replace(problems=(*result.problems, *misspelt, *limits, *refused))
    show = _show_as_json if output == "json" else _show_as_text
    show(result, MonotonicClock().now(), settings if with_plan and not result.errors else None)
    if result.errors:
        context.exit(EXIT_INVALID)


def _show_as_json(result: CheckResult, now: Moment, settings: Mapping[str, Given] | None) -> None:
    """Show the result; with the settings of the program the plan, too."""
    from taskloom.jobfile.render import as_json
    from taskloom.observe.job_data import job_as_json
    from taskloom.observe.masking import Masker

    mask = Masker(result.secrets).mask_data

    def masked(job: dict[str, Any]) -> dict[str, Any]:
        return {**job, **{name: mask(job[name]) for name in _WRITTEN}}

    data: dict[str, Any] = {
        "files": list(result.files),
        "jobs": [masked(job_as_json(job, now)) for job in result.jobs],
        "problems": as_json(result.problems),
        "worst_stop_seconds": finite(result.worst_stop_seconds),
        "worst_stop_chain": [{"job": slow.job, "seconds": finite(slow.seconds)} for slow in result.stop_chain],
    }
    if settings is not None:
        from taskloom.cli import plan

        data["plan"] = plan.as_json(result, settings)
    echo_json(data)


def _show_as_text(result: CheckResult, now: Moment, settings: Mapping[str, Given] | None) -> None:
    from taskloom.jobfile.render import render_all
    from taskloom.observe.job_data import schedule_lines

    if result.problems:
        echo_styled(render_all(result.problems, color=has_styles(sys.stderr)), is_error=True)
    if not result.errors:
        for job in result.jobs:
            for line in schedule_lines(job, now) if job.enabled else ():
                echo(line)
    if settings is not None:
        from taskloom.cli import plan

        echo_styled(plan.as_text(result, settings, is_terminal=is_terminal(sys.stdout)) + "\n")
    echo(_summary(result))


def _summary(result: CheckResult) -> str:
    errors = len(result.errors)
    found = [_count(errors, "error"), _count(len(result.problems) - errors, "warning")]
    problems = ", ".join(each for each in found if each) or "no problems"
    files = _count(len(result.files), "file") or "no files"
    if errors:
        return f"{files}: {problems}"
    jobs = _count(len(result.jobs), "job") or "no jobs"
    worst = result.worst_stop_seconds
    stop = "unbounded" if worst == float("inf") else duration(worst)
    return f"{jobs} in {files}: {problems}; worst-case stop {stop}"


def _count(number: int, noun: str) -> str:
    return plural(number, noun) if number else ""
