"""`taskloom wait`: wait until jobs are ready, or do not run by themselves any more."""

from __future__ import annotations

from typing import Any

import click

from taskloom.cli.control.acting import Results, wait_for_all
from taskloom.cli.control.common import (
    all_option,
    answers,
    choose_jobs,
    connect,
    job_arguments,
    output_option,
    program_options,
    require_jobs,
)
from taskloom.cli.control.state_waits import FinishedWait, ReadyWait
from taskloom.cli.options import Seconds
from taskloom.clock import mono

__all__ = ["wait"]


@click.command(short_help="Wait until jobs are ready, or have finished.")
@job_arguments
@all_option
@click.option("--for", "goal", type=click.Choice(["ready", "finished"]),
              help="ready: each job has a run that is ready, or has succeeded; finished: none runs by itself any "
                   "more.")  # fmt: skip
@click.option("--timeout", type=Seconds(allows_forever=True), default="30s", show_default=True,
              help="How long to wait, or forever.")  # fmt: skip
@program_options
@output_option
@answers
def wait(*, jobs: tuple[str, ...], labels: tuple[str, ...], wants_all: bool, goal: str | None, timeout: float,
         output: str, **program: Any) -> int:  # fmt: skip
    """Wait until each JOB is ready or has finished. Nothing is started or stopped.

    A job has finished when it does not run by itself any more: no run, firing or restart follows. That includes a job
    that is started by hand only, and one that a user has stopped.

    \b
    Exit codes:
      0    each job is where it should be
      1    a job failed or was skipped, or was not there in time
      2    unknown job, or wrong usage
      3    a job is still stopping at the deadline
      4    no program is reachable, or it does not answer
      130  interrupted

    \b
    Examples:
      taskloom wait database web --for ready
      taskloom wait migrate --for finished --timeout 10m
    """
    if goal is None:
        raise click.UsageError("cannot wait without a goal; expected --for ready or --for finished")
    deadline = mono() + timeout
    require_jobs("wait", jobs, labels, wants_all=wants_all)
    connection = connect(**program, until=deadline)
    # Before the statuses: what happens after this event is either in a status, or in the stream, or in both.
    begun = connection.fields(connection.get("/v1/program"))
    chosen = choose_jobs(connection, jobs, labels)
    waits = [ReadyWait(status) if goal == "ready" else FinishedWait(status) for status in chosen]
    since = f"{begun.text('start')}.{begun.count('seq')}"
    return wait_for_all(connection, "wait", waits, Results(output), since=since, deadline=deadline)
