"""The tables of `taskloom history`: runs, jobs, starts and actions, each with a line for a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from taskloom.cli.control.shown_status import Line
from taskloom.cli.history.fitted_table import fitted_table
from taskloom.cli.history.row_texts import action_row, outcome_text, run_row, start_row, time_text
from taskloom.cli.history.sparkline import sparkline
from taskloom.history.read_rows import ActionEntry, JobTotals, RunEntry, StartEntry
from taskloom.text import duration

__all__ = ["JobHistory", "Shape", "action_lines", "job_lines", "run_lines", "start_lines"]

# SGR numbers. The words say the same, so nothing is lost without colours.
_BOLD, _RED, _YELLOW = "1", "31", "33"
# The place of this column in the table of actions.
_RESULT = 3
# Before this column of the table of runs is the place of runs on a cluster.
_OUTCOME = 4


class Shape(NamedTuple):
    """The room for a table, and the present."""

    line_width: int | None
    """The columns of the terminal; None for a file."""
    mark: str
    """It stands for the part of a text that is left out."""
    now: float
    """Seconds since the epoch."""


class JobHistory(NamedTuple):
    """All runs of one job together, and the last of them."""

    totals: JobTotals
    last: Sequence[RunEntry]
    """Oldest first."""

    @property
    def share(self) -> float | None:
        """The share of the runs that succeeded. Those that were cancelled, or have not ended, do not count."""
        judged = self.totals.succeeded + self.totals.failed
        return self.totals.succeeded / judged if judged else None

    @property
    def mean_seconds(self) -> float | None:
        """How long its last runs took that succeeded, on average."""
        seconds = [run.mean_seconds for run in self.last if run.outcome == "succeeded" and run.mean_seconds is not None]
        return sum(seconds) / len(seconds) if seconds else None


def job_lines(jobs: Sequence[JobHistory], starts: Mapping[str, StartEntry], shape: Shape) -> list[Line]:
    """Return a line for each job, after the head."""
    rows: list[Sequence[str]] = [("JOB", "RUNS", "FAILED", "OK", "TIME", "LAST", "BEGAN", "LAST RUNS")]
    rows += [_job_row(job, starts, shape) for job in jobs]
    styles = [_style(job.last[-1]) if job.last else "" for job in jobs]
    return _lines(fitted_table(rows, shape.line_width, shape.mark), styles)


def _job_row(job: JobHistory, starts: Mapping[str, StartEntry], shape: Shape) -> tuple[str, ...]:
    totals, seconds, share = job.totals, job.mean_seconds, job.share
    return (
        totals.job,
        f"{totals.runs:,}",
        f"{totals.failed:,}",
        # Only 100 % means that none has failed.
        "-" if share is None else f"{int(share * 100)} %",
        "-" if seconds is None else duration(max(0.0, seconds), is_rounded=True),
        outcome_text(job.last[-1], starts) if job.last else "-",
        time_text(job.last[-1].began if job.last else totals.last_at, shape.now),
        sparkline(job.last, is_plain=shape.mark != "…"),
    )


def run_lines(runs: Sequence[RunEntry], starts: Mapping[str, StartEntry], shape: Shape) -> list[Line]:
    """Return a line for each run, after the head."""
    rows = [("RUN", "START", "BEGAN", "TIME", "OUTCOME", "WHY"), *(run_row(run, starts, shape.now) for run in runs)]
    if any(run.host for run in runs):
        found = ((run.host or "-", run.worker or "-", str(run.pid or "-")) for run in runs)
        places = [("HOST", "WORKER", "PID"), *found]
        rows = [(*row[:_OUTCOME], *place, *row[_OUTCOME:]) for row, place in zip(rows, places, strict=True)]
    return _lines(fitted_table(rows, shape.line_width, shape.mark, has_note=True), [_style(run) for run in runs])


def start_lines(starts: Sequence[StartEntry], shape: Shape) -> list[Line]:
    """Return a line for each start, after the head."""
    rows = [("START", "BEGAN", "ENDED", "PID", "HOW", "WHY"), *(start_row(start, shape.now) for start in starts)]
    styles = [_RED if start.how == "lost" else _YELLOW if start.exit_code else "" for start in starts]
    return _lines(fitted_table(rows, shape.line_width, shape.mark, has_note=True), styles)


def action_lines(actions: Sequence[ActionEntry], shape: Shape) -> list[Line]:
    """Return a line for each action, after the head."""
    rows: list[tuple[str, ...]] = [
        ("AT", "ACTION", "JOBS", "RESULT", "BY", "WHY", "COMMAND"),
        *(action_row(action, shape.now) for action in actions),
    ]
    # Few actions have a result, and the room is for the reasons.
    if not any(action.result for action in actions):
        rows = [(*row[:_RESULT], *row[_RESULT + 1 :]) for row in rows]
    lines = fitted_table(rows, shape.line_width, shape.mark, has_note=True, name_at=2)
    return _lines(lines, ["" for _ in actions])


def _style(run: RunEntry) -> str:
    if run.has_failed:
        return _RED
    return "" if run.outcome in ("succeeded", "") else _YELLOW


def _lines(texts: Sequence[str], styles: Sequence[str]) -> list[Line]:
    head, *rows = texts
    return [Line(head, _BOLD), *(Line(text, style) for text, style in zip(rows, styles, strict=True))]
