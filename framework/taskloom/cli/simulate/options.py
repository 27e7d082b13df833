"""The option types of `taskloom simulate`: spans, shares, faults at a time, jobs by name or pattern."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from taskloom.cli.options import read_seconds
from taskloom.text import did_you_mean, duration, first_of

if TYPE_CHECKING:
    from taskloom.core.model import JobSpec
    from taskloom.simulation.plan import ClockStep, Fault, Plan, Span

__all__ = ["ReadBy", "check_jobs", "clock_step", "fault", "instant", "share", "span"]

Value = TypeVar("Value")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?)%", re.ASCII)
_MOST_NAMED = 8
_EVERY_JOB = "*"


class ReadBy(click.ParamType[Value]):
    """A type of option; `read` parses the text, or raises ValueError with the whole message."""

    def __init__(self, read: Callable[[str], Value]) -> None:
        self.name, self._read = read.__name__, read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Value:
        """Return the parsed value; a default that is not text is returned as it is."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(f"{error}", param, ctx)


def span(text: str) -> tuple[str, Span]:
    """Read `JOB=5s`, `JOB=1s..10s` or `JOB=forever`."""
    from taskloom.simulation.plan import FOR_EVER, Span

    job, sign, written = text.partition("=")
    if not (job and sign and written):
        raise ValueError(f"cannot read {text!r}; write JOB=5s, JOB=1s..10s or JOB=forever")
    if written == "forever":
        return job, FOR_EVER
    low, _, high = written.partition("..")
    drawn = Span(read_seconds(low), read_seconds(high or low))
    if drawn.low > drawn.high:
        raise ValueError(f"cannot use {written!r} as a span; the shorter time comes first, {high}..{low}")
    return job, drawn


def share(text: str) -> tuple[str, float]:
    """Read `5%`, for all jobs (`*`), or `JOB=5%`; the share is from 0.0 to 1.0."""
    job, sign, written = text.rpartition("=")
    found = _PERCENT.fullmatch(written)
    if found is None or float(found[1]) > 100 or (sign and not job):
        raise ValueError(f"cannot read {text!r} as a share of runs; write 5% or JOB=5%, from 0% to 100%")
    return job or _EVERY_JOB, float(found[1]) / 100


def fault(text: str) -> Fault:
    """Read `JOB@2h`."""
    from taskloom.simulation.plan import Fault

    job, _, when = text.rpartition("@")
    if not job:
        raise ValueError(f"cannot read {text!r}; write JOB@2h: the job, and how long after the beginning")
    return Fault(job, read_seconds(when))


def clock_step(text: str) -> tuple[float, ClockStep]:
    """Read `+1h@5h`, set the clock forward by 1 hour after 5 hours; the time comes first in the result."""
    from taskloom.simulation.plan import ClockStep

    step, sign, when = text.partition("@")
    if not sign or step[:1] not in ("+", "-"):
        raise ValueError(f"cannot read {text!r}; write +1h@5h or -30m@2d: by how much the clock is set, and when")
    seconds = read_seconds(step[1:])
    return read_seconds(when), ClockStep(-seconds if step[0] == "-" else seconds)


def instant(text: str) -> float:
    """Read a date and time, with an offset or in the machine's time zone, as seconds since the epoch."""
    from taskloom.calendars import at_calendar

    return at_calendar(text).instant


def check_jobs(plan: Plan, specs: Sequence[JobSpec]) -> None:
    """Raise click.UsageError for the first name or pattern that matches no job, or time after the end."""
    from taskloom.core.model import CLUSTER
    from taskloom.simulation.plan import matches

    patterns = [pattern for pattern, _ in (*plan.work, *plan.stops_in, *plan.fail, *plan.cut) if pattern != _EVERY_JOB]
    for pattern in [*patterns, *(fault.job for fault in (*plan.crashes, *plan.hangs))]:
        if not any(matches(pattern, one) for spec in specs for one in spec.replicated()):
            names = [spec.name for spec in specs]
            hint = did_you_mean(pattern, names, before="; ")
            raise click.UsageError(f"cannot find job {pattern!r}; jobs: {first_of(names, _MOST_NAMED)}{hint}")
    for pattern, _ in plan.cut:
        if not any(one.runner.name == CLUSTER and matches(pattern, one) for spec in specs for one in spec.replicated()):
            of = "" if pattern == _EVERY_JOB else f" of {pattern!r}"
            raise click.UsageError(f"cannot cut off runs{of}: no such job has runner: {CLUSTER}")
    for action, at in _times(plan):
        if at >= plan.seconds:
            raise click.UsageError(
                f"cannot {action} at {duration(at)}: the simulated time is over after {duration(plan.seconds)}"
            )


def _times(plan: Plan) -> Iterable[tuple[str, float]]:
    yield from ((f"crash {one.job!r}", one.at) for one in plan.crashes)
    yield from ((f"hang {one.job!r}", one.at) for one in plan.hangs)
    yield from (("set the clock", at) for at, _ in plan.clock_steps)
