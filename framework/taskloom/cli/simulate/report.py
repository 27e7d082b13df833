"""The answer of a simulation: a table, what was assumed, and remarks; or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

from taskloom.calendars import format_instant
from taskloom.cli.simulate.findings import findings
from taskloom.core.events import format_wall
from taskloom.core.model import WAIT_FOR_EVER, JobState
from taskloom.simulation.plan import SHORT_WORK, Span
from taskloom.simulation.result import SimulationResult
from taskloom.simulation.tally import JobStats
from taskloom.text import duration, plural, table

__all__ = ["as_json", "as_text"]

_HEAD = (
    "JOB", "FIRINGS", "RUNS", "SUCCEEDED", "FAILED", "RESTARTS", "OVERLAPS", "MISSED", "LONGEST STOP", "AT THE END",
    "NEXT FIRING",
)  # fmt: skip
# Of the remarks about a thousand jobs, people read the first.
MOST_FINDINGS = 30


def as_json(result: SimulationResult) -> str:
    """Return everything as data."""
    data = result.as_dict() | {"assumed": assumed(result), "remarks": findings(result)}
    return json.dumps(data, indent=2, ensure_ascii=False)


def as_text(result: SimulationResult) -> str:
    """Return the table, the sum, what was assumed, and what there is to say about it."""
    said = findings(result)
    left = len(said) - MOST_FINDINGS
    more = [f"... and {plural(left, 'remark')} more; -o json has all of them"] if left > 0 else []
    notes = ["", *said[:MOST_FINDINGS], *more] if said else []
    assumptions = [f"  {line}" for line in assumed(result)]
    return "\n".join([_table(result), "", _sum(result), "assumed:", *assumptions, *notes])


def assumed(result: SimulationResult) -> list[str]:
    """Say what the runs do, and what comes over them."""
    return list(_assumptions(result))


def _assumptions(result: SimulationResult) -> Iterator[str]:
    plan = result.plan
    short = f"runs of a schedule, and those whose end others wait for, work {duration(SHORT_WORK.low)}"
    usual = f"{short}; all others until they are stopped"
    told = ", ".join(f"{job} {_span(span)}" for job, span in plan.work)
    yield f"{usual}; but {told}" if told else usual
    if plan.stops_in:
        yield "asked to stop they take " + ", ".join(f"{job} {_span(span)}" for job, span in plan.stops_in)
    if plan.fail:
        shares = (f"{share * 100:g}% of {'all runs' if job == '*' else job}" for job, share in plan.fail)
        yield f"fail: {', '.join(shares)}"
    for word, troubles in (("crash", plan.crashes), ("hang", plan.hangs)):
        if troubles:
            yield f"{word}: " + ", ".join(f"{one.job} at {duration(one.at)}" for one in troubles)
    for step in plan.clock_steps:
        way = "forward" if step.seconds > 0 else "back"
        yield f"the clock is set {way} by {duration(abs(step.seconds))} at {duration(step.at)}"


def _span(span: Span) -> str:
    if span.low == WAIT_FOR_EVER:
        return duration(span.low)
    low, high = duration(span.low), duration(span.high)
    return low if span.low == span.high else f"{low} to {high}"


def _sum(result: SimulationResult) -> str:
    jobs, runs, events = len(result.jobs), sum(job.runs for job in result.jobs), result.events
    took = "never ended" if result.stop_seconds is None else f"took {duration(result.stop_seconds, is_rounded=True)}"
    worst, start = result.worst_stop_seconds, format_wall(result.plan.start).replace(".000000", "")
    most = "and nothing limits it" if worst == WAIT_FOR_EVER else f"and may take {duration(worst)}"
    return (
        f"{plural(jobs, 'job')} for {duration(result.seconds, is_rounded=True)} from {start}, "
        f"seed {result.plan.seed}: {plural(runs, 'run')}, {plural(events, 'event')}; the stop {took}, {most}"
    )


def _table(result: SimulationResult) -> str:
    rows = [_HEAD, *(_row(job) for job in result.jobs)]
    return table(rows)


def _row(job: JobStats) -> tuple[str, ...]:
    is_scheduled = job.spec.schedule is not None
    overlaps = job.missed["overlap"]
    of_schedule = (job.firings, overlaps, job.missed.total() - overlaps)
    firings, overlaps_text, missed = (str(count) if is_scheduled else "-" for count in of_schedule)
    next_firing = "-" if job.next_firing is None else format_instant(job.next_firing, _zone(job))
    return (
        job.spec.name, firings, str(job.runs), str(job.succeeded), str(job.failed), str(job.restarts), overlaps_text,
        missed, duration(job.longest_stop, is_rounded=True), _state(job), next_firing,
    )  # fmt: skip


def _zone(job: JobStats) -> str | None:
    """Return the zone in which the job's calendar is written; None for the machine's."""
    calendar = job.spec.schedule.calendar if job.spec.schedule is not None else None
    return getattr(calendar, "timezone", None)


def _state(job: JobStats) -> str:
    words = job.state.value
    if job.state is JobState.WAITING and job.waiting_for is not None:
        words = f"waiting ({job.waiting_for.value})"
    return f"{words}, gave up" if job.has_given_up else words
