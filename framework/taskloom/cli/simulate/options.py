"""The option types of `taskloom simulate`: spans, shares, faults at a time, jobs by name or pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from taskloom.cli.options import read_seconds
from taskloom.text import did_you_mean, duration, first_of

if TYPE_CHECKING:
    from taskloom.core.model import JobSpec
    from taskloom.simulation.plan import Fault, Plan, Span
    from taskloom.simulation.script import ClockStep

__all__ = ["ClockStepAtTime", "FaultAtTime", "Instant", "Share", "SpanOfJob", "check_jobs"]

Value = TypeVar("Value")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?)%", re.ASCII)
_MOST_NAMED = 8
_EVERY_JOB = "*"


class _TextType(click.ParamType[Value]):
    """A type of option; `read` parses the text, or raises ValueError with the whole message."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Value:
        """Return the parsed value; a default that is not text is returned as it is."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            return self.read(value)
        except ValueError as error:
            self.fail(f"{error}", param, ctx)

    def read(self, text: str) -> Value:
        """Parse the text. Raises ValueError."""
        raise ValueError(text)


class SpanOfJob(_TextType[tuple[str, "Span"]]):
    """`JOB=5s`, `JOB=1s..10s` or `JOB=forever`."""

    name = "job=span"

    def read(self, text: str) -> tuple[str, Span]:
        """Return the job and the span."""
        from taskloom.simulation.plan import FOR_EVER, Span

        job, sign, written = text.partition("=")
        if not (job and sign and written):
            raise ValueError(f"cannot read {text!r}; write JOB=5s, JOB=1s..10s or JOB=forever")
        if written == "forever":
            return job, FOR_EVER
        low, _, high = written.partition("..")
        span = Span(read_seconds(low), read_seconds(high or low))
        if span.low > span.high:
            raise ValueError(f"cannot use {written!r} as a span; the shorter time comes first, {high}..{low}")
        return job, span


class Share(_TextType[tuple[str, float]]):
    """`5%`, for all jobs, or `JOB=5%`."""

    name = "[job=]percent"

    def read(self, text: str) -> tuple[str, float]:
        """Return the job, `*` for all of them, and the share from 0.0 to 1.0."""
        job, sign, written = text.rpartition("=")
        found = _PERCENT.fullmatch(written)
        if found is None or float(found[1]) > 100 or (sign and not job):
            raise ValueError(f"cannot read {text!r} as a share of runs; write 5% or JOB=5%, from 0% to 100%")
        return job or _EVERY_JOB, float(found[1]) / 100


class FaultAtTime(_TextType["Fault"]):
    """`JOB@2h`."""

    name = "job@duration"

    def read(self, text: str) -> Fault:
        """Return the job and when, in seconds from the beginning."""
        from taskloom.simulation.plan import Fault

        job, _, when = text.rpartition("@")
        if not job:
            raise ValueError(f"cannot read {text!r}; write JOB@2h: the job, and how long after the beginning")
        return Fault(job, read_seconds(when))


class ClockStepAtTime(_TextType[tuple[float, "ClockStep"]]):
    """`+1h@5h`: set the clock forward by 1 hour after 5 hours."""

    name = "step@duration"

    def read(self, text: str) -> tuple[float, ClockStep]:
        """Return when the wall clock is set, and by how many seconds."""
        from taskloom.simulation.script import ClockStep

        step, sign, when = text.partition("@")
        if not sign or step[:1] not in ("+", "-"):
            raise ValueError(f"cannot read {text!r}; write +1h@5h or -30m@2d: by how much the clock is set, and when")
        seconds = read_seconds(step[1:])
        return read_seconds(when), ClockStep(-seconds if step[0] == "-" else seconds)


class Instant(_TextType[float]):
    """A date and time, with an offset or in the machine's time zone."""

    name = "instant"

    def read(self, text: str) -> float:
        """Return seconds since the epoch."""
        from taskloom.calendars import at_calendar

        return at_calendar(text).instant


def check_jobs(plan: Plan, specs: Sequence[JobSpec]) -> None:
    """Raise click.UsageError for the first name or pattern that matches no job, or time after the end."""
    from taskloom.simulation.plan import matches

    patterns = [pattern for pattern, _ in (*plan.work, *plan.stops_in, *plan.fail) if pattern != _EVERY_JOB]
    for pattern in [*patterns, *(fault.job for fault in (*plan.crashes, *plan.hangs))]:
        if not any(matches(pattern, one) for spec in specs for one in spec.replicated()):
            _refuse_job(pattern, [spec.name for spec in specs])
    for action, at in _times(plan):
        if at >= plan.seconds:
            raise click.UsageError(
                f"cannot {action} at {duration(at)}: the simulated time is over after {duration(plan.seconds)}"
            )


def _times(plan: Plan) -> Iterable[tuple[str, float]]:
    yield from ((f"crash {one.job!r}", one.at) for one in plan.crashes)
    yield from ((f"hang {one.job!r}", one.at) for one in plan.hangs)
    yield from (("set the clock", at) for at, _ in plan.clock_steps)


def _refuse_job(pattern: str, names: Sequence[str]) -> NoReturn:
    hint = did_you_mean(pattern, names, before="; ")
    raise click.UsageError(f"cannot find job {pattern!r}; jobs: {first_of(names, _MOST_NAMED)}{hint}")
