"""A scheduler with one running job, and the report of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.control_server import PATIENCE_SECONDS

from taskloom import Context, Job, Scheduler
from taskloom.core.model import JobState
from taskloom.core.report import JobReport
from taskloom.sync.latch import Latch

RUNNING = JobReport(
    job="web",
    task="web",
    daemon=False,
    state=JobState.RUNNING,
    waiting_for=None,
    runs=1,
    outcome=None,
    seconds=1.0,
    reason=None,
    error=None,
)
"""The report of the job `web`, which has its first run."""


@contextmanager
def running_web() -> Iterator[Scheduler]:
    """A scheduler with one running job, `web`."""
    ready = Latch()

    def work(ctx: Context) -> None:
        ready.open()
        ctx.wait()

    with Scheduler(log=False) as one:
        one.add(Job(name="web", task=work))
        one.start()
        assert ready.wait(PATIENCE_SECONDS)
        yield one
