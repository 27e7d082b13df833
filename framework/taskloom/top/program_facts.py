"""The program as the head of the screen shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from taskloom.cli.control.instants import read_instant, until
from taskloom.cli.control.program_text import history_text, notification_lines, stop_text
from taskloom.control.reply_fields import Fields
from taskloom.text import plural, printable, rough, size
from taskloom.top.job_row import JobRow
from taskloom.top.states import STUCK_RANK, shown_state
from taskloom.top.styled import Line, Span, Style, cells, joined, line
from taskloom.top.table import Moment

__all__ = ["ProgramFacts", "Usage", "header", "program_facts"]


class Usage(NamedTuple):
    """The processor time and the memory of the program."""

    cpu: float | None
    """In percent of one processor, since it was last read; None the first time."""
    memory: int
    """In bytes."""


class ProgramFacts(NamedTuple):
    """The program at one moment."""

    title: str = ""
    start: str = ""
    since: float | None = None
    """When it was started, in seconds since the epoch."""
    state: str = ""
    alerts: tuple[str, ...] = ()
    """How its stop goes, and what is wrong with its history and its notifications."""
    usage: Usage | None = None


def program_facts(program: Fields, usage: Usage | None, now: float) -> ProgramFacts:
    """Return the facts of an answer. `now`: seconds since the epoch. Raises BadReply."""
    alerts = [stop_text(program)] if program.text("state") not in ("", "running") else []
    history = history_text(program, now)
    alerts += [history] if history else []
    return ProgramFacts(
        title=printable(program.text("label") or program.text("name")),
        start=program.text("start"),
        since=read_instant(program.text("since")),
        state=program.text("state"),
        alerts=(*alerts, *notification_lines(program)),
        usage=usage,
    )


def header(program: ProgramFacts, jobs: Sequence[JobRow], now: Moment, width: int) -> Line:
    """Return the first line of the screen; on a narrow one the least important parts are left out."""
    parts = [(0, line(Span("taskloom", Style.HEAD))), (0, line(program.title))]
    if program.since is not None:
        parts.append((2, line(f"up {rough(max(0.0, now.wall - program.since))}")))
    parts.append((1, line(plural(len(jobs), "job"))))
    parts += [
        (0 if style is Style.BAD else 1, line(Span(f"{count} {words}", style)))
        for words, count, style in _counts(jobs, now)
    ]
    if program.usage is not None:
        cpu = "" if program.usage.cpu is None else f"cpu {program.usage.cpu:.0f}% "
        parts.append((4, line(f"{cpu}rss {size(program.usage.memory)}")))
    due = min(
        ((job.next_at, job.name) for job in jobs if job.next_at is not None and "paused" not in job.marks), default=None
    )
    if due is not None:
        parts.append((3, line(Span("NEXT", Style.HEAD), f" {due[1]} in {until(due[0] - now.wall)}")))
    while cells_of(parts) > width and any(order for order, _ in parts):
        parts.remove(max(parts, key=lambda part: part[0]))
    return joined([part for _, part in parts], "  ")


def cells_of(parts: Sequence[tuple[int, Line]]) -> int:
    """Return the width of these parts with the gaps between."""
    return sum(cells(span.text) for _, part in parts for span in part) + 2 * (len(parts) - 1)


def _counts(jobs: Sequence[JobRow], now: Moment) -> list[tuple[str, int, Style]]:
    stuck = sum(shown_state(job, now.mono).rank == STUCK_RANK for job in jobs)
    counted = [
        ("running", sum(job.state == "running" for job in jobs), Style.GOOD),
        ("stopping", sum(job.state == "stopping" for job in jobs) - stuck, Style.WARN),
        ("STUCK", stuck, Style.BAD),
        ("retrying", sum(job.waiting_for == "backoff" for job in jobs), Style.WARN),
        ("blocked", sum(job.state == "blocked" for job in jobs), Style.BAD),
        ("failed", sum(job.has_failed for job in jobs), Style.BAD),
    ]
    return [each for each in counted if each[1] > 0]
