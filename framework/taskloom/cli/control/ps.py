"""`taskloom ps`: the running programs of this user, and the processes of their runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from threading import Thread
from typing import Any

import click

from taskloom.cli.control.common import ControlExit, answers, output_option
from taskloom.cli.control.instants import format_instant, is_instant
from taskloom.cli.control.job_table import cpu_text
from taskloom.cli.echo import echo, echo_error, echo_json
from taskloom.clock import wall
from taskloom.control.client import Connection, Program, Refused, list_programs
from taskloom.control.client_errors import ControlError, NoAnswer
from taskloom.control.finding import short_names
from taskloom.control.reply_fields import Fields
from taskloom.observe.local_time import local_time
from taskloom.text import size, table

__all__ = ["ps"]

# A program that is well answers in milliseconds; the others are shown all the same.
_SECONDS = 2.0
_SILENT = "does not answer"


class _Asked:
    """A program, and its answer once it is there. `error` is why there is none."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.fields = Fields({})
        self.runs: list[Fields] = []
        """Those of its runs that are in processes of their own."""
        self.error: ControlError | None = None

    def query(self) -> None:
        try:
            connection = Connection(self.program, _SECONDS)
            self.fields = connection.fields(connection.get("/v1/program"))
            self.row("")  # what cannot be read is found here
            self.runs = _runs_of(connection)
            self.run_rows("")
        except ControlError as error:
            self.fields, self.runs, self.error = Fields({}), [], error

    @property
    def state(self) -> str:
        """`running` and so on, or that it does not answer."""
        if self.error is not None:
            return _SILENT if isinstance(self.error, NoAnswer) else "cannot be asked"
        return self.fields.text("state") or "unknown"

    def row(self, shown: str) -> tuple[str, ...]:
        jobs = self.fields.object("jobs")
        wrong = jobs.count("wrong")
        since = self.program.since
        return (
            shown,
            str(self.program.pid or "-"),
            local_time(since, wall()) if since is not None and is_instant(since) else "-",
            str(jobs.count("total")) + (f" ({wrong} wrong)" if wrong else "") if jobs.has("total") else "-",
            self.state,
            self.program.path or " ".join(self.fields.texts("paths")) or "-",
        )

    def run_rows(self, shown: str) -> list[tuple[str, ...]]:
        return [
            (
                shown,
                run.text("job"),
                run.text("runner"),
                run.text("host") or "-",
                run.text("worker") or "-",
                str(run.count("pid")),
                str(run.count("processes")),
                size(run.count("memory")),
                cpu_text(run),
                run.text("state"),
            )
            for run in self.runs
        ]

    def as_data(self) -> dict[str, Any]:
        program = self.program
        since = program.since
        return {
            "name": program.name,
            "pid": program.pid or None,
            "uid": program.uid,
            "since": format_instant(since) if since is not None and is_instant(since) else None,
            "path": program.path or None,
            "socket": program.socket,
            "state": self.state,
            "error": None if self.error is None else str(self.error),
            "jobs": self.fields.object("jobs").data or None,
            "version": self.fields.text("version") or None,
            "processes": [run.data for run in self.runs],
        }


def _runs_of(connection: Connection) -> list[Fields]:
    try:
        return connection.fields(connection.get("/v1/processes")).objects("processes")
    except (Refused, NoAnswer):
        return []  # an earlier version, whose runs are all in threads; or it has become silent since


@click.command(short_help="List the running programs of this user.")
@click.option("--all-users", is_flag=True, help="List the programs of all users; only for root.")
@output_option
@answers
def ps(all_users: bool, output: str) -> int:
    """List the running programs of this user: name, process, jobs and state.

    A program that does not answer is listed as well. Below them is a line for each run that is in a process of its own:
    its main process, how many there are, and the memory and processor time of all of them. If some are on a cluster, it
    has their host and their worker.

    \b
    Exit codes:
      0  done, even if no program is running
      2  the command line cannot be used

    \b
    Examples:
      taskloom ps
      taskloom ps -o json
    """
    if all_users and os.geteuid() != 0:
        raise click.UsageError("cannot list the programs of all users; expected to be called by root")
    programs = list_programs(all_users=all_users)
    asked = _ask_all(programs)
    if output == "json":
        echo_json({"programs": [each.as_data() for each in asked]})
    elif asked:
        echo(_as_text(asked, has_users=all_users))
    else:
        echo_error("taskloom: no program is running")
    for each in asked:
        if each.error is not None and output == "text":
            echo_error(f"taskloom: {each.program.name}: {each.error}")
    return ControlExit.DONE


def _ask_all(programs: Sequence[Program]) -> list[_Asked]:
    """Ask all programs at the same time: each may take its whole deadline."""
    asked = [_Asked(program) for program in programs]
    threads = []
    for each in asked[1:]:
        thread = Thread(target=each.query, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread is left for this user
            each.query()
        else:
            threads.append(thread)
    for each in asked[:1]:
        each.query()
    for thread in threads:
        thread.join()
    return asked


def _as_text(asked: Sequence[_Asked], *, has_users: bool) -> str:
    names = [each.program.name for each in asked] if has_users else short_names(each.program for each in asked)
    rows = [each.row(name) for each, name in zip(asked, names, strict=True)]
    head: tuple[str, ...] = ("NAME", "PID", "SINCE", "JOBS", "STATE", "PATH")
    if has_users:
        rows = [(str(each.program.uid), *row) for each, row in zip(asked, rows, strict=True)]
        head = ("UID", *head)
    runs = [row for each, name in zip(asked, names, strict=True) for row in each.run_rows(name)]
    if not runs:
        return table([head, *rows])
    titles = ("NAME", "JOB", "RUNNER", "HOST", "WORKER", "PID", "PROCESSES", "MEM", "CPU", "STATE")
    left_out = {"NAME"} if len(asked) == 1 else set()  # the name of the only program says nothing
    if not any(run.has("host") for each in asked for run in each.runs):
        left_out |= {"HOST", "WORKER"}
    shown = [index for index, title in enumerate(titles) if title not in left_out]
    return f"{table([head, *rows])}\n\n{table([row[index] for index in shown] for row in [titles, *runs])}"
