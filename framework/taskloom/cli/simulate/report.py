"""The report of a simulation: a table, the assumptions and the findings; or JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from taskloom.calendars import format_instant, fraction_digits
from taskloom.cli.simulate.findings import findings
from taskloom.core.events import format_wall
from taskloom.core.model import WAIT_FOR_EVER, JobState
from taskloom.simulation.plan import SHORT_WORK, Span
from taskloom.simulation.result import SimulationResult
from taskloom.simulation.tally import JobStats
from taskloom.text import duration, plural, table

__all__ = ["as_data", "as_text"]

_HEAD = (
    "JOB", "FIRINGS", "RUNS", "SUCCEEDED", "FAILED", "RESTARTS", "OVERLAPS", "MISSED", "LONGEST STOP", "AT THE END",
    "NEXT FIRING",
)  # fmt: skip
# With a thousand jobs there may be thousands of findings; users read the first ones.
MOST_FINDINGS = 30


def as_data(result: SimulationResult) -> dict[str, Any]:
    """Return the result, the assumptions and the findings as data for JSON."""
    return result.as_dict() | {"assumed": list(_assumptions(result)), "remarks": findings(result)}


def as_text(result: SimulationResult) -> str:
    """Return the table, the totals, the assumptions and the findings."""
    found = findings(result)
    left = len(found) - MOST_FINDINGS
    more = [f"... and {plural(left, 'more remark')}; -o json has all of them"] if left > 0 else []
    notes = ["", *found[:MOST_FINDINGS], *more] if found else []
    assumptions = [f"  {line}" for line in _assumptions(result)]
    return "\n".join([table([_HEAD, *map(_row, result.jobs)]), "", _summary(result), "assumed:", *assumptions, *notes])


def _assumptions(result: SimulationResult) -> Iterator[str]:
    """Yield the assumptions about runs, faults and clocks as sentences."""
    plan = result.plan
    short = f"runs work {duration(SHORT_WORK.low)} if their job has a schedule or other jobs wait for its end"
    usual = f"{short}, else until they are stopped"
    given = ", ".join(f"{job} {_span(span)}" for job, span in plan.work)
    yield f"{usual}; except {given}" if given else usual
    if plan.stops_in:
        yield "time to stop: " + ", ".join(f"{job} {_span(span)}" for job, span in plan.stops_in)
    if plan.fail:
        shares = (f"{share * 100:g}% of {'all runs' if job == '*' else job}" for job, share in plan.fail)
        yield f"fail: {', '.join(shares)}"
    if plan.cut:
        shares = (f"{share * 100:g}% of {'all runs' if job == '*' else job} on the cluster" for job, share in plan.cut)
        yield f"cut off: {', '.join(shares)}; a third of these workers die, a third come back, a third never do"
    for kind, faults in (("crash", plan.crashes), ("hang", plan.hangs)):
        if faults:
            yield f"{kind}: " + ", ".join(f"{fault.job} at {duration(fault.at)}" for fault in faults)
    for at, step in plan.clock_steps:
        way = "forward" if step.by > 0 else "back"
        yield f"the clock is set {way} by {duration(abs(step.by))} at {duration(at)}"


def _span(span: Span) -> str:
    if span.low == WAIT_FOR_EVER:
        return duration(span.low)
    low, high = duration(span.low), duration(span.high)
    return low if span.low == span.high else f"{low} to {high}"


def _summary(result: SimulationResult) -> str:
    jobs, runs, events = len(result.jobs), sum(job.runs for job in result.jobs), result.events
    took = "never ended" if result.stop_seconds is None else f"took {duration(result.stop_seconds, is_rounded=True)}"
    worst, start = result.worst_stop_seconds, format_wall(result.plan.start).replace(".000000", "")
    limit = "and has no time limit" if worst == WAIT_FOR_EVER else f"and may take up to {duration(worst)}"
    return (
        f"{plural(jobs, 'job')} for {duration(result.seconds, is_rounded=True)} from {start}, "
        f"seed {result.plan.seed}: {plural(runs, 'run')}, {plural(events, 'event')}; the stop {took} {limit}"
    )


def _row(job: JobStats) -> tuple[str, ...]:
    is_scheduled = job.spec.schedule is not None
    overlaps = job.missed["overlap"]
    of_schedule = (job.firings, overlaps, job.missed.total() - overlaps)
    firings, overlaps_text, missed = (str(count) if is_scheduled else "-" for count in of_schedule)
    return (
        job.spec.name, firings, str(job.runs), str(job.succeeded), str(job.failed), str(job.restarts), overlaps_text,
        missed, duration(job.longest_stop, is_rounded=True), _state(job), _next_firing(job),
    )  # fmt: skip


def _next_firing(job: JobStats) -> str:
    schedule = job.spec.schedule
    if job.next_firing is None or schedule is None:
        return "-"
    zone = getattr(schedule.calendar, "timezone", None)  # None for the machine's
    return format_instant(job.next_firing, zone, fraction_digits(schedule, is_jittered=True))


def _state(job: JobStats) -> str:
    text = job.state.value
    if job.state is JobState.WAITING and job.waiting_for is not None:
        text = f"waiting ({job.waiting_for.value})"
    return f"{text}, gave up" if job.has_given_up else text
