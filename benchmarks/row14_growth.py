"""Row 14: the cost of ten times as many jobs, from load to stop. The number of repetitions is the number of jobs.

The other case has ten times as many. Each case is a fresh process, with real threads that wait on their tokens.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import TypeVar

from harness import Case, Claim, Figures, Role, Row
from jobfiles import job_file
from meters import wait_until

from taskloom import Scheduler, load

TENFOLD = 10
# One job of this number is changed in a field that applies to its current run.
RELOADED = 10
# How often a status is read and a reload made: a garbage collection may happen during any of them.
REPEATED = 9

Result = TypeVar("Result")


class Steps:
    """Milliseconds of each step."""

    def __init__(self) -> None:
        self.figures: Figures = {}

    def time(self, name: str, step: Callable[[], Result], times: int = 1) -> Result:
        """Run a step `times` times, and record the median of its duration."""
        taken = []
        for _ in range(times):
            began = time.perf_counter()
            result = step()
            taken.append((time.perf_counter() - began) * 1e3)
        self.figures[name] = median(taken)
        return result


def _live_through(jobs: int) -> Figures:
    steps = Steps()
    with job_file(jobs) as path:
        return _live_with(path, steps)


def _live_with(path: Path, steps: Steps) -> Figures:
    specs = list(steps.time("load", lambda: load(path)))
    scheduler = Scheduler()

    def start() -> None:
        scheduler.add_all(specs)
        scheduler.start()

    changed = [
        replace(spec, poll_interval=0.25) if number % RELOADED == 0 else spec for number, spec in enumerate(specs)
    ]
    versions = cycle((changed, specs))
    steps.time("start", start)
    wait_until(lambda: all(job.poll_age == 0.0 for job in scheduler.status()))  # each job waits on its token
    steps.time("status", scheduler.status, REPEATED)
    changes = steps.time("reload", lambda: scheduler.reload(next(versions)), REPEATED)
    report = steps.time("stop", scheduler.stop)
    if not report.is_clean or len(changes) < len(specs) // RELOADED:
        raise RuntimeError("not everything was changed and stopped")
    return steps.figures


def once(jobs: int) -> Figures:
    return _live_through(jobs)


def tenfold(jobs: int) -> Figures:
    return _live_through(TENFOLD * jobs)


def raw_threads(jobs: int) -> Figures:
    """Start and stop the same number of threads by hand, which shows the growth of the interpreter and the system."""
    steps = Steps()
    over = threading.Event()
    threads = [threading.Thread(target=over.wait) for _ in range(jobs)]

    def start() -> None:
        for thread in threads:
            thread.start()

    def stop() -> None:
        over.set()
        for thread in threads:
            thread.join()

    steps.time("start", start)
    steps.time("stop", stop)
    return steps.figures


def raw_threads_tenfold(jobs: int) -> Figures:
    return raw_threads(TENFOLD * jobs)


ROW = Row(
    number=14,
    title="ten times the jobs",
    cases=[
        Case("so many jobs", Role.PRODUCT, once),
        Case("ten times as many", Role.PRODUCT, tenfold),
        Case("so many raw threads", Role.LIMIT, raw_threads),
        Case("ten times as many raw threads", Role.LIMIT, raw_threads_tenfold),
    ],
    figures=dict.fromkeys(("load", "start", "status", "reload", "stop"), "ms"),
    claims=[
        Claim("ten times as many", step, "so many jobs", hold=15.0, aim=11.0)
        for step in ("load", "start", "status", "reload", "stop")
    ],
    full=1_000,
    quick=200,
    tiny=10,
)
