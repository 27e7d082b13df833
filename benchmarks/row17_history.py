"""Row 17: what a history costs: how long a start of the program takes, its memory, and the work for each run.

The program without a history is the limit. Its runs do nothing, so the ratio is the worst that there is: what matters
is the difference. `run cpu_us` has the work of all threads, of which the one that writes is most.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sysconfig
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from harness import Case, Claim, Figures, Role, Row
from jobfiles import job_file
from meters import Stopwatch, pss_mib

from taskloom import Context, Job, Scheduler

JOBS = 10
# For what a program does after it has printed its first line: the thread that writes opens the file before that.
SETTLING_SECONDS = 0.5
# Starts in one round, and runs for each of them.
RUNS_PER_START = 200


def _noop(ctx: Context) -> None:
    """Do nothing; the work of the job."""


def _start(path: Path, history: str) -> Figures:
    """Start a program with idle jobs, and stop it when every job is running."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with subprocess.Popen(
        [Path(sysconfig.get_path("scripts")) / "taskloom", "run", path],
        env=os.environ | {"TASKLOOM_HISTORY": history},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as program:
        try:
            # The line of the first job that runs.
            if program.stdout is None or not program.stdout.readline():
                raise RuntimeError("the program ended by itself")
            up = time.perf_counter() - began
            time.sleep(SETTLING_SECONDS)
            memory = pss_mib([program.pid])
            program.send_signal(signal.SIGTERM)
            program.wait()
        finally:
            program.kill()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"up_ms": up * 1e3, "mib": memory, "cpu_ms": used * 1e3}


def _runs(times: int, history: Path | None) -> Figures:
    """Start and join one run after the other, and write all of them."""
    with ExitStack() as ending:
        scheduler = ending.enter_context(Scheduler(log=False))
        if history is not None:
            from taskloom.history import record

            ending.enter_context(record(scheduler, history, name="bench"))
        job = scheduler.add(Job(name="noop", task=_noop))
        job.start().join()
        with Stopwatch() as watch:
            for _ in range(times):
                job.start().join()
            ending.close()  # which writes the rest
    each = watch.each(times)
    return {"run_us": each["us"], "run_cpu_us": each["cpu_us"]}


def _measure(times: int, *, is_on: bool) -> Figures:
    with TemporaryDirectory() as folder, job_file(JOBS) as path:
        starts = [_start(path, f"{folder}/starts.sqlite" if is_on else "off") for _ in range(times)]
        figures = {name: median(each[name] for each in starts) for name in starts[0]}
        return figures | _runs(times * RUNS_PER_START, Path(folder) / "runs.sqlite" if is_on else None)


def with_history(times: int) -> Figures:
    return _measure(times, is_on=True)


def without_history(times: int) -> Figures:
    return _measure(times, is_on=False)


ROW = Row(
    number=17,
    title=f"a history: a start with {JOBS} idle jobs, memory, and runs that do nothing",
    cases=[
        Case("history on", Role.PRODUCT, with_history),
        Case("history off", Role.LIMIT, without_history),
    ],
    figures={
        "up_ms": "ms to the first line",
        "mib": "MiB",
        "cpu_ms": "ms CPU of start and stop",
        "run_us": "us a run",
        "run_cpu_us": "us CPU a run",
    },
    claims=[
        Claim("history on", "up_ms", "history off", hold=2.5, aim=1.7),
        Claim("history on", "mib", "history off", hold=2.5, aim=1.7),
        Claim("history on", "cpu_ms", "history off", hold=2.5, aim=1.7),
        Claim("history on", "run_cpu_us", "history off", hold=6.0, aim=3.0),
    ],
    full=5,
    quick=2,
    tiny=1,
)
