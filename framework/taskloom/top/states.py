"""The state of a job in a symbol and words, and how bad it is."""

from __future__ import annotations

from typing import NamedTuple

from taskloom.cli.control.instants import until
from taskloom.text import measured, rough
from taskloom.top.job_row import JobRow
from taskloom.top.styled import Style

__all__ = ["STUCK_RANK", "Shown", "shown_state"]

STUCK_RANK = 0
"""The rank of a run that is past its limit, and of nothing else."""

_ENDS = {
    "succeeded": ("✓", Style.GOOD),
    "cancelled": ("-", Style.DIM),
    "failed": ("✗", Style.BAD),
    "start_failed": ("✗", Style.BAD),
    "timed_out": ("✗", Style.BAD),
    "abandoned": ("■", Style.BAD),
    "lost": ("✗", Style.BAD),
}


class Shown(NamedTuple):
    """A state as it is shown. `rank`: jobs with trouble have a lower one; the table can be sorted by it."""

    symbol: str
    words: str
    style: Style
    rank: int

    def __str__(self) -> str:
        return f"{self.symbol} {self.words}"


def shown_state(job: JobRow, now: float) -> Shown:
    """Return the state of a job at a second of the monotonic clock."""
    passed = max(0.0, now - job.read_at)
    if job.state == "stopping":
        return _stopping(job, passed)
    if job.state == "running":
        return _running(job, passed)
    if job.state == "waiting":
        return _waiting(job, passed)
    if job.state == "blocked":
        return Shown("■", "blocked", Style.BAD, 1)
    if "stopped by user" in job.marks:
        return Shown("-", "stopped", Style.DIM, 7)
    if job.state == "finished":
        if "gave up" in job.marks:
            return Shown("✗", "gave up", Style.BAD, 1)
        symbol, style = _ENDS.get(job.outcome, ("-", Style.DIM))
        if not job.has_failed and style is Style.BAD:
            style = Style.WARN
        return Shown(symbol, job.outcome.replace("_", " ") or "finished", style, 1 if style is Style.BAD else 8)
    return Shown("-", job.state or "unknown", Style.DIM, 8)  # skipped, disabled, or a state of a later version


def _stopping(job: JobRow, passed: float) -> Shown:
    if job.stopping_for is None:
        return Shown("◐", "stopping", Style.WARN, 2)
    since = job.stopping_for + passed
    limit = None if job.stop_left is None else job.stopping_for + job.stop_left
    if "overdue" in job.marks or (limit is not None and since > limit):
        return Shown("■", f"STUCK for {rough(since)}", Style.BAD, STUCK_RANK)
    of = "" if limit is None else f" of {rough(limit)}"
    return Shown("◐", f"stopping {measured(since).replace(' ', '')}{of}", Style.WARN, 2)


def _running(job: JobRow, passed: float) -> Shown:
    if "unreachable" in job.marks:
        return Shown("?", "unreachable", Style.BAD, 1)
    if "unresponsive" in job.marks:
        age = "" if job.poll_age is None else f" for {rough(job.poll_age + passed)}"
        return Shown("●", f"no poll{age}", Style.BAD, 1)
    if "flapping" in job.marks:
        return Shown("●", "running, flapping", Style.WARN, 3)
    if "ready" not in job.marks:
        return Shown("◔", "not ready", Style.WARN, 4)
    return Shown("●", "running, paused" if "paused" in job.marks else "running", Style.GOOD, 5)


def _waiting(job: JobRow, passed: float) -> Shown:
    left = "" if job.due_in is None else f" in {until(job.due_in - passed)}"
    if job.waiting_for == "backoff":
        return Shown("◌", f"retry{left}", Style.WARN, 2)
    if "paused" in job.marks:
        return Shown("‖", "paused", Style.WARN, 6)
    if job.waiting_for == "delay":
        return Shown("○", f"starts{left}", Style.PLAIN, 6)
    if job.waiting_for == "dependency":
        return Shown("○", f"after {job.waits_for}" if job.waits_for else "after others", Style.PLAIN, 6)
    if job.waiting_for == "start":
        return Shown("○", "not started", Style.DIM, 7)
    return Shown("○", "waiting", Style.PLAIN, 6)
