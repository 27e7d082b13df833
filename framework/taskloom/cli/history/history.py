"""`taskloom history`: what has happened, also when no program runs."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click

from taskloom.cli.completion.known_names import complete_jobs_of_history
from taskloom.cli.control.common import ControlExit, line_shape, output_option
from taskloom.cli.control.instants import Since, read_instant
from taskloom.cli.control.shown_status import Line, show_lines
from taskloom.cli.echo import echo_error, echo_json
from taskloom.cli.history.chosen import Chosen, chosen_history
from taskloom.cli.history.common import history_options, reads_history
from taskloom.cli.history.meant_jobs import meant_jobs
from taskloom.cli.history.row_tables import JobHistory, Shape, action_lines, job_lines, run_lines, start_lines
from taskloom.clock import wall
from taskloom.diagnostics import quoted
from taskloom.history.blocks import Block
from taskloom.history.read_rows import JobTotals, Page, RunFilter, StartEntry
from taskloom.text import first_of, plural, printable

__all__ = ["history"]

# As many lines as fit on a screen.
_LAST = 20
# The number of runs of each job that a line shows; supervisors keep as many.
_LAST_OF_JOB = 20
_MOST = 100_000
_MOST_NAMED = 5


@click.command(short_help="Show what has happened, also when no program runs.")
@click.argument("jobs", nargs=-1, metavar="[JOB]...", shell_complete=complete_jobs_of_history)
@click.option("--failed", is_flag=True, help="Only runs that failed, timed out, were abandoned or were lost.")
@click.option("--since", type=Since(), metavar="WHEN",
              help="Only what began since then: a duration ago such as 12h, or an instant.")  # fmt: skip
@click.option("-n", "--last", "count", type=click.IntRange(1, _MOST), default=_LAST, show_default=True,
              help="How many of the last runs to show, and of the jobs.")  # fmt: skip
@click.option("--actions", is_flag=True, help="Show what users have done, and who, in place of runs.")
@click.option("--blocks", "every", type=click.FloatRange(0.001), hidden=True, metavar="SECONDS",
              help="With -o json: runs that are so close together as one, for timelines.")  # fmt: skip
@click.option("--until", type=Since(), hidden=True, metavar="WHEN", help="With --blocks: only what ended before then.")
@click.option("--starts", is_flag=True, help="Show the starts of the program in place of runs.")
@history_options
@output_option
@reads_history
def history(  # noqa: PLR0917 - click passes them by name
    jobs: tuple[str, ...],
    failed: bool,
    since: str | None,
    count: int,
    actions: bool,
    every: float | None,
    until: str | None,
    starts: bool,
    name: str | None,
    path: str | None,
    database: str | None,
    output: str,
) -> int:
    """Show what has happened: the runs of jobs, how they ended, and how each job does.

    Each JOB is a name or a glob, such as 'web*'; without one all jobs are shown. The history is read from its
    database, so the program need not run. The upper table has a line for each job, with its last runs: a bar is a run
    that succeeded, as high as it was long; x failed, t timed out, a abandoned, ? lost, c cancelled, > not ended. The
    lower one has the last runs, the latest at its end.

    \b
    Exit codes:
      0  done, also if there are no such runs
      2  the command line cannot be used, such as an unknown job, or several histories and none named
      4  there is no history, or it cannot be read

    \b
    Examples:
      taskloom history
      taskloom history --failed --since 12h
      taskloom history 'backup*' -n 50 -o json
      taskloom history --actions
    """
    if actions and starts:
        raise click.UsageError("cannot use both --actions and --starts; expected one of them")
    if failed and (actions or starts):
        raise click.UsageError(f"cannot use --failed with {'--actions' if actions else '--starts'}: it is about runs")
    if jobs and starts:
        raise click.UsageError("cannot use JOB with --starts: a start is of the whole program")
    if until is not None and every is None:
        raise click.UsageError("cannot use --until without --blocks")
    if every is not None and (output != "json" or failed or actions or starts):
        raise click.UsageError("cannot use --blocks without -o json, or with --failed, --actions or --starts")
    begin = _begin(since)
    with chosen_history(name=name, path=path, database=database) as chosen:
        meant = meant_jobs(chosen.reader.jobs(chosen.name), jobs) if jobs else None
        wanted = chosen.filter(meant, since=begin, only_failed=failed)
        if actions:
            shown: _Shown = _Actions(chosen, chosen.reader.actions(wanted, count))
        elif every is not None:
            shown = _Blocks(chosen, chosen.reader.blocks(wanted, until=_begin(until), every=every, most=count))
        elif starts:
            shown = _Starts(chosen, _starts_since(chosen, begin, count))
        else:
            shown = _runs(chosen, wanted, count, is_whole=output == "json")
    # After the database was closed: who reads us through a pager may take all day.
    _show(shown, wants_json=output == "json")
    return ControlExit.DONE


def _begin(since: str | None) -> float | None:
    begin = None if since is None else read_instant(since)
    if since is not None and begin is None:
        raise click.UsageError(f"cannot use {quoted(since)} with a history; expected a duration or an instant")
    return begin


class _Runs(NamedTuple):
    """The jobs and the last runs."""

    chosen: Chosen
    jobs: Sequence[JobHistory]
    left_out: Sequence[str]
    """The names of the jobs that have no line."""
    page: Page
    starts: Mapping[str, StartEntry]

    def lines(self, shape: Shape) -> list[Line]:
        if not self.page.rows:
            return []
        head = [*job_lines(self.jobs, self.starts, shape), Line("")]
        return [*head, *run_lines(self.page.rows, self.starts, shape)]

    def notes(self) -> list[str]:
        if not self.page.rows:
            return [f"the history of {self.chosen.name!r} has no such runs"]
        notes = []
        if self.left_out:
            few = first_of(self.left_out, _MOST_NAMED)
            notes.append(f"{plural(len(self.left_out), 'more job')}: {few}; add -n N or JOB to see them")
        if self.page.older:
            notes.append(_older(self.page.older, "run"))
        return notes

    def data(self) -> dict[str, Any]:
        return {
            "starts": [start.as_dict() for start in self.starts.values()],
            "jobs": [_job_data(job) for job in self.jobs],
            "runs": [run.as_dict() for run in self.page.rows],
            "older": self.page.older,
        }


class _Blocks(NamedTuple):
    chosen: Chosen
    blocks: Sequence[Block]

    def lines(self, shape: Shape) -> list[Line]:
        return []

    def notes(self) -> list[str]:
        return []

    def data(self) -> dict[str, Any]:
        return {"blocks": [block.as_dict() for block in self.blocks]}


class _Actions(NamedTuple):
    chosen: Chosen
    page: Page

    def lines(self, shape: Shape) -> list[Line]:
        return action_lines(self.page.rows, shape) if self.page.rows else []

    def notes(self) -> list[str]:
        return _page_notes(self.chosen, self.page, "action")

    def data(self) -> dict[str, Any]:
        return {"actions": [action.as_dict() for action in self.page.rows], "older": self.page.older}


class _Starts(NamedTuple):
    chosen: Chosen
    page: Page

    def lines(self, shape: Shape) -> list[Line]:
        return start_lines(self.page.rows, shape) if self.page.rows else []

    def notes(self) -> list[str]:
        return _page_notes(self.chosen, self.page, "start")

    def data(self) -> dict[str, Any]:
        return {"starts": [start.as_dict() for start in self.page.rows], "older": self.page.older}


_Shown = _Runs | _Blocks | _Actions | _Starts


def _page_notes(chosen: Chosen, page: Page, noun: str) -> list[str]:
    if not page.rows:
        return [f"the history of {chosen.name!r} has no such {noun}s"]
    return [_older(page.older, noun)] if page.older else []


def _older(count: int, noun: str) -> str:
    return f"{plural(count, f'older {noun}')}; add -n N to see more of them"


def _show(shown: _Shown, *, wants_json: bool) -> None:
    chosen = shown.chosen
    if wants_json:
        echo_json({"program": chosen.name, "history": chosen.where, **shown.data()})
        return
    lines = shown.lines(Shape(*line_shape(), now=wall()))
    if lines:
        show_lines(lines)
    for note in shown.notes():
        echo_error(printable(f"taskloom: {note}"))


def _runs(chosen: Chosen, wanted: RunFilter, count: int, *, is_whole: bool) -> _Runs:
    reader = chosen.reader
    page = reader.runs(wanted, count, is_whole=is_whole)
    totals = reader.totals(wanted)
    shown = _chosen_totals(totals, count)
    jobs = [JobHistory(each, reader.last_runs(each.job, wanted, _LAST_OF_JOB)) for each in shown]
    left_out = sorted({each.job for each in totals}.difference(each.job for each in shown))
    named = {run.start for run in page.rows}.union(run.start for job in jobs for run in job.last)
    starts = {start.start: start for start in chosen.starts if start.start in named}
    return _Runs(chosen, jobs, left_out, page, starts)


def _chosen_totals(totals: Sequence[JobTotals], count: int) -> list[JobTotals]:
    """Return at most `count` jobs by name: those with failures first, and of the others those that ran last."""
    kept = heapq.nlargest(count, totals, key=lambda each: (each.failed > 0, each.last_at or 0.0))
    return sorted(kept, key=lambda each: each.job)


def _starts_since(chosen: Chosen, begin: float | None, count: int) -> Page:
    found = [each for each in chosen.starts if begin is None or (each.since or 0.0) >= begin]
    return Page(found[max(0, len(found) - count) :], max(0, len(found) - count))


def _job_data(job: JobHistory) -> dict[str, Any]:
    return {
        "job": job.totals.job,
        "runs": job.totals.runs,
        "succeeded": job.totals.succeeded,
        "failed": job.totals.failed,
        "mean_seconds": job.mean_seconds,
        "last": [
            {"run": run.run, "start": run.start, "outcome": run.outcome or None, "seconds": run.mean_seconds}
            for run in job.last
        ],
    }
