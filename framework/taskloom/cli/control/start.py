"""`taskloom start` and `taskloom restart`: begin a run, and wait until it is ready or has ended."""

from __future__ import annotations

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
    reason_option,
    require_jobs,
    timeout_option,
)
from taskloom.cli.control.run_waits import RestartWait, StartWait
from taskloom.clock import mono

__all__ = ["restart", "start"]

_now = click.option("--now", is_flag=True, help="Do not wait for dependencies that are not met.")
_no_wait = click.option("--no-wait", is_flag=True, help="Return at once.")


@click.command(short_help="Start jobs, and wait until they are ready or have ended.")
@job_arguments
@all_option
@_now
@timeout_option()
@_no_wait
@reason_option
@program_options
@output_option
@answers
def start(*, jobs: tuple[str, ...], labels: tuple[str, ...], wants_all: bool, now: bool, timeout: float,
          no_wait: bool, reason: dict[str, str], output: str, **program: Any) -> int:  # fmt: skip
    """Start a run of each JOB now, and wait until it is ready or has ended.

    JOB is a name, the name of a replicated job, or a pattern such as 'poll-*'. A start ends a stop and a pending
    restart. For a job with a schedule it is one extra run. A job that is running already is refused, as is one whose
    dependencies are not met.

    \b
    Exit codes:
      0    every run is ready, or has succeeded
      1    a start was refused, a run failed, or it was not ready in time
      2    unknown job, or wrong usage; nothing was started
      4    no program is reachable, or it does not answer
      130  interrupted; what was started goes on

    \b
    Examples:
      taskloom start web
      taskloom start 'worker-*' -l nightly --timeout 2m
    """
    deadline = mono() + timeout
    require_jobs("start", jobs, labels, wants_all=wants_all)
    connection = connect(**program, until=deadline)
    chosen = choose_jobs(connection, jobs, labels)
    return act_and_wait(
        connection, "start", chosen, Results(output), body={"now": now, **reason}, deadline=deadline,
        wait_for=None if no_wait else lambda acted: StartWait(acted.run, acted.status, acted.seconds),
    )  # fmt: skip


@click.command(short_help="Stop jobs and start them again, and wait until they are ready.")
@job_arguments
@all_option
@_now
@timeout_option()
@_no_wait
@reason_option
@program_options
@output_option
@answers
def restart(*, jobs: tuple[str, ...], labels: tuple[str, ...], wants_all: bool, now: bool, timeout: float,
            no_wait: bool, reason: dict[str, str], output: str, **program: Any) -> int:  # fmt: skip
    """Stop the run of each JOB by its join policy, start another one, and wait until that is ready or has ended.

    JOB is a name, the name of a replicated job, or a pattern such as 'poll-*'. The new run waits for no delay and is
    not counted as a restart. A job without a run is started.

    \b
    Exit codes:
      0    every new run is ready, or has succeeded
      1    a restart was refused, a run failed, or it was not ready in time
      2    unknown job, or wrong usage; nothing was restarted
      3    an old run did not stop in time; it says where that is
      4    no program is reachable, or it does not answer
      130  interrupted; the restart goes on

    \b
    Examples:
      taskloom restart web
      taskloom restart -l gateway --timeout 1m -o json
    """
    deadline = mono() + timeout
    require_jobs("restart", jobs, labels, wants_all=wants_all)
    connection = connect(**program, until=deadline)
    chosen = choose_jobs(connection, jobs, labels)
    return act_and_wait(
        connection, "restart", chosen, Results(output), body={"now": now, **reason}, deadline=deadline,
        wait_for=None if no_wait else lambda acted: RestartWait(acted.before, acted.status, acted.seconds),
    )  # fmt: skip
