"""One job as the screen shows it, read from its status in an answer of the API."""

from __future__ import annotations

from typing import NamedTuple

from taskloom.cli.control.instants import read_instant
from taskloom.control.reply_fields import Fields
from taskloom.text import measured, printable

__all__ = ["JobRow", "job_row"]

_MOST_WHOLE = 1e12


class JobRow(NamedTuple):
    """A job at one moment. Times are in seconds; texts are printable."""

    name: str
    task: str = ""
    state: str = ""
    waiting_for: str = ""
    waits_for: str = ""
    run: str = ""
    """The id of its last run."""
    seconds: float = 0.0
    """How long its last run took."""
    due_in: float | None = None
    next_at: float | None = None
    """When its schedule fires, in seconds since the epoch."""
    outcome: str = ""
    note: str = ""
    """Its progress, its counts, why it was stopped, its error; the first of them that there is."""
    progress: float | None = None
    """The share that is done, from 0 to 1."""
    marks: frozenset[str] = frozenset()
    labels: tuple[str, ...] = ()
    restarts: int = 0
    has_failed: bool = False
    is_wrong: bool = False
    poll_age: float | None = None
    stopping_for: float | None = None
    stop_left: float | None = None
    within: float | None = None
    read_at: float = 0.0
    """The second of the monotonic clock of this process for which the times hold."""

    @property
    def number(self) -> str:
        """The number of its last run: `#12`; a dash if it had none."""
        return f"#{self.run.rpartition('#')[2]}" if "#" in self.run else self.run or "-"

    @property
    def is_alive(self) -> bool:
        """Whether it has a run that has not ended."""
        return self.state in ("running", "stopping")


def job_row(job: Fields, read_at: float) -> JobRow:
    """Return the row of a status. Raises BadReply."""
    progress = job.object("progress")
    done, total = progress.number("done"), progress.number("total")
    return JobRow(
        name=printable(job.text("job")),
        task=printable(job.text("task")),
        state=job.text("state"),
        waiting_for=job.text("waiting_for"),
        waits_for=printable(job.text("waits_for")),
        run=job.text("run"),
        seconds=job.number("seconds") or 0.0,
        due_in=job.number("due_in"),
        next_at=read_instant(job.text("next_firing")),
        outcome=job.text("outcome"),
        note=printable(_note(job)),
        progress=min(1.0, max(0.0, done / total)) if done is not None and total else None,
        marks=frozenset(job.texts("marks")),
        labels=tuple(job.texts("labels")),
        restarts=job.count("restarts"),
        has_failed=job.flag("failed"),
        is_wrong=job.flag("wrong"),
        poll_age=job.number("poll_age"),
        stopping_for=job.number("stopping_for"),
        stop_left=job.number("stop_left"),
        within=job.number("within"),
        read_at=read_at,
    )


def _note(job: Fields) -> str:
    """Return what matters most about the job now, on one line."""
    is_alive = job.text("state") in ("running", "stopping")
    error = job.text("error").split("\n", 1)[0]
    if error and not is_alive:
        return error
    if job.text("held"):
        return job.text("held")
    if job.has("would_meet_join") and not job.flag("would_meet_join") and job.text("state") == "running":
        age = job.number("poll_age")
        return "would not stop in time" + ("" if age is None else f": last poll {measured(age)} ago")
    parts = []
    progress = job.object("progress")
    if progress.has("done"):
        total = progress.number("total")
        of = "" if total is None else f"/{_number(total)}"
        parts.append(f"{_number(progress.number('done') or 0.0)}{of} {progress.text('unit')}".rstrip())
    parts += [f"{name} {count}" for name, count in job.counts("counts")]
    return ", ".join(parts) or ("" if is_alive else job.text("reason"))


def _number(value: float) -> str:
    """Return a number with all digits if it is a whole one: `1000000`, and not `1e+06`."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < _MOST_WHOLE else f"{value:g}"
