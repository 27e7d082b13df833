"""`taskloom pause`, `taskloom resume` and `taskloom reset`: they change what a job will do, and touch no run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from taskloom.cli.control.acting import Results, act
from taskloom.cli.control.common import (
    all_option,
    answers,
    choose_jobs,
    connect,
    job_arguments,
    output_option,
    program_options,
    reason_option,
    require_jobs,
)
from taskloom.cli.control.instants import read_instant, until
from taskloom.cli.control.waiting import JobResult
from taskloom.clock import wall
from taskloom.control.reply_fields import Fields
from taskloom.text import duration, local_time

__all__ = ["pause", "reset", "resume"]

_PASSED_OVER = {"not-scheduled": "without a schedule"}


@click.command(short_help="Pause the schedules of jobs; their runs go on.")
@job_arguments
@all_option
@reason_option
@program_options
@output_option
@answers
def pause(**options: Any) -> int:
    """Pause the schedule of each JOB. A run that is under way goes on.

    Until `resume` each firing is missed, with the reason `paused`. `start` still starts one run. A job without a
    schedule is refused: `stop` it instead. --all and -l LABEL mean those with a schedule.

    \b
    Exit codes:
      0  the schedules are paused
      1  a job was refused
      2  unknown job, or wrong usage; nothing was changed
      4  no program is reachable, or it does not answer

    \b
    Examples:
      taskloom pause backup
      taskloom pause -l nightly --reason 'the server moves'
    """
    return _change("pause", lambda job: f"paused; its firings are missed until it is resumed{_run_of(job)}", **options)


@click.command(short_help="Resume the schedules of paused or stopped jobs.")
@job_arguments
@all_option
@reason_option
@program_options
@output_option
@answers
def resume(**options: Any) -> int:
    """Resume the schedule of each JOB that was paused or stopped. It arms the schedule, and runs nothing.

    Firings that were missed meanwhile are not made up for. A job without a schedule is refused: `start` it instead.
    --all and -l LABEL mean those with a schedule.

    \b
    Exit codes:
      0  the schedules are armed
      1  a job was refused
      2  unknown job, or wrong usage; nothing was changed
      4  no program is reachable, or it does not answer

    \b
    Examples:
      taskloom resume backup
      taskloom resume --all
    """
    return _change("resume", lambda job: f"resumed; {_next_of(job)}", **options)


@click.command(short_help="Forget the failures of jobs, for when their cause is removed.")
@job_arguments
@all_option
@reason_option
@program_options
@output_option
@answers
def reset(**options: Any) -> int:
    """Forget the failures of each JOB: its restart delay, the restarts that count, and the marks of failure.

    A job that waits for its restart delay starts at once, and so does one that gave up. A run that is under way is not
    touched.

    \b
    Exit codes:
      0  the failures are forgotten
      1  a job was refused
      2  unknown job, or wrong usage; nothing was changed
      4  no program is reachable, or it does not answer

    \b
    Examples:
      taskloom reset web
      taskloom reset --all -o json
    """
    return _change("reset", lambda job: f"reset; {_state_of(job)}", **options)


def _change(
    verb: str,
    describe: Callable[[Fields], str],
    *,
    jobs: tuple[str, ...],
    labels: tuple[str, ...],
    wants_all: bool,
    reason: dict[str, str],
    output: str,
    **program: Any,
) -> int:
    require_jobs(verb, jobs, labels, wants_all=wants_all)
    connection, results = connect(**program), Results(output)
    chosen = choose_jobs(connection, jobs, labels)
    # For all jobs, or for those with a label, the verb means those that have a schedule.
    for acted in act(connection, verb, chosen, results, reason, passes_over={} if jobs else _PASSED_OVER):
        results.add(JobResult(acted.status.text("job"), verb, describe(acted.status), run=acted.run))
    return results.finish()


def _run_of(job: Fields) -> str:
    return "; its run goes on" if job.text("state") == "running" else ""


def _next_of(job: Fields) -> str:
    """Return when the schedule fires next."""
    at, now = read_instant(job.text("next_firing")), wall()
    return _state_of(job) if at is None else f"its next firing is in {until(at - now)}, at {local_time(at, now)}"


def _state_of(job: Fields) -> str:
    state, due = job.text("state") or "unknown", job.number("due_in")
    if state != "waiting":
        return state
    waits = job.text("waits_for") or job.text("waiting_for")
    return f"waiting for {waits}" + (f" ({duration(due, is_rounded=True)})" if due is not None else "")
