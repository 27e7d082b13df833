"""`taskloom status`: the jobs of a running program."""

from __future__ import annotations

from collections.abc import Sequence

import click

from taskloom.cli.control.common import (
    ControlExit,
    answers,
    connect,
    job_arguments,
    line_shape,
    output_option,
    program_options,
)
from taskloom.cli.control.job_table import wrong_jobs
from taskloom.cli.control.shown_status import read_status, show_lines
from taskloom.cli.echo import echo_error, echo_json
from taskloom.control.reply_fields import Fields
from taskloom.text import first_of, plural

__all__ = ["status"]

_MOST_NAMED = 5


@click.command(short_help="Show the jobs of a running program.")
@job_arguments
@click.option("-w", "--watch", is_flag=True, help="Go on, and show each change, until Ctrl-C or the program's end.")
@click.option("--check", is_flag=True, help="Exit with 1 if something is wrong with a job.")
@program_options
@output_option
@answers
def status(  # noqa: PLR0917 - click passes them by name
    jobs: tuple[str, ...],
    labels: tuple[str, ...],
    watch: bool,
    check: bool,
    name: str | None,
    socket: str | None,
    output: str,
) -> int:
    """Show the jobs of a running program: their states, what they wait for, and when they run next.

    Each JOB is a name or a glob, such as 'web*'; without one all jobs are shown.

    \b
    Exit codes:
      0    done
      1    with --check: something is wrong with a job
      2    the command line cannot be used, such as an unknown job
      4    no program is reachable, or it does not answer
      130  with --watch: interrupted

    \b
    Examples:
      taskloom status
      taskloom status --check 'web*' -l nightly
    """
    if watch and check:
        raise click.UsageError("cannot use both --watch and --check; expected one of them")
    connection = connect(name, socket)
    if watch:
        from taskloom.cli.control.watch import watch_status

        return watch_status(connection, jobs, labels, wants_json=output == "json")
    shown = read_status(connection, jobs, labels)
    if output == "json":
        echo_json(shown.as_data())
    else:
        show_lines(shown.as_lines(*line_shape()))
    return _check(shown.jobs) if check else ControlExit.DONE


def _check(jobs: Sequence[Fields]) -> ControlExit:
    wrong = wrong_jobs(jobs)
    if not wrong:
        return ControlExit.DONE
    needs = "needs" if len(wrong) == 1 else "need"
    echo_error(f"taskloom: {plural(len(wrong), 'job')} {needs} attention: {first_of(wrong, _MOST_NAMED)}")
    return ControlExit.FAILED
