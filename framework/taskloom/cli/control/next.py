"""`taskloom next`: the coming firings of the schedules, soonest first."""

from __future__ import annotations

from collections.abc import Container, Sequence

import click

from taskloom.cli.control.common import (
    ControlExit,
    JobFilter,
    answers,
    batches,
    choose_jobs,
    connect,
    filter_jobs,
    job_arguments,
    output_option,
    program_options,
)
from taskloom.cli.control.instants import read_instant, until
from taskloom.cli.echo import echo, echo_error, echo_json
from taskloom.clock import wall
from taskloom.control.client import Connection
from taskloom.control.reply_fields import Fields
from taskloom.observe.local_time import local_time
from taskloom.text import first_of, printable, table

__all__ = ["next"]

_MOST_FIRINGS = 1000
# After all instants, which are written in one form.
_NEVER = "~"
_MOST_NAMED = 5


@click.command("next", short_help="Show when jobs run next, soonest first.")
@job_arguments
@click.option("-n", "--count", type=click.IntRange(1, _MOST_FIRINGS), default=20, show_default=True,
              help="How many firings to show.")  # fmt: skip
@program_options
@output_option
@answers
def next_firings(  # noqa: PLR0917 - click passes them by name
    jobs: tuple[str, ...],
    labels: tuple[str, ...],
    count: int,
    name: str | None,
    socket: str | None,
    output: str,
) -> int:
    """Show the coming firings of the schedules of a running program, soonest first.

    Each JOB is a name or a glob, such as 'backup*'; without one all jobs are shown. A paused job is not started at its
    firings. Jobs that fire too late for the table are named below it if others fire several times before.

    \b
    Exit codes:
      0  done
      1  the program refused it
      2  the command line cannot be used, such as an unknown job
      4  no program is reachable, or it does not answer

    \b
    Examples:
      taskloom next
      taskloom next -n 5 'backup*'
    """
    connection = connect(name, socket)
    wanted = filter_jobs(connection, jobs, labels)
    firings = _coming(connection, wanted, count)
    if output == "json":
        echo_json({"firings": [each.data for each in firings]})
    elif firings:
        now = wall()
        echo(_as_text(firings, now))
        shown = {each.text("job") for each in firings}
        if len(shown) < len(firings) == count:
            _tell_later(choose_jobs(connection, jobs, labels), shown, now)
    else:
        echo_error("taskloom: no job has a firing to come")
    return ControlExit.DONE


def _coming(connection: Connection, wanted: JobFilter, count: int) -> list[Fields]:
    """Return the first firings of these jobs, by several requests if one cannot name them all."""
    queries = [wanted.query] if wanted.names is None else batches(sorted(wanted.names))
    answers = [connection.get("/v1/next", count=count, job=query) for query in queries]
    firings = [each for answer in answers for each in connection.fields(answer).objects("firings")]
    return firings if wanted.names is None else sorted(firings, key=_instant)[:count]


def _instant(firing: Fields) -> str:
    return firing.text("at") or _NEVER


def _as_text(firings: Sequence[Fields], now: float) -> str:
    return table([("IN", "AT", "JOB", "SCHEDULE"), *(_row(each, now) for each in firings)])


def _tell_later(jobs: Sequence[Fields], shown: Container[str], now: float) -> None:
    """Say which jobs fire too, but later: one that fires each second may fill the table alone."""
    later = [(at, job.text("job")) for job in jobs
             if job.text("job") not in shown and (at := read_instant(job.text("next_firing"))) is not None]  # fmt: skip
    if later:
        names = first_of([f"{job} (in {until(at - now)})" for at, job in sorted(later)], _MOST_NAMED)
        fire = "job fires" if len(later) == 1 else "jobs fire"
        echo_error(printable(f"taskloom: {len(later):,} more {fire} later: {names}"))


def _row(firing: Fields, now: float) -> tuple[str, ...]:
    at = read_instant(firing.text("at"))
    seconds = firing.number("in")
    return (
        "-" if seconds is None else until(seconds),
        "-" if at is None else local_time(at, now),
        firing.text("job"),
        firing.text("schedule") + (" (paused)" if firing.flag("paused") else ""),
    )


next = next_firings  # noqa: A001 - the name of the verb
