"""`taskloom stack`: where the runs of jobs are, with their stacks."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from taskloom.cli.control.common import (
    ControlExit,
    answers,
    choose_jobs,
    connect,
    filter_jobs,
    job_arguments,
    output_option,
    program_options,
)
from taskloom.cli.control.job_table import state_text
from taskloom.cli.control.stack_frames import marked_frames, stack_head
from taskloom.cli.echo import echo, echo_error, echo_json, echo_styled
from taskloom.control.client import Connection
from taskloom.control.reply_fields import Fields
from taskloom.observe.terminal import has_styles
from taskloom.text import printable

__all__ = ["stack"]

_BOLD, _PLAIN = "\033[1m", "\033[0m"


@click.command(short_help="Show where the runs of jobs are, with their stacks.")
@job_arguments
@program_options
@output_option
@answers
def stack(jobs: tuple[str, ...], labels: tuple[str, ...], name: str | None, socket: str | None, output: str) -> int:
    """Show where the run of each job currently is, and its stack, innermost call last.

    Each JOB is a name or a glob, such as 'web*'; without one all runs are shown. Frames of your own code are marked
    with >. A run in a process shows the stacks of its own threads. Of a command, which is not Python, its processes are
    shown, each with its state and the function of the kernel in which it waits.

    \b
    Exit codes:
      0  done
      1  the program refused it
      2  the command line cannot be used, such as an unknown job
      4  no program is reachable, or it does not answer

    \b
    Examples:
      taskloom stack web
      taskloom stack -l nightly -o json
    """
    connection = connect(name, socket)
    wanted = filter_jobs(connection, jobs, labels)
    answer = connection.get("/v1/stacks", job=wanted.query)
    stacks = [each for each in connection.fields(answer).objects("stacks") if wanted.wants(each.text("job"))]
    if output == "json":
        echo_json({"stacks": [each.data for each in stacks]})
    elif not stacks:
        _tell_none(connection, jobs, labels)
    else:
        is_styled = has_styles(sys.stdout)
        text = "\n\n".join("\n".join(_lines(each, is_styled=is_styled)) for each in stacks)
        if is_styled:
            echo_styled(text)
        else:
            echo(text)
    return ControlExit.DONE


def _tell_none(connection: Connection, jobs: Sequence[str], labels: Sequence[str]) -> None:
    """Say that there is no stack, and of a single job why."""
    chosen = choose_jobs(connection, jobs, labels) if jobs or labels else []
    if len(chosen) == 1:
        name, state = chosen[0].text("job"), state_text(chosen[0])
        echo_error(printable(f"taskloom: {name} has no run ({state}); `taskloom why {name}` says more"))
    else:
        echo_error("taskloom: none of these jobs is running" if jobs or labels else "taskloom: no job is running")


def _lines(run: Fields, *, is_styled: bool) -> list[str]:
    head = stack_head(run)
    frames = marked_frames(run.text("text"))
    if not is_styled:
        return [head, *(each.text for each in frames)]
    return [f"{_BOLD}{head}{_PLAIN}", *(f"{_BOLD}{each.text}{_PLAIN}" if each.is_own else each.text for each in frames)]
