"""`taskloom stop`: stop jobs by their join policies, and wait for the end of their runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from taskloom.cli.control.acting import Results, act_and_wait
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
from taskloom.cli.control.run_waits import StopWait
from taskloom.cli.options import Seconds
from taskloom.clock import mono
from taskloom.control.reply_fields import Fields

__all__ = ["stop"]

_LEAST_SECONDS = 30.0
# The program needs this much beyond `within` to find out where the run is, and to say so.
_MARGIN_SECONDS = 5.0


@click.command(short_help="Stop jobs, and wait for the end of their runs.")
@job_arguments
@all_option
@click.option("--timeout", type=Seconds(allows_forever=True),
              help="How long to wait. [default: as long as the join policies allow, and at least 30s]")  # fmt: skip
@click.option("--no-wait", is_flag=True, help="Return at once.")
@program_options
@output_option
@answers
def stop(*, jobs: tuple[str, ...], labels: tuple[str, ...], wants_all: bool, timeout: float | None,
         no_wait: bool, output: str, **program: Any) -> int:  # fmt: skip
    """Stop each JOB by its join policy, and wait for the end of its run.

    JOB is a name, the name of a replicated job, or a pattern such as 'poll-*'. The job stays stopped: neither its
    schedule nor its restart policy starts it, until `start` or `resume`, or the next start of the program. A run that
    outlives its join policy goes on. With the stop of its last job the program ends.

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
    """
    begun = mono()
    require_jobs("stop", jobs, labels, wants_all=wants_all)
    connection = connect(**program)
    chosen = choose_jobs(connection, jobs, labels)
    deadline = begun + (_allowed(chosen) if timeout is None else timeout)
    return act_and_wait(
        connection, "stop", chosen, Results(output), deadline=deadline,
        wait_for=None if no_wait else lambda acted: StopWait(acted.before, acted.status, acted.seconds),
    )  # fmt: skip


def _allowed(chosen: Iterable[Fields]) -> float:
    """Return how long the join policies allow the stops to take, in seconds; `join: wait` counts as 30 s."""
    withins = (status.number("within") or 0.0 for status in chosen)
    return max(_LEAST_SECONDS, max(withins, default=0.0) + _MARGIN_SECONDS)
