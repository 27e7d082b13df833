"""`taskloom logs`: the last lines of jobs of a running program, and with `-f` those that come."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from math import inf
from typing import Any

import click

from taskloom.cli.completion.known_names import complete_failed_runs, complete_paths
from taskloom.cli.control.common import (
    ControlExit,
    JobFilter,
    answers,
    connect,
    explain,
    filter_jobs,
    job_arguments,
    line_shape,
    output_option,
    program_options,
)
from taskloom.cli.control.follow_text import follow_quietly
from taskloom.cli.control.instants import Since, read_instant
from taskloom.cli.echo import echo, echo_error, echo_styled
from taskloom.control.client import Connection, NoProgram
from taskloom.control.exchange import ServerSentEvent
from taskloom.control.reply_fields import Fields
from taskloom.diagnostics import quoted
from taskloom.observe.terminal import has_styles, is_terminal
from taskloom.text import to_json

__all__ = ["logs"]

_LINES, _MOST_LINES = 100, 10_000
Show = Callable[[Fields], None]
Matches = Callable[[Fields], bool]


class _Regex(click.ParamType[re.Pattern[str]]):
    """A regular expression. It is matched here, not in the program: one that takes for ever would stop its jobs."""

    name = "regex"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> re.Pattern[str]:
        """Return the compiled expression."""
        if isinstance(value, re.Pattern):
            return value
        try:
            return re.compile(str(value))
        except (re.error, RecursionError, OverflowError) as error:
            self.fail(f"cannot use {quoted(value)} as a regular expression: {error}", param, ctx)


def _points_to_files(function: Callable[..., int]) -> Callable[..., int]:
    """Without a program, also say where the lines of earlier ones are, if that is known."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> int:
        try:
            return function(*args, **kwargs)
        except NoProgram as error:
            code = explain(error)
        folder = os.environ.get("TASKLOOM_LOG_DIR")
        if folder and os.path.isdir(folder):  # noqa: PTH112 - as text, as the variable has it
            echo_error(f"taskloom: `taskloom logs --log-dir {shlex.quote(folder)}` shows the lines of earlier programs")
        return code

    return call


@click.command(short_help="Show the last log lines and prints of jobs.")
@job_arguments
@click.option("-f", "--follow", is_flag=True, help="Go on, until Ctrl-C or the program's end.")
@click.option("-n", "--lines", "count", type=click.IntRange(0, _MOST_LINES),
              help="How many of the last lines to show. [default: 100, or all of them with --since]")  # fmt: skip
@click.option("--since", type=Since(), metavar="WHEN",
              help="Begin there: a duration ago such as 10m, an instant, or after the id of a line.")  # fmt: skip
@click.option("--grep", type=_Regex(), metavar="REGEX", help="Only lines in which this regular expression is found.")
@click.option("--log-dir", "folder", metavar="PATH", type=click.Path(), shell_complete=complete_paths,
              help="Read the files that `run --log-dir PATH` has written; no program needs to run.")  # fmt: skip
@click.option("--run", "run", metavar="ID", shell_complete=complete_failed_runs,
              help="The last lines of this run, from the history: such as tick#3, or tick#3@START; no program needs to "
                   "run.")  # fmt: skip
@click.option("--history", "database", metavar="PATH|URL", envvar="TASKLOOM_HISTORY", shell_complete=complete_paths,
              help="With --run: the database of the history, if it is not found by itself.")  # fmt: skip
@program_options
@output_option
@answers
@_points_to_files
def logs(  # noqa: PLR0917 - click passes them by name
    jobs: tuple[str, ...],
    labels: tuple[str, ...],
    follow: bool,
    count: int | None,
    since: str | None,
    grep: re.Pattern[str] | None,
    folder: str | None,
    run: str | None,
    database: str | None,
    name: str | None,
    socket: str | None,
    output: str,
) -> int:
    """Show the last lines that jobs of a running program have logged or printed.

    Each JOB is a name or a glob, such as 'web*'; without one the lines of all jobs and of the program are shown. The
    program keeps some megabytes of lines in memory; if there may be older ones, it says from when on it has lines.
    With -o json each line is a JSON object.

    With --log-dir the lines are read from log files, also those of earlier programs. With --run they are those of one
    run, from the history: the last 64 KiB of each run that did not succeed.

    \b
    Exit codes:
      0    done; with --follow: the program has ended
      1    the program refused it
      2    the command line cannot be used, such as an unknown job or run
      4    no program is reachable, or it does not answer; with --run: no history
      130  with --follow: interrupted

    \b
    Examples:
      taskloom logs web -n 20
      taskloom logs -f 'web*' --grep 'timeout|refused'
      taskloom logs --since 10m -o json
      taskloom logs web --log-dir /var/log/jobs
      taskloom logs --run backup#7
    """
    if run is not None:
        _refuse_with_run(jobs=bool(jobs), label=bool(labels), follow=follow, since=since is not None,
                         log_dir=folder is not None, socket=socket is not None)  # fmt: skip
        from taskloom.cli.history.run_log import show_log_of_run

        return show_log_of_run(run, count=count, grep=grep, name=name, path=None, database=database,
                               wants_json=output == "json")  # fmt: skip
    if follow and since is not None and count is not None:
        raise click.UsageError("cannot use --lines with both --follow and --since; expected one of these")
    is_one = len(jobs) == 1 and not labels and not any(mark in jobs[0] for mark in "*?[")
    show = _show_json if output == "json" else _shower(is_one=is_one)
    if folder is not None:
        _refuse_with_folder(follow=follow, label=bool(labels), name=name is not None, socket=socket is not None)
        for line in _of_files(folder, jobs, count, since, grep):
            show(line)
        return ControlExit.DONE
    connection = connect(name, socket)
    wanted = filter_jobs(connection, jobs, labels)

    def matches(line: Fields) -> bool:
        return wanted.wants(line.text("job")) and (grep is None or grep.search(line.text("text")) is not None)

    if count is None and since is None:
        count = _LINES
    # Lines that are chosen here are asked for together: of those that do not match, none counts.
    is_filtered = grep is not None or wanted.names is not None
    if follow and count and is_filtered:
        start = connection.fields(connection.get("/v1")).text("start")
        answer = _lines(connection, wanted, None, _MOST_LINES)
        for line in _last(answer, matches, count):
            show(line)
        newest = max((line.count("seq") for line in answer.objects("lines")), default=0)
        since, count = f"{start}.{newest}", None
    if follow:
        with connection.follow("/v1/logs", since=since, job=wanted.query, lines=count) as stream:
            events = follow_quietly(stream, "lines", yields_gaps=output == "json", in_order=True)
            _follow(connection, events, matches, show)
        return ControlExit.DONE
    answer = _lines(connection, wanted, since, _MOST_LINES if is_filtered or count is None else count)
    shown = _last(answer, matches, count)
    for line in shown:
        show(line)
    _tell_beginning(answer, shown, since, count)
    return ControlExit.DONE


# Option -> the parameter that click has for it.
_PARAMETERS = {"label": "labels", "log_dir": "folder"}


def _given_options(given: Mapping[str, bool]) -> Iterator[str]:
    """Yield the options of these that are on the command line: a variable of the environment is none."""
    context = click.get_current_context()
    for option, is_given in given.items():
        source = context.get_parameter_source(_PARAMETERS.get(option, option))
        if is_given and source is click.core.ParameterSource.COMMANDLINE:
            yield "JOB" if option == "jobs" else f"--{option.replace('_', '-')}"


def _refuse_with_folder(**given: bool) -> None:
    """Raise UsageError for an option that needs a program."""
    for option in _given_options(given):
        raise click.UsageError(f"cannot use {option} with --log-dir: it needs a running program")


def _refuse_with_run(**given: bool) -> None:
    """Raise UsageError for an option that is about other lines than those of one run."""
    for option in _given_options(given):
        raise click.UsageError(f"cannot use {option} with --run: the lines are those of one run in the history")


def _of_files(
    folder: str, jobs: Sequence[str], count: int | None, since: str | None, grep: re.Pattern[str] | None
) -> list[Fields]:
    """Return the lines of log files; say so if there are none."""
    from taskloom.cli.control.log_folder_lines import lines_of_folder

    begin = -inf if since is None else read_instant(since)
    if begin is None:
        raise click.UsageError(f"cannot use {quoted(since)} with --log-dir; expected a duration or an instant")
    most = (_LINES if since is None else _MOST_LINES) if count is None else count

    def matches(line: Fields) -> bool:
        return grep is None or grep.search(line.text("text")) is not None

    found = lines_of_folder(folder, jobs, matches, most, begin) if most else []
    if most and not found:
        echo_error(f"taskloom: there are no such lines in the log files in {folder!r}")
    return found


def _follow(connection: Connection, events: Iterable[ServerSentEvent], matches: Matches, show: Show) -> None:
    """Show the lines that come, and the gaps between them, until the program ends."""
    for event in events:
        line = connection.fields(event.data)
        if event.event == "gap":
            show(connection.fields({"event": "gap", **event.data}))
        elif matches(line):
            show(line)
        sys.stdout.flush()


def _lines(connection: Connection, wanted: JobFilter, since: str | None, asked: int) -> Fields:
    """Return the answer with the last `asked` lines."""
    return connection.fields(connection.get("/v1/logs", since=since, job=wanted.query, lines=asked))


def _last(answer: Fields, matches: Matches, count: int | None) -> list[Fields]:
    """Return the last `count` lines that match (None: all of them), in the order of their times."""
    found = [line for line in answer.objects("lines") if matches(line)]
    shown = found if count is None else found[max(0, len(found) - count) :]
    return sorted(shown, key=lambda line: line.text("at"))


def _tell_beginning(answer: Fields, shown: Sequence[Fields], since: str | None, count: int | None) -> None:
    """Say from when on the program has lines, if fewer are shown than were asked for, or an older time was asked."""
    begun = answer.text("from")
    if not begun:
        echo_error("taskloom: the program has no lines of these jobs yet")
        return
    asked, first = read_instant(since or ""), read_instant(begun)
    is_older = since is not None and (asked is None or first is None or asked < first)
    if is_older or (count is not None and len(shown) < count):
        echo_error(f"taskloom: the program has lines from {begun} on")


def _show_json(fields: Fields) -> None:
    echo(to_json(fields.data))


def _shower(*, is_one: bool) -> Show:
    from taskloom.cli.control.log_lines import LogLines
    from taskloom.observe.log_format import LogFormat
    from taskloom.observe.name_column import NameColumn

    is_styled = has_styles(sys.stdout)
    log_format = LogFormat.SHORT if is_terminal(sys.stdout) else LogFormat.FULL
    lines = LogLines(log_format, None if is_one else NameColumn(*line_shape()), is_colored=is_styled)

    def show(fields: Fields) -> None:
        text = lines.render(fields)
        if is_styled:
            echo_styled(text)
        else:
            echo(text.removesuffix("\n"))

    return show
