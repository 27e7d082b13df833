"""The text that the program writes on SIGQUIT: a table of the jobs, and the stack of each run."""

from __future__ import annotations

from taskloom.observe.summary import job_table
from taskloom.scheduler.facade import Scheduler
from taskloom.text import measured

__all__ = ["status_text"]


def status_text(scheduler: Scheduler, width: int | None, mark: str) -> str:
    """Return it. `width` and `mark` are those of the table; None for a file."""
    statuses = scheduler.status()
    by_run = {status.report.run: status for status in statuses}
    lines = [job_table(statuses, width, mark)]
    for run, stack in scheduler.stacks():
        status = by_run.get(run.id)
        age = status.poll_age if status is not None else None
        polled = "" if age is None else f", no poll for {measured(age)}"
        process = f", in process {status.process.pid}" if status is not None and status.process is not None else ""
        lines.append(f"\n{run.id} is at {stack.where or 'an unknown place'}{polled}{process}\n{stack.text.rstrip()}")
    return "\n".join(lines) + "\n"
