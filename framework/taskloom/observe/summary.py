"""The summary at the end: a table of the jobs, the runs that were killed, and each run that did not stop, with its
place and stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from taskloom.core.model import JobState, Otherwise
from taskloom.core.report import StopReport, Survivor, held_by, killed_text
from taskloom.observe.name_column import elided
from taskloom.runners import ProcessInfo
from taskloom.scheduler.handles import JobStatus
from taskloom.text import duration, measured, printable, printable_lines, size, table

__all__ = ["job_table", "summary"]

# Between two columns of a table.
_GAP = 2
# A name has this room at least: a line that is too long is better than names that are all alike.
_LEAST_NAME = 20


class _Column(NamedTuple):
    """A column of the table: the text for a job, and which jobs need the column (None: it is always shown)."""

    head: str
    text: Callable[[JobStatus], str]
    is_shown: Callable[[JobStatus], bool] | None = None


def summary(report: StopReport, jobs: Sequence[JobStatus], line_width: int | None = None, mark: str = "…") -> str:
    """Return the summary of a program that has ended. `line_width` and `mark` are those of `job_table`."""
    killed = [f"\n{printable(killed_text(report.killed))}"] if report.killed else []
    lost = [f"\n{printable(str(each))}" for each in report.lost]
    return "\n".join([job_table(jobs, line_width, mark), *killed, *map(_survivor, report.survivors), *lost]) + "\n"


def job_table(jobs: Sequence[JobStatus], line_width: int | None = None, mark: str = "…") -> str:
    """Return a table with a line for each job, without the columns that no job needs.

    On a terminal, long names are shortened so that all columns but the note fit into a line of `line_width`; None is a
    file. `mark` stands for what is left out.
    """
    columns = [column for column in _COLUMNS if column.is_shown is None or any(map(column.is_shown, jobs))]
    rows = [[column.head for column in columns], *([column.text(job) for column in columns] for job in jobs)]
    if line_width is not None:
        _shorten_names(rows, line_width, mark)
    return table(rows)


def _shorten_names(rows: list[list[str]], line_width: int, mark: str) -> None:
    """Shorten the first cell of each row, so that the cells between it and the note have room."""
    others = [max(map(len, cells)) + _GAP for cells in list(zip(*rows, strict=True))[1:-1]]
    most = max(_LEAST_NAME, line_width - sum(others))
    for row in rows:
        row[0] = elided(row[0], most, mark)


def _state(status: JobStatus) -> str:
    """Return the state, what the job waits for and for how long, and the marks."""
    report = status.report
    parts = [report.state.value]
    if report.waiting_for is not None:
        parts = [f"waiting for {report.waits_for or report.waiting_for.value}"]
    if report.due_in is not None:
        parts[0] += f" ({measured(report.due_in)})"
    if report.state is JobState.RUNNING and not report.is_ready:
        parts.append("not ready")
    # Running jobs are usually ready, so only the opposite is shown.
    return ", ".join([*parts, *(mark for mark in report.marks if mark != "ready")])


def _next_firing(status: JobStatus) -> str:
    if status.report.next_firing is None:
        return "-"
    instant = datetime.fromtimestamp(status.report.next_firing)  # noqa: DTZ006 - local time, for people
    return f"{instant:%Y-%m-%d %H:%M:%S}"


def _has_process(status: JobStatus) -> bool:
    return status.process is not None


def _of_process(status: JobStatus, text: Callable[[ProcessInfo], str]) -> str:
    """Return a text about the processes of the job's run; a dash if it has none."""
    return text(status.process) if status.process is not None else "-"


def _note(status: JobStatus) -> str:
    """Return the counts of the run, why it was stopped, how a user holds the job back, and its error."""
    parts = []
    if status.counts:
        parts.append(", ".join(f"{name} {n}" for name, n in sorted(status.counts.items())))
    if status.process is not None and status.process.state == "stopped":
        parts.append("its process is stopped by a signal")
    if status.would_meet_join is False and status.report.state is JobState.RUNNING:
        parts.append("would be killed" if status.otherwise is Otherwise.KILL else "would not stop in time")
    reason, hold, holds = status.report.reason, status.report.hold, status.report.holds
    held = holds[hold] if holds and hold is not None else None
    if reason is not None and reason != held:
        parts.append(f"({reason})")
    if hold is not None and held is not None:
        # The state says how it is held back.
        who = held_by(hold, held).lstrip(": ")
        parts += [f"({who})"] if who else []
    if status.report.error is not None:
        parts.append(str(status.report.error).split("\n", 1)[0])
    return " ".join(parts)


_COLUMNS = (
    _Column("JOB", lambda status: status.report.job),
    _Column("STATE", _state),
    _Column("OUTCOME", lambda status: status.report.outcome.value if status.report.outcome else "-"),
    _Column("RUNS", lambda status: str(status.report.runs)),
    _Column("RESTARTS", lambda status: str(status.report.restarts), lambda status: status.report.restarts > 0),
    _Column("MISSED", lambda status: str(status.report.missed), lambda status: status.report.missed > 0),
    _Column("TIME", lambda status: measured(status.report.seconds) if status.report.runs else "-"),
    _Column("NEXT FIRING", _next_firing, lambda status: status.report.next_firing is not None),
    _Column("RUNNER", lambda status: status.runner, _has_process),
    _Column("PID", lambda status: _of_process(status, lambda process: str(process.pid)), _has_process),
    _Column("MEM", lambda status: _of_process(status, lambda process: size(process.memory)), _has_process),
    _Column("CPU", lambda status: _of_process(status, lambda each: duration(each.cpu, is_rounded=True)), _has_process),
    _Column("NOTE", _note),
)


def _survivor(survivor: Survivor) -> str:
    head = f"\n{survivor.job} is still running {measured(survivor.waited)} after its stop was requested"
    within = duration(survivor.within, is_rounded=True)
    killed = "; SIGKILL did not end it" if survivor.otherwise is Otherwise.KILL else ""
    lines = [f"{head} (within {within}, otherwise {survivor.otherwise.value}{killed})"]
    host = f" on {printable(survivor.host)}" if survivor.host else ""
    lines.append(f"  at {printable(survivor.where) or 'an unknown place'}{host}")
    if survivor.poll_age is not None:
        lines.append(f"  no poll for {measured(survivor.poll_age)} at that time")
    lines.extend(f"  {printable(text)}" for text in survivor.callbacks)
    if survivor.stack:
        lines.append("  its stack, innermost last:")
        lines.extend(f"  {line}" for line in printable_lines(survivor.stack.rstrip()).split("\n"))
    return "\n".join(lines)
