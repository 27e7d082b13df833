"""`taskloom stop`: stop jobs by their join policies, and wait for the end of their runs."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Any

import click

from taskloom.cli.control.acting import Results, act_and_wait
from taskloom.cli.control.common import (
    ControlExit,
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
from taskloom.cli.control.follow_waits import END_SECONDS, is_gone
from taskloom.cli.control.run_waits import StopWait
from taskloom.cli.control.state_waits import runs_by_itself
from taskloom.cli.echo import echo_error
from taskloom.cli.options import Seconds
from taskloom.clock import mono
from taskloom.control.client import Connection, ControlError, NoAnswer, NoProgram
from taskloom.control.client_errors import ConnectionLost
from taskloom.control.reply_fields import Fields
from taskloom.text import printable

__all__ = ["stop"]

_LEAST_SECONDS = 30.0
# The program needs this much beyond `within` to find out where the run is, and to say so.
_MARGIN_SECONDS = 5.0
_OVER = frozenset({"finished", "skipped", "disabled"})
# The statuses of more jobs take a while.
_MOST_JOBS = 2000


@click.command(short_help="Stop jobs, and wait for the end of their runs.")
@job_arguments
@all_option
@click.option("--timeout", type=Seconds(allows_forever=True),
              help="How long to wait. [default: as long as the join policies allow, and at least 30s]")  # fmt: skip
@click.option("--no-wait", is_flag=True, help="Return at once.")
@reason_option
@program_options
@output_option
@answers
def stop(*, jobs: tuple[str, ...], labels: tuple[str, ...], wants_all: bool, timeout: float | None,
         no_wait: bool, reason: dict[str, str], output: str, **program: Any) -> int:  # fmt: skip
    """Stop each JOB by its join policy, and wait for the end of its run.

    JOB is a name, the name of a replicated job, or a pattern such as 'poll-*'. The job stays stopped: neither its
    schedule nor its restart policy starts it, until `start` or `resume`, or the next start of the program. A run that
    outlives its join policy goes on, and so does the program. If no job is left that runs by itself, the program ends.

    \b
    Exit codes:
      0    no run of these jobs is alive any more
      1    a stop was refused
      2    unknown job, or wrong usage; nothing was stopped
      3    a run is still stopping at the deadline; it says where that is
      4    no program is reachable, or it does not answer
      130  interrupted; the stop goes on

    \b
    Examples:
      taskloom stop web
      taskloom stop --all --timeout 1m
      taskloom stop upload --reason 'the disk is full'
    """
    begun = mono()
    require_jobs("stop", jobs, labels, wants_all=wants_all)
    connection = connect(**program, until=inf if timeout is None else begun + timeout)
    chosen = choose_jobs(connection, jobs, labels)
    deadline = begun + (_allowed(chosen) if timeout is None else timeout)
    code = act_and_wait(
        connection, "stop", chosen, Results(output), body=reason, deadline=deadline,
        wait_for=None if no_wait else lambda acted: StopWait(acted.before, acted.status, acted.seconds),
    )  # fmt: skip
    if code == ControlExit.DONE and not no_wait and _ends(connection) and is_gone(connection, END_SECONDS):
        echo_error(printable(f"taskloom: {connection.who} has ended: no job is left that keeps it running"))
    return code


def _ends(connection: Connection) -> bool:
    """Return whether the program ends, or has ended, because the jobs are over that keep it running."""
    try:
        program = connection.fields(connection.get("/v1/program"))
        if program.text("state") == "stopped":
            return True
        jobs = program.object("jobs")
        if not program.texts("paths"):
            return False  # a host program goes on without jobs
        if {state for state, count in jobs.counts("by_state") if count} <= _OVER:
            return True
        if jobs.count("total") > _MOST_JOBS:
            return False
        return not any(runs_by_itself(job) and not job.flag("daemon") for job in choose_jobs(connection))
    except (NoProgram, NoAnswer, ConnectionLost):
        return True
    except ControlError:
        return False


def _allowed(chosen: Iterable[Fields]) -> float:
    """Return how long the join policies allow the stops to take, in seconds; `join: wait` counts as 30 s."""
    withins = (status.number("within") or 0.0 for status in chosen)
    return max(_LEAST_SECONDS, max(withins, default=0.0) + _MARGIN_SECONDS)
