"""The table of jobs of a running program, from its answer: like the summary of `run`, with the time until a firing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from taskloom.cli.control.instants import read_instant, until
from taskloom.control.reply_fields import Fields
from taskloom.observe.name_column import elided
from taskloom.text import duration, measured, printable, size, table

__all__ = ["cpu_text", "job_table", "state_text", "wrong_jobs"]

_GAP = 2
# A name has this room at least: a line that is too long is better than names that are all alike.
_LEAST_NAME = 20


class _Column(NamedTuple):
    """A column: the text for a job at a wall-clock second, and which jobs need it (None: it is always shown)."""

    head: str
    text: Callable[[Fields, float], str]
    is_shown: Callable[[Fields], bool] | None = None


def job_table(jobs: Sequence[Fields], now: float, line_width: int | None = None, mark: str = "…") -> str:
    """Return a table with a line for each job, without the columns that no job needs.

    `now`: seconds since the epoch. On a terminal of `line_width` columns, long names are shortened, with `mark` for
    what is left out; None is a file.
    """
    columns = [column for column in _COLUMNS if column.is_shown is None or any(map(column.is_shown, jobs))]
    rows = [[column.head for column in columns]]
    rows += [[printable(column.text(job, now)) for column in columns] for job in jobs]
    if line_width is not None:
        others = [max(map(len, cells)) + _GAP for cells in list(zip(*rows, strict=True))[1:-1]]
        most = max(_LEAST_NAME, line_width - sum(others))
        for row in rows:
            row[0] = elided(row[0], most, mark)
    return table(rows)


def wrong_jobs(jobs: Sequence[Fields]) -> list[str]:
    """Return each job with which something is wrong, with its state: `web (failed: no such host)`."""
    return [f"{job.text('job')} ({_trouble(job)})" for job in jobs if job.flag("wrong")]


def _trouble(job: Fields) -> str:
    found = [mark for mark in job.texts("marks") if mark != "ready"]
    state, outcome, error = job.text("state"), job.text("outcome"), job.text("error")
    if state in ("blocked", "skipped"):
        found.insert(0, state)
    if outcome and outcome != "succeeded":
        found.append(outcome)
    text = ", ".join(found) or state or "unknown"
    return f"{text}: {error.split(chr(10), 1)[0]}" if error else text


def state_text(job: Fields) -> str:
    """Return the state, what the job waits for and for how long, and the marks."""
    state, marks = job.text("state"), job.texts("marks")
    parts = [state]
    if job.text("waiting_for"):
        parts = [f"waiting for {job.text('waits_for') or job.text('waiting_for')}"]
    due_in = job.number("due_in")
    if due_in is not None:
        parts[0] += f" ({measured(due_in)})"
    if state == "running" and "ready" not in marks:
        parts.append("not ready")
    if job.flag("paused") and "paused" not in marks:
        parts.append("paused")
    # Running jobs are usually ready, so only the opposite is shown.
    return ", ".join([*parts, *(mark for mark in marks if mark != "ready")])


def _time(job: Fields, _: float) -> str:
    seconds = job.number("seconds")
    return "-" if not job.count("runs") or seconds is None else duration(max(0.0, seconds), is_rounded=True)


def _next(job: Fields, now: float) -> str:
    instant = read_instant(job.text("next_firing"))
    return "-" if instant is None else f"in {until(instant - now)}"


def _has_process(job: Fields) -> bool:
    return job.object("process").has("pid")


def _of_process(job: Fields, text: Callable[[Fields], str]) -> str:
    """Return a text about the processes of the job's run; a dash if it has none."""
    return text(job.object("process")) if _has_process(job) else "-"


def _is_elsewhere(job: Fields) -> bool:
    return job.object("whereabouts").has("host")


def _pid(job: Fields, _: float) -> str:
    """Return its main process; while its memory is not known yet, as the worker has named it."""
    pid = job.object("process").count("pid") or job.object("whereabouts").count("pid")
    return str(pid or "-")


def cpu_text(process: Fields) -> str:
    """Return the processor time of a run; a dash if it is unknown."""
    cpu = process.number("cpu")
    return "-" if cpu is None else duration(max(0.0, cpu), is_rounded=True)


def _note(job: Fields, _: float) -> str:
    """Return its progress and counts, why it was stopped or paused, and its error."""
    parts = []
    progress = job.object("progress")
    if progress.has("done"):
        total = progress.number("total")
        of = "" if total is None else f" of {total:g}"
        parts.append(f"{progress.number('done') or 0:g}{of} {progress.text('unit')}".rstrip())
    counts = ", ".join(f"{name} {n}" for name, n in job.counts("counts"))
    if counts:
        parts.append(counts)
    if job.object("process").text("state") == "stopped":
        parts.append("its process is stopped by a signal")
    if job.has("would_meet_join") and not job.flag("would_meet_join") and job.text("state") == "running":
        parts.append("would be killed" if job.text("otherwise") == "kill" else "would not stop in time")
    reason = _who_holds(job.text("held")) if job.text("held") else job.text("reason")
    if reason:
        parts.append(f"({reason})")
    error = job.text("error")
    if error:
        parts.append(error.split("\n", 1)[0])
    return "; ".join(parts)


def _who_holds(held: str) -> str:
    """Return who stopped or paused a job, or why, without the word for it: that is in its state."""
    for word in ("stopped", "paused"):
        if held.startswith(word):
            return held[len(word) :].lstrip(": ")
    return held


_COLUMNS = (
    _Column("JOB", lambda job, _: job.text("job")),
    _Column("STATE", lambda job, _: state_text(job)),
    _Column("LAST", lambda job, _: job.text("outcome") or "-"),
    _Column("RUNS", lambda job, _: str(job.count("runs"))),
    _Column("RESTARTS", lambda job, _: str(job.count("restarts")), lambda job: job.count("restarts") > 0),
    _Column("MISSED", lambda job, _: str(job.count("missed")), lambda job: job.count("missed") > 0),
    _Column("TIME", _time),
    _Column("NEXT", _next, lambda job: job.has("next_firing")),
    _Column("RUNNER", lambda job, _: job.text("runner") or "-", lambda job: _has_process(job) or _is_elsewhere(job)),
    _Column("HOST", lambda job, _: job.object("whereabouts").text("host") or "-", _is_elsewhere),
    _Column("WORKER", lambda job, _: job.object("whereabouts").text("worker") or "-", _is_elsewhere),
    _Column("PID", _pid, _has_process),
    _Column("MEM", lambda job, _: _of_process(job, lambda process: size(process.count("memory"))), _has_process),
    _Column("CPU", lambda job, _: _of_process(job, cpu_text), _has_process),
    _Column("NOTE", _note),
)
