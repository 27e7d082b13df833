"""`taskloom why`: one paragraph for each job that answers why it is, or is not, running."""

from __future__ import annotations

import sys
import textwrap

import click

from taskloom.cli.control.common import (
    ControlExit,
    answers,
    choose_jobs,
    connect,
    job_arguments,
    output_option,
    program_options,
)
from taskloom.cli.echo import echo, echo_json
from taskloom.control.client import job_path
from taskloom.observe.terminal import is_terminal, width

__all__ = ["why"]


@click.command(short_help="Explain why jobs are, or are not, running.")
@job_arguments
@program_options
@output_option
@answers
def why(jobs: tuple[str, ...], labels: tuple[str, ...], name: str | None, socket: str | None, output: str) -> int:
    """Explain why a job is, or is not, running, and what a stop would do.

    There is one paragraph for each job. It follows dependencies to the root cause: if web waits for api, and api for
    db, it tells why db is not ready. Each JOB is a name, a declared name with all its replicas, or a glob such as
    'web*'. With -o json the facts are there as well.

    \b
    Exit codes:
      0  done
      1  the program refused it
      2  the command line cannot be used, such as an unknown job
      4  no program is reachable, or it does not answer

    \b
    Examples:
      taskloom why web
      taskloom why -l nightly -o json
    """
    if not (jobs or labels):
        raise click.UsageError("cannot explain without a job; expected JOB... or -l LABEL")
    connection = connect(name, socket)
    names = [each.text("job") for each in choose_jobs(connection, jobs, labels)]
    found = [connection.get(job_path(name, "why")) for name in names]
    if output == "json":
        echo_json({"jobs": [{key: each.get(key) for key in ("job", "text", "facts")} for each in found]})
        return ControlExit.DONE
    columns = width() if is_terminal(sys.stdout) else None
    echo("\n\n".join(_wrapped(connection.fields(each).text("text"), columns) for each in found))
    return ControlExit.DONE


def _wrapped(text: str, columns: int | None) -> str:
    """Return the paragraph in lines of the terminal; on one line for a file or a pipe, where programs read it."""
    if columns is None:
        return text
    return textwrap.fill(text, columns, break_long_words=False, break_on_hyphens=False)
