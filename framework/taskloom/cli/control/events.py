"""`taskloom events`: what has happened in a running program, and with `-f` what happens."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from taskloom.cli.control.common import (
    ControlExit,
    JobFilter,
    answers,
    connect,
    filter_jobs,
    job_arguments,
    line_shape,
    output_option,
    program_options,
)
from taskloom.cli.control.follow_text import follow_quietly
from taskloom.cli.control.instants import Since
from taskloom.cli.echo import echo, echo_error, echo_styled
from taskloom.control.client import Connection
from taskloom.control.reply_fields import Fields
from taskloom.observe.terminal import has_styles, is_terminal
from taskloom.text import to_json

__all__ = ["events"]

_MOST_EVENTS = 10_000
Show = Callable[[Fields], None]


@click.command(short_help="Show what has happened in a running program.")
@job_arguments
@click.option("-f", "--follow", is_flag=True, help="Go on, until Ctrl-C or the program's end.")
@click.option("--since", type=Since(), metavar="WHEN",
              help="Begin there: a duration ago such as 10m, an instant, or after the id of an event.")  # fmt: skip
@click.option("-n", "--lines", "count", type=click.IntRange(0, _MOST_EVENTS),
              help="How many of the last events to show. [default: 100, or all of them with --since]")  # fmt: skip
@program_options
@output_option
@answers
def events(  # noqa: PLR0917 - click passes them by name
    jobs: tuple[str, ...],
    labels: tuple[str, ...],
    follow: bool,
    since: str | None,
    count: int | None,
    name: str | None,
    socket: str | None,
    output: str,
) -> int:
    """Show the last events of a running program: starts, ends, restarts, missed firings and so on.

    Each JOB is a name or a glob, such as 'web*'; without one all events are shown. With -o json each is a JSON object
    on a line of its own.

    \b
    Exit codes:
      0    done; with --follow: the program has ended
      1    the program refused it
      2    the command line cannot be used, such as an unknown job
      4    no program is reachable, or it does not answer
      130  with --follow: interrupted

    \b
    Examples:
      taskloom events --since 10m
      taskloom events -f 'web*' -o json
    """
    if follow and since is not None and count is not None:
        raise click.UsageError("cannot use --lines with both --follow and --since; expected one of these")
    connection = connect(name, socket)
    wanted = filter_jobs(connection, jobs, labels)
    show = _show_json if output == "json" else _shower()
    if count is None:
        count = 100 if since is None else _MOST_EVENTS
    if follow:
        limit = None if since is not None else count
        with connection.follow("/v1/events", since=since, job=wanted.query, count=limit) as stream:
            for event in follow_quietly(stream, "events", yields_gaps=output == "json"):
                if event.event == "gap":
                    show(connection.fields({"event": "gap", **event.data}))
                elif wanted.wants(str(event.data.get("job"))):
                    show(connection.fields(event.data))
                sys.stdout.flush()
        return ControlExit.DONE
    # The program does not know which of its events are left out here.
    asked = _MOST_EVENTS if since is not None or wanted.names is not None else max(1, count)
    found = _page(connection, wanted, since, asked)
    for each in found[max(0, len(found) - count) :]:
        show(each)
    return ControlExit.DONE


def _page(connection: Connection, wanted: JobFilter, since: str | None, asked: int) -> list[Fields]:
    """Return the wanted events that the program keeps."""
    answer = connection.fields(connection.get("/v1/events", since=since, job=wanted.query, count=asked))
    if answer.flag("gap"):
        echo_error("taskloom: the first events are missing: they are no longer kept, or the program was restarted")
    return [each for each in answer.objects("events") if wanted.wants(each.text("job"))]


def _show_json(fields: Fields) -> None:
    echo(to_json(fields.data))


def _shower() -> Show:
    """Return what writes the lines of an event. The words of the log take a while to import, and JSON needs none."""
    from taskloom.cli.control.event_lines import EventLines
    from taskloom.observe.log_format import LogFormat
    from taskloom.observe.name_column import NameColumn

    is_styled = has_styles(sys.stdout)
    lines = EventLines(
        LogFormat.SHORT if is_terminal(sys.stdout) else LogFormat.FULL, NameColumn(*line_shape()), is_colored=is_styled
    )

    def show(fields: Fields) -> None:
        text = lines.render(fields)
        if is_styled:
            echo_styled(text)
        else:
            echo(text.removesuffix("\n"))

    return show
