"""Shared by the verbs that ask a running program: their options, choosing jobs, and exit codes for what goes wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from fnmatch import fnmatchcase
from functools import wraps
from typing import Any, NamedTuple

import click

from taskloom.cli.completion.known_names import (
    complete_labels,
    complete_paths,
    complete_programs,
    complete_running_jobs,
)
from taskloom.cli.echo import echo_error
from taskloom.cli.options import Seconds
from taskloom.control.client import (
    Connection,
    ControlError,
    NoAnswer,
    NoProgram,
    Program,
    Refused,
    SeveralPrograms,
    find,
)
from taskloom.control.client_errors import BadReply, ConnectionLost
from taskloom.control.fields import LONGEST_TEXT
from taskloom.control.finding import short_names
from taskloom.control.reply_fields import Fields
from taskloom.observe.terminal import is_terminal, mark_for, width
from taskloom.text import printable, table

__all__ = [
    "ControlExit",
    "JobFilter",
    "all_option",
    "answers",
    "batches",
    "choose_jobs",
    "connect",
    "explain",
    "filter_jobs",
    "job_arguments",
    "label_option",
    "line_shape",
    "output_option",
    "program_options",
    "reason_option",
    "require_jobs",
    "timeout_option",
]


class ControlExit(IntEnum):
    """The exit codes of the verbs that ask a running program."""

    DONE = 0
    """Done."""
    FAILED = 1
    """The program refused it, or it failed; for `status --check`: something is wrong."""
    USAGE = 2
    """The command line cannot be used: an unknown job, or several programs and none named."""
    STILL_STOPPING = 3
    """At the deadline a job was still stopping."""
    UNREACHABLE = 4
    """No program is reachable, or it does not answer."""


_UNREACHABLE = (NoProgram, NoAnswer, ConnectionLost, BadReply)
# A job that is not there is a mistake on the command line, as everywhere else; so is a value that cannot be used.
_MISTAKES = frozenset({"unknown-job", "unknown-label", "invalid-query", "bad-target", "too-large-head"})

_Command = Callable[..., Any]


def program_options(command: _Command) -> _Command:
    """Add `--name` and `--socket`, which say which program is asked."""
    for option in (
        click.option("--socket", metavar="PATH", envvar="TASKLOOM_SOCKET", show_envvar=True,
                     shell_complete=complete_paths,
                     help="The control socket of the program."),
        click.option("--name", metavar="NAME", envvar="TASKLOOM_NAME", show_envvar=True,
                     shell_complete=complete_programs,
                     help="The name of the program, as `taskloom ps` shows it; not needed if only one runs."),
    ):  # fmt: skip
        command = option(command)
    return command


def label_option(command: _Command) -> _Command:
    """Add `-l LABEL`, as `labels`."""
    return click.option("-l", "--label", "labels", multiple=True, metavar="LABEL", shell_complete=complete_labels,
                        help="Only jobs with this label; several: any of them.")(command)  # fmt: skip


def job_arguments(command: _Command) -> _Command:
    """Add JOB..., as `jobs`, and `-l LABEL`, as `labels`."""
    jobs = click.argument("jobs", nargs=-1, metavar="[JOB]...", shell_complete=complete_running_jobs)
    return jobs(label_option(command))


def all_option(command: _Command) -> _Command:
    """Add `--all`, as `wants_all`, which an acting verb needs to mean all jobs."""
    return click.option("--all", "wants_all", is_flag=True, help="All jobs.")(command)


def reason_option(command: _Command) -> _Command:
    """Add `--reason TEXT`, as `reason`: what the body of a request has of it, which is nothing without the option."""
    return click.option("--reason", metavar="TEXT", callback=_reason_in_body,
                        help="Why: shown in the log, in events and in the history.")(command)  # fmt: skip


def _reason_in_body(_: click.Context, __: click.Parameter, text: str | None) -> dict[str, str]:
    if text and len(text) > LONGEST_TEXT:
        raise click.BadParameter(f"cannot use {len(text):,} characters; expected at most {LONGEST_TEXT:,}")
    return {"text": text} if text else {}


def timeout_option(default: str = "30s") -> Callable[[_Command], _Command]:
    """Return what adds `--timeout`, in seconds."""
    return click.option("--timeout", type=Seconds(allows_forever=True), default=default, show_default=True,
                        help="How long to wait, or forever.")  # fmt: skip


def output_option(command: _Command) -> _Command:
    """Add `-o text|json`, as `output`."""
    return click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
                        help="The format on standard output.")(command)  # fmt: skip


def line_shape() -> tuple[int | None, str]:
    """Return the width of the terminal at standard output, None for a file; and the mark for shortened names there."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return (width() if is_terminal(sys.stdout) else None), mark_for(encoding)


def connect(name: str | None, socket: str | None, **options: Any) -> Connection:
    """Return the connection to the program that is meant; raises as `find`. `options`: those of `Connection`."""
    return Connection(_find(name, socket), **options)


def _find(name: str | None, socket: str | None) -> Program:
    """Return the program that is meant. A flag counts more than a variable: `--name` more than TASKLOOM_SOCKET."""
    context = click.get_current_context(silent=True)
    if context is not None and name is not None and socket is not None:
        environment = click.core.ParameterSource.ENVIRONMENT
        if context.get_parameter_source("socket") is environment:
            socket = None if context.get_parameter_source("name") is not environment else socket
        elif context.get_parameter_source("name") is not environment:
            raise click.UsageError("cannot use both --name and --socket; expected one of them")
    return find(name, socket)


def answers(function: Callable[..., int]) -> Callable[..., int]:
    """Turn a `ControlError` of a verb into one line on standard error and an exit code."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> int:
        try:
            return function(*args, **kwargs)
        except ControlError as error:
            return explain(error)
        except RecursionError:
            return explain(BadReply("the program", "it is nested too deeply"))

    return call


def explain(error: ControlError) -> ControlExit:
    """Write what went wrong to standard error, and return the exit code for it."""
    echo_error(f"taskloom: {printable(str(error))}")
    if isinstance(error, NoAnswer) and error.may_act_later:
        echo_error("taskloom: it has the request, and may carry it out as soon as it goes on")
    if isinstance(error, SeveralPrograms):
        echo_error(_program_table(error.programs))
        return ControlExit.USAGE
    if isinstance(error, Refused):
        return ControlExit.USAGE if error.code in _MISTAKES else ControlExit.FAILED
    return ControlExit.UNREACHABLE if isinstance(error, _UNREACHABLE) else ControlExit.FAILED


def _program_table(programs: Sequence[Program]) -> str:
    names = short_names(programs)
    is_ambiguous = len(set(names)) < len(names)
    rows = [(name, str(each.pid or "-"), each.socket if is_ambiguous else each.path or "-")
            for name, each in zip(names, programs, strict=True)]  # fmt: skip
    return table([("NAME", "PID", "SOCKET" if is_ambiguous else "PATH"), *rows])


# -- choosing jobs

# The head of a request has 16 KiB at most.
_MOST_QUERY = 8 * 1024


def require_jobs(verb: str, jobs: Sequence[str], labels: Sequence[str], *, wants_all: bool) -> None:
    """Raise a usage error if an acting verb means no job, or if `--all` was given beside a choice."""
    if wants_all and (jobs or labels):
        raise click.UsageError(f"cannot {verb} all jobs and only some of them; expected --all, JOB... or -l LABEL")
    if not (wants_all or jobs or labels):
        raise click.UsageError(f"cannot {verb} without a job; expected JOB..., -l LABEL or --all")


def choose_jobs(connection: Connection, jobs: Sequence[str] = (), labels: Sequence[str] = ()) -> list[Fields]:
    """Return the status of each job that is meant, in the order of the program: by name, glob or label; else of all.

    Raises Refused with the code `unknown-job` for a name or a glob that matches nothing.
    """
    if _query_bytes(jobs) + _query_bytes(labels) <= _MOST_QUERY:
        found = connection.get("/v1/jobs", job=list(jobs), label=list(labels))
        return connection.fields(found).objects("jobs")
    every = connection.fields(connection.get("/v1/jobs")).objects("jobs")
    names = [each.text("job") for each in every]
    exact, globs = set(jobs), [each for each in jobs if any(mark in each for mark in "*?[")]
    for wanted in dict.fromkeys(jobs):
        if wanted not in names and not any(fnmatchcase(name, wanted) for name in names):
            connection.get("/v1/jobs", job=wanted)  # it is refused, with a near match
    known = {label for each in every for label in each.texts("labels")}
    for label in dict.fromkeys(labels):
        if label not in known:
            connection.get("/v1/jobs", label=label)  # as well
    return [
        each
        for each, name in zip(every, names, strict=True)
        if (not jobs or name in exact or any(fnmatchcase(name, glob) for glob in globs))
        and (not labels or not set(labels).isdisjoint(each.texts("labels")))
    ]


class JobFilter(NamedTuple):
    """The jobs that a route is asked about: names and globs for its query, and what is left out afterwards."""

    query: list[str]
    """The values of `job` in the query; empty for all jobs."""
    names: frozenset[str] | None
    """The names that are wanted, if they do not all fit into a query; None if nothing has to be left out."""

    def wants(self, job: str) -> bool:
        """Return whether a record about this job is wanted."""
        return self.names is None or job in self.names


def filter_jobs(connection: Connection, jobs: Sequence[str], labels: Sequence[str]) -> JobFilter:
    """Return the jobs that are meant, for a route that knows no labels. Raises as `choose_jobs`."""
    if not labels and _query_bytes(jobs) <= _MOST_QUERY:
        return JobFilter(list(jobs), None)
    names = [each.text("job") for each in choose_jobs(connection, jobs, labels)]
    if _query_bytes(names) <= _MOST_QUERY and names:
        return JobFilter(names, None)
    return JobFilter([], frozenset(names))


def batches(names: Iterable[str]) -> Iterator[list[str]]:
    """Yield the names in lists that each fit into one query."""
    batch: list[str] = []
    left = _MOST_QUERY
    for name in names:
        size = _query_bytes([name])
        if batch and size > left:
            yield batch
            batch, left = [], _MOST_QUERY
        batch.append(name)
        left -= size
    if batch:
        yield batch


def _query_bytes(values: Iterable[str]) -> int:
    """Return how long a query with these values may be."""
    return sum(3 * len(each.encode("utf-8", "replace")) + 7 for each in values)
