"""The text that the program writes on SIGQUIT: a table of the jobs, and the stack of each run."""

from __future__ import annotations

from taskloom.observe.summary import job_table
from taskloom.scheduler.facade import Scheduler
from taskloom.text import measured

__all__ = ["status_text"]


def status_text(scheduler: Scheduler, width: int | None, mark: str) -> str:
    """Return it. `width` and `mark` are those of the table; None for a file."""
    statuses = scheduler.status()
    ages = {status.report.run: status.poll_age for status in statuses}
    lines = [job_table(statuses, width, mark)]
    for run, stack in scheduler.stacks():
        age = ages.get(run.id)
        polled = "" if age is None else f", no poll for {measured(age)}"
        lines.append(f"\n{run.id} is at {stack.where or 'an unknown place'}{polled}\n{stack.text.rstrip()}")
    return "\n".join(lines) + "\n"
