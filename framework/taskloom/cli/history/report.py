"""`taskloom report`: how a start of the program ended, as the end of `taskloom run` showed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from taskloom.cli.completion.known_names import complete_starts
from taskloom.cli.control.common import ControlExit, line_shape, output_option
from taskloom.cli.control.shown_status import show_lines
from taskloom.cli.echo import echo, echo_error, echo_json
from taskloom.cli.history.choosing import NotInHistory
from taskloom.cli.history.chosen import Chosen, chosen_history
from taskloom.cli.history.common import history_options, reads_history
from taskloom.cli.history.row_tables import Shape, run_lines
from taskloom.cli.history.row_texts import how_text, time_text
from taskloom.clock import wall
from taskloom.diagnostics import near_match, quoted
from taskloom.history.read_rows import RunEntry, StartEntry, object_of
from taskloom.text import duration, first_of, plural, printable, suggest

__all__ = ["report"]

_MOST_NAMED = 5


@click.command(short_help="Show again how the program ended, or that it was killed.")
@click.argument("start", required=False, metavar="[START]", shell_complete=complete_starts)
@history_options
@output_option
@reads_history
def report(start: str | None, name: str | None, path: str | None, database: str | None, output: str) -> int:
    """Show how the program ended: the table of its jobs, the runs that were killed, and those that did not stop.

    It is the summary that `taskloom run` showed at its end. START is the id of a start, or its beginning, as `taskloom
    history --starts` shows it; without one it is the last start that is over. If the program was killed there is no
    summary; then the runs are shown that were alive.

    \b
    Exit codes:
      0  done, also if the program was killed
      1  the report cannot be shown
      2  the command line cannot be used, such as an unknown start, or several histories and none named
      4  there is no history, or it cannot be read

    \b
    Examples:
      taskloom report
      taskloom report 1f0c2a9b
      taskloom report -o json
    """
    with chosen_history(name=name, path=path, database=database) as chosen:
        meant = _meant(chosen, start)
        data = object_of(chosen.reader.report(meant))
        alive = [] if data else chosen.reader.alive_runs(meant)
    if output == "json":
        echo_json(
            {
                "program": chosen.name,
                "history": chosen.where,
                "start": meant.as_dict(),
                "report": data or None,
                "alive": [run.as_dict() for run in alive],
            }
        )
        return ControlExit.DONE
    echo_error(printable(f"taskloom: {_head(chosen.name, meant, wall())}"))
    if data:
        return _show_report(data)
    _show_alive(meant, alive)
    return ControlExit.DONE


def _meant(chosen: Chosen, wanted: str | None) -> StartEntry:
    """Return the start that is meant. Raises NotInHistory if there is none, or if there are several."""
    starts = chosen.starts
    if wanted is None:
        over = [each for each in starts if each.how != "running"]
        if over:
            return over[-1]
        running = "; the program is running" if starts else ""
        raise NotInHistory(f"cannot find a start of {chosen.name!r} that is over{running}")
    found = [each for each in starts if each.start == wanted]
    found = found or [each for each in starts if wanted and each.start.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    ids = [each.start for each in reversed(found or starts)]
    if found:
        raise NotInHistory(f"cannot choose one start: {quoted(wanted)} may be {first_of(ids, _MOST_NAMED)}")
    near = suggest(near_match(wanted, ids), before="; ")
    raise NotInHistory(f"cannot find start {quoted(wanted)}; known: {first_of(ids, _MOST_NAMED) or 'none'}{near}")


def _head(name: str, start: StartEntry, now: float) -> str:
    """Return on one line which start it is, when it was, and how it ended."""
    parts = [f"began {time_text(start.since, now)}"]
    if start.how == "ended":
        parts.append(f"ended {time_text(start.ended_at, now)}")
        if start.since is not None and start.ended_at is not None:
            parts[-1] += f" after {duration(max(0.0, start.ended_at - start.since), is_rounded=True)}"
        if start.exit_code is not None:
            parts.append(f"exit code {start.exit_code}")
    elif start.how == "lost":
        parts.append(f"killed; last seen alive at {time_text(start.alive_at, now)}")
    else:
        parts.append(how_text(start))
    why = f" ({start.stop_reason.strip().partition(chr(10))[0]})" if start.stop_reason else ""
    return f"start {start.start} of {name}, pid {start.pid}: {', '.join(parts)}{why}"


def _show_report(data: Mapping[str, Any]) -> ControlExit:
    from taskloom.control.client_errors import BadReply
    from taskloom.control.reply_fields import Fields
    from taskloom.control.report_data import statuses_of, stop_report_of
    from taskloom.observe.summary import summary

    fields = Fields(data, "the history")
    try:
        text = summary(stop_report_of(fields), statuses_of(fields), *line_shape())
    except BadReply as error:
        echo_error(printable(f"taskloom: cannot show the report: {error.why}; -o json shows it as it is"))
        return ControlExit.FAILED
    echo(text.rstrip("\n"))
    return ControlExit.DONE


def _show_alive(start: StartEntry, alive: Sequence[RunEntry]) -> None:
    if start.how == "running":
        echo_error("taskloom: there is no report yet: it is running")
        return
    count = plural(len(alive), "run") if alive else "no run"
    were = "was" if len(alive) < 2 else "were"
    echo_error(f"taskloom: there is no report; {count} {were} alive")
    if alive:
        show_lines(run_lines(alive, {start.start: start}, Shape(*line_shape(), now=wall())))
