"""The table of jobs: which are shown, in which order, and the line of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from math import inf
from typing import NamedTuple

from taskloom.cli.control.instants import until
from taskloom.cli.history.sparkline import sparkline
from taskloom.top.columns import Column, gap, widths
from taskloom.top.job_row import JobRow
from taskloom.top.run_book import PastRun
from taskloom.top.states import STUCK_RANK, Shown, shown_state
from taskloom.top.styled import Line, Span, Style, cells, fitted

__all__ = ["LAST_RUNS", "SORTS", "Moment", "Table", "clock_text", "sorted_jobs", "table", "wants", "window"]

LAST_RUNS = 10
_MARK = "▶"
_BAR_CELLS = 8
_COLUMNS = (
    Column("JOB", 8, 40, 0, shrinks=2),
    Column("TASK", 8, 16, 6),
    Column("STATE", 11, 26, 0, usual=23),  # that of `stopping 13.2s of 30s`
    Column("RUN", 4, 7, 4),
    Column("ELAPSED", 7, 10, 2),
    Column("PROGRESS", 14, 48, 1, shrinks=3, usual=48),
    Column("NEXT", 5, 8, 3),
    Column("LAST 10", 7, LAST_RUNS, 5, usual=LAST_RUNS),
    Column("RESTARTS", 8, 8, 7),
)

SORTS: Mapping[str, Callable[[JobRow, float], object]] = {
    "file": lambda _job, _now: 0,
    "name": lambda job, _now: job.name,
    "state": lambda job, now: shown_state(job, now).rank,
    "elapsed": lambda job, _now: -job.seconds if job.is_alive else inf,
    "next": lambda job, _now: inf if job.next_at is None else job.next_at,
    "restarts": lambda job, _now: -job.restarts,
}
"""The orders of the table; `file` is that of the program."""


class Moment(NamedTuple):
    """Now, on the monotonic clock and in seconds since the epoch."""

    mono: float
    wall: float


class Table(NamedTuple):
    """The lines of the table, the head first."""

    head: Line
    rows: Sequence[Line]


def wants(job: JobRow, pattern: str, now: float) -> bool:
    """Return whether a job is shown: by a part of its name, task or state, one of its labels, or a glob of names."""
    if not pattern or any(pattern == label for label in job.labels):
        return True
    if any(mark in pattern for mark in "*?["):
        return fnmatchcase(job.name.lower(), pattern.lower())
    text = f"{job.name} {job.task} {shown_state(job, now).words} {job.outcome}".lower()
    return pattern.lower() in text


def sorted_jobs(jobs: Sequence[JobRow], order: str, now: float, *, is_reversed: bool = False) -> list[JobRow]:
    """Return the jobs in an order of `SORTS`; equal ones stay as they are."""
    key = SORTS.get(order, SORTS["file"])
    found = sorted(jobs, key=lambda job: key(job, now))  # type: ignore[arg-type, return-value]  # of one type each
    return found[::-1] if is_reversed else found


def window(count: int, cursor: int, first: int, height: int) -> int:
    """Return the first row that is shown, so that the cursor is, and as few rows move as possible."""
    first = min(first, cursor)
    first = max(first, cursor - height + 1)
    return max(0, min(first, count - height))


def clock_text(seconds: float) -> str:
    """Return an elapsed time as a clock shows it: `0:00:07`, `2d 3:04:05`."""
    days, rest = divmod(int(seconds), 86_400)
    text = f"{rest // 3600}:{rest % 3600 // 60:02}:{rest % 60:02}"
    return f"{days}d {text}" if days else text


def table(
    jobs: Sequence[JobRow], chosen: str, last_runs: Callable[[str, int], Sequence[PastRun]], now: Moment, width: int
) -> Table:
    """Return the lines for these jobs, all of `width` cells. `chosen`: the job with the cursor."""
    states = [shown_state(job, now.mono) for job in jobs]
    rows = [
        (
            job.name,
            job.task,
            str(state),
            job.number,
            _elapsed(job, now),
            _progress(job, state),
            _next(job, now),
            sparkline(last_runs(job.name, LAST_RUNS)),
            str(job.restarts),
        )
        for job, state in zip(jobs, states, strict=True)
    ]
    wanted = [max([cells(column.head), *(cells(row[place]) for row in rows)]) for place, column in enumerate(_COLUMNS)]
    sizes = widths(_COLUMNS, wanted, width - 1)
    between = " " * gap(width - 1)
    head = _cut(" " + _row([column.head for column in _COLUMNS], sizes, between), width)
    lines = [
        (Span(_cut(_MARK + _row(row, sizes, between), width), Style.CHOSEN),)
        if job.name == chosen
        else _line(state, row, sizes, between, width)
        for job, state, row in zip(jobs, states, rows, strict=True)
    ]
    return Table((Span(head, Style.HEAD),), lines)


def _row(texts: Sequence[str], sizes: Sequence[int], between: str) -> str:
    return between.join(fitted(text, size) for text, size in zip(texts, sizes, strict=True) if size)


def _cut(text: str, width: int) -> str:
    return fitted(text, width, "")


def _line(state: Shown, row: Sequence[str], sizes: Sequence[int], between: str, width: int) -> Line:
    """Return the line of a job without the cursor: only its state has a colour."""
    place = [column.head for column in _COLUMNS].index("STATE")
    before = " " + _row(row[:place], sizes[:place], between) + between
    own = fitted(row[place], sizes[place])
    if cells(before) + cells(own) >= width:
        return (Span(_cut(before + own, width)),)
    after = _cut(
        between + _row(row[place + 1 :], sizes[place + 1 :], between), max(0, width - cells(before) - cells(own))
    )
    return (Span(before), Span(own, state.style), Span(after))


def _elapsed(job: JobRow, now: Moment) -> str:
    if not job.run:
        return "-"
    return clock_text(job.seconds + (max(0.0, now.mono - job.read_at) if job.is_alive else 0.0))


def _next(job: JobRow, now: Moment) -> str:
    if job.next_at is None:
        return "-"
    return "paused" if "paused" in job.marks else until(job.next_at - now.wall)


def _progress(job: JobRow, state: Shown) -> str:
    if state.rank == STUCK_RANK:
        return "k: stack"
    if job.progress is None or not job.is_alive:
        return job.note
    full = round(job.progress * _BAR_CELLS)
    return f"{'█' * full}{'░' * (_BAR_CELLS - full)} {job.note}"
