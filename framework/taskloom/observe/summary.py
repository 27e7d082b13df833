"""The last words: a table of the jobs, and whoever did not stop, with the place where it stands."""

from __future__ import annotations

from collections.abc import Sequence

from taskloom.core.report import StopReport, Survivor
from taskloom.handles import JobStatus

__all__ = ["summary", "table"]

_HEAD = ("JOB", "STATE", "OUTCOME", "RUNS", "TIME", "NOTE")


def summary(report: StopReport, jobs: Sequence[JobStatus]) -> str:
    """Return the text that ends a program."""
    parts = [table(jobs)]
    parts.extend(_survivor(survivor) for survivor in report.survivors)
    return "\n".join(parts) + "\n"


def table(jobs: Sequence[JobStatus]) -> str:
    """Return a line for each job, columns aligned."""
    rows = [_HEAD, *(_row(job) for job in jobs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _row(status: JobStatus) -> tuple[str, ...]:
    report = status.report
    state = report.state.value
    if report.waiting_for is not None:
        state = f"waiting for {report.waiting_for.value}"
    elif report.is_overdue:
        state = f"{state}, overdue"
    outcome = report.outcome.value if report.outcome else "-"
    seconds = f"{report.seconds:.1f} s" if report.runs else "-"
    return (report.job, state, outcome, str(report.runs), seconds, _note(status))


def _note(status: JobStatus) -> str:
    """What the run counted, why it was stopped, and what went wrong."""
    parts = []
    if status.counts:
        parts.append(", ".join(f"{name} {n}" for name, n in sorted(status.counts.items())))
    if status.report.reason is not None:
        parts.append(f"({status.report.reason})")
    if status.report.error is not None:
        parts.append(str(status.report.error).splitlines()[0])
    return " ".join(parts)


def _survivor(survivor: Survivor) -> str:
    head = f"\n{survivor.job} is still running {survivor.waited:.1f} s after it was asked to stop"
    lines = [f"{head} (within {survivor.within:g} s, otherwise {survivor.otherwise.value})"]
    lines.append(f"  at {survivor.where or 'a place that could not be read'}")
    if survivor.poll_age is not None:
        lines.append(f"  no poll for {survivor.poll_age:.1f} s when it was looked at")
    lines.extend(f"  {text}" for text in survivor.callbacks)
    if survivor.stack:
        lines.append("  its stack, innermost last:")
        lines.extend(f"  {line}" for line in survivor.stack.rstrip().splitlines())
    return "\n".join(lines)
