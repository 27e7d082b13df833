"""`taskloom stack`: where the runs of jobs are, with their stacks."""

from __future__ import annotations

import re
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
from taskloom.cli.echo import echo, echo_error, echo_json, echo_styled
from taskloom.control.client import Connection
from taskloom.control.reply_fields import Fields
from taskloom.observe.terminal import has_styles
from taskloom.text import measured, printable, printable_lines

__all__ = ["stack"]

_BOLD, _PLAIN = "\033[1m", "\033[0m"
# The standard library, and Taskloom itself, as a traceback names their files.
_FOREIGN = re.compile(
    r'File "(<frozen |[^"]*/lib(64)?/python3[^/"]*/(?!(site|dist)-packages/)'
    r'|[^"]*/((site|dist)-packages|framework)/taskloom/)'
)
_FRAME = re.compile(r'\s*File "')


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
    age = run.number("poll_age")
    polled = "" if age is None else f", last poll {measured(age)} ago"
    worker = f" of worker {run.text('worker')} on {run.text('host')}" if run.has("host") else ""
    process = f", in process {run.count('pid')}{worker} (runner: {run.text('runner')})" if run.has("pid") else ""
    where = run.text("where") or "an unknown place"
    head = printable(f"{run.text('run') or run.text('job')}: at {where}{polled}{process}")
    return [f"{_BOLD}{head}{_PLAIN}" if is_styled else head, *_marked(run.text("text"), is_styled=is_styled)]


def _marked(text: str, *, is_styled: bool) -> list[str]:
    """Return the lines of a stack, with a mark before those of frames that belong to a task."""
    lines, is_own = [], False
    for line in printable_lines(text.rstrip("\n")).split("\n") if text.strip() else []:
        is_frame = _FRAME.match(line) is not None
        if is_frame:
            is_own = _FOREIGN.search(line) is None
        marked = f"{'>' if is_own and is_frame else ' '} {line}"
        lines.append(f"{_BOLD}{marked}{_PLAIN}" if is_own and is_styled else marked)
    return lines
