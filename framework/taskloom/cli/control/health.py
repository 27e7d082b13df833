"""`taskloom health`: whether a running program lives, or is ready; for the probes of containers and scripts."""

from __future__ import annotations

import click

from taskloom.cli.control.common import ControlExit, answers, connect, output_option, program_options
from taskloom.cli.echo import echo, echo_error, echo_json
from taskloom.control.liveness import LATE_SECONDS
from taskloom.control.reply_fields import Fields
from taskloom.text import duration, printable

__all__ = ["health"]


@click.command(short_help="Report whether a running program lives, or is ready.")
@click.option("--ready", is_flag=True, help="Also require that the program is ready.")
@program_options
@output_option
@answers
def health(ready: bool, name: str | None, socket: str | None, output: str) -> int:
    """Report whether a running program lives: its scheduler does its work, whatever its jobs do.

    With --ready it also has to be ready: each job that starts with the program, without a delay and a schedule, has
    been ready, has ended or has failed once, or waits for another job; and the program is not being stopped.

    \b
    Exit codes:
      0  it lives, and with --ready it is ready
      1  it is not ready, or its scheduler is late by more than 10 seconds
      2  the command line cannot be used
      4  no program is reachable, or it does not answer

    \b
    Examples:
      taskloom health
      taskloom health --ready --name jobs -o json
    """
    connection = connect(name, socket)
    found = connection.fields(connection.get("/v1/health"))
    is_well = found.flag("live") and (found.flag("ready") or not ready)
    if output == "json":
        echo_json({**found.data, "ok": is_well})
    elif is_well:
        echo("ready" if ready else "live")
    else:
        echo_error(f"taskloom: {printable(_why_not(found))}")
    return ControlExit.DONE if is_well else ControlExit.FAILED


def _why_not(found: Fields) -> str:
    if found.flag("live"):
        return f"not ready: {found.text('text')}"
    return f"{found.text('text')}; expected an answer within {duration(LATE_SECONDS)}"
