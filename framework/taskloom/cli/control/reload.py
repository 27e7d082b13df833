"""`taskloom reload`: let a running program read its job files again, or show what that would change."""

from __future__ import annotations

from typing import Any

import click

from taskloom.cli.control.common import ControlExit, answers, connect, output_option, program_options
from taskloom.cli.echo import echo, echo_error, echo_json
from taskloom.cli.options import Seconds
from taskloom.control.client import Refused
from taskloom.control.reply_fields import Fields
from taskloom.text import printable, table

__all__ = ["reload"]

_UNPROCESSABLE = 422
_UNTOUCHED = "keep"


@click.command(short_help="Read the job files again, and apply all changes or none.")
@click.option("--preview", is_flag=True, help="Show what would change for each job, and change nothing.")
@click.option("--timeout", type=Seconds(), default="1m", show_default=True,
              help="How long to wait for the files to be read.")  # fmt: skip
@program_options
@output_option
@answers
def reload(*, preview: bool, timeout: float, output: str, **program: Any) -> int:
    """Let the program read its job files again, and apply all changes, or none if a file has an error.

    The problems are shown as `taskloom validate` shows them. Jobs that have not changed keep their runs. A job that a
    user has stopped or paused stays so.

    \b
    Exit codes:
      0  applied, or shown
      1  a file has an error, or the program is stopping
      2  wrong usage
      4  no program is reachable, or it does not answer

    \b
    Examples:
      taskloom reload --preview
      taskloom reload --name gateway
    """
    connection = connect(**program)
    try:
        answer = connection.fields(connection.post("/v1/reload", {"preview": preview}, timeout=timeout))
    except Refused as refusal:
        if refusal.status != _UNPROCESSABLE:
            raise
        _show_problems(connection.fields(refusal.body), refusal, output)
        return ControlExit.FAILED
    if output == "json":
        echo_json(answer.data)
    else:
        _show_changes(answer, is_preview=preview)
    return ControlExit.DONE


def _show_problems(body: Fields, refusal: Refused, output: str) -> None:
    if output == "json":
        echo_json(body.data)
        return
    text = body.text("text")
    if text:
        echo_error(text)
    echo_error(printable(f"taskloom: {refusal.message}"))


def _show_changes(answer: Fields, *, is_preview: bool) -> None:
    if answer.text("text"):
        echo_error(answer.text("text"))  # the warnings, as `validate` shows them
    rows = [
        (change.text("job"), change.text("action"), ", ".join(change.texts("fields")))
        for change in answer.objects("changes")
        if change.text("action") != _UNTOUCHED
    ]
    if rows:
        echo(table([("JOB", "CHANGE", "FIELDS"), *rows]))
    what = "nothing is changed yet" if is_preview else "reloaded"
    echo(printable(f"{what}: {answer.text('sum')}"))
