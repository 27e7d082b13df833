"""The report of a drill: a table with the failures below it, or JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from taskloom.cli.drill.trial import DrilledJob, DrillResult
from taskloom.text import duration, plural, printable, table

__all__ = ["as_data", "as_text"]

_HEAD = ("JOB", "TASK", "OUTCOME", "READY AFTER", "STOPPED IN", "WORST GAP", "BUDGET", "VERDICT")


def as_data(drilled: Sequence[DrilledJob], wanted: int) -> dict[str, Any]:
    """Return all results as data for JSON. `wanted`: how many jobs were to be drilled."""
    return {
        "passes": len(drilled) == wanted and all(job.passes for job in drilled),
        "wanted": wanted,
        "drilled": len(drilled),
        "jobs": [job.as_dict() for job in drilled],
    }


def as_text(drilled: Sequence[DrilledJob], wanted: int) -> str:
    """Return the table, the details of each job that did not pass, notes, and a last line with the totals."""
    parts = [table([_HEAD, *map(_row, drilled)])] if drilled else []
    parts += ["\n" + "\n".join(_failure(job)) for job in drilled if not job.passes]
    notes = [note for job in drilled for note in _notes(job)]
    parts += ["", *notes] if notes else []
    return "\n".join([*parts, _summary(drilled, wanted)])


def _summary(drilled: Sequence[DrilledJob], wanted: int) -> str:
    passed = sum(job.passes for job in drilled)
    jobs = plural(wanted, "job")
    if len(drilled) < wanted:
        return f"\ninterrupted: {len(drilled)} of {jobs} drilled, {passed} passed"
    if passed == wanted:
        # Those jobs show nothing about their stop, so they are counted apart.
        early = sum(job.verdict is DrillResult.ENDED_BY_ITSELF for job in drilled)
        return f"\n{jobs} drilled: all passed" + (f"; {early} ended before the request to stop" if early else "")
    return f"\n{jobs} drilled: {passed} passed, {wanted - passed} did not"


def _row(job: DrilledJob) -> tuple[str, ...]:
    stopped = _format_seconds(job.stopped_in)
    if job.verdict is not DrillResult.KILLED and (job.where or job.outcome is None):
        stopped = "not yet"
    gap = _format_seconds(job.worst_gap) + (", wakeable" if job.is_wakeable and job.worst_gap is not None else "")
    budget = "-" if job.budget is None else duration(job.budget)
    outcome = job.outcome.value if job.outcome else "-"
    return (job.job, job.task, outcome, _format_seconds(job.ready_after), stopped, gap, budget, job.verdict.value)


def _format_seconds(seconds: float | None) -> str:
    """Format a measured time: `0.4ms`, `1.25s`; `-` for none."""
    return "-" if seconds is None else duration(seconds, is_rounded=True)


def _notes(job: DrilledJob) -> Iterator[str]:
    if job.passes and job.worst_at and not job.is_wakeable:
        yield f"{job.job} went {_format_seconds(job.worst_gap)} without a poll, at {job.worst_at}"
    if job.passes and job.killed:
        yield f"{job.job} did not end by itself: {printable(job.killed)}"
    if job.threads_left:
        names = printable(", ".join(job.threads_left))
        yield f"{job.job} left {plural(len(job.threads_left), 'thread')} running: {names}"


def _failure(job: DrilledJob) -> Iterator[str]:
    declared = f", declared at {job.declared}" if job.declared else ""
    if job.verdict is DrillResult.KILLED:
        yield f"{job.job} did not stop within {duration(job.budget or 0.0)} and was killed (task {job.task}{declared})"
        yield f"  at {printable(job.where) or 'an unknown place'}"
    elif job.verdict is DrillResult.OVER_BUDGET:
        yield f"{job.job} did not stop within {duration(job.budget or 0.0)} (task {job.task}{declared})"
        yield f"  at {printable(job.where) or 'an unknown place'}"
        if job.has_seen_stop:
            yield "  it has seen the request to stop and goes on"
        elif job.worst_gap is not None or job.error is None:  # of a run that was killed, the error says it all
            gap = _format_seconds(job.worst_gap)
            yield f"  it has not polled since the request to stop; its longest time without a poll: {gap}"
    else:
        yield f"{job.job} failed (task {job.task}{declared})"
    yield from (f"  {printable(text)}" for text in job.callbacks)
    if job.error is not None:
        yield f"  {printable(str(job.error))}"
        if not job.error.is_explained:
            yield from (f"  {line}" for line in job.error.traceback.rstrip("\n").split("\n"))
    if job.stack:
        yield "  its stack, innermost last:"
        yield from (f"  {line}" for line in job.stack.rstrip("\n").split("\n"))
