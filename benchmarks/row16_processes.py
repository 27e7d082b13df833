"""Row 16: runs in processes: how long a start takes, how soon a cancellation is seen there, and 100 starts at once.

The limit is `subprocess.Popen` of an interpreter that imports taskloom and the module of the task, and then says so on
a pipe. It has no supervisor, no control socket and no log.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Condition

from harness import Case, Claim, Figures, Limit, Role, Row
from process_task import Waiter

from taskloom import Event, EventName, Job, JobHandle, Scheduler

HERE = Path(__file__).resolve().parent
AT_ONCE = 100
# The size that only tests the benchmark itself.
TINY, FEW = 1, 4
# Only a failure takes longer.
PATIENCE_SECONDS = 120.0

CHILD = """
import os, sys
import taskloom, process_task
os.write(1, b"x")
sys.stdin.read()
"""


class _Ready:
    """Counts the runs that have become ready."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._changed = Condition()
        self._count = 0
        scheduler.listen(self._hear)

    def _hear(self, event: Event) -> None:
        if event.event is EventName.READY:
            with self._changed:
                self._count += 1
                self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._count >= count, PATIENCE_SECONDS):
                raise TimeoutError(f"{self._count} of {count} runs are ready")


@contextmanager
def _scheduler(jobs: int) -> Iterator[tuple[list[JobHandle], list[Path], _Ready]]:
    """A scheduler with jobs in processes; the files in which their runs write when they have seen a cancellation."""
    with TemporaryDirectory() as folder, Scheduler(log=False) as scheduler:
        paths = [Path(folder) / str(number) for number in range(jobs)]
        handles = [
            scheduler.add(Job(name=f"j{path.name}", task=Waiter, params={"path": str(path)}, runner="process"))
            for path in paths
        ]
        yield handles, paths, _Ready(scheduler)


def start_and_cancel(times: int) -> Figures:
    """Start one run after the other, and cancel each; the fastest start counts, since it was disturbed least.

    An interpreter is started after each run, so that other load disturbs both alike; of both the median counts.
    """
    starts, cancels, others = [], [], []
    with _scheduler(times + 1) as (handles, paths, ready):
        for number, (handle, path) in enumerate(zip(handles, paths, strict=True), 1):
            began = time.perf_counter()
            run = handle.start()
            ready.wait_for(number)
            starts.append(time.perf_counter() - began)
            asked = time.monotonic()
            run.cancel("enough")
            run.join(PATIENCE_SECONDS)
            cancels.append(float(path.read_text()) - asked)
            others.append(_start_interpreter())
    # The first one starts the threads of the runner as well.
    return {
        "ms": min(starts[1:]) * 1e3,
        "popen_times": median(starts[1:]) / median(others[1:]),
        "cancel_ms": median(cancels[1:]) * 1e3,
    }


def _start_interpreter() -> float:
    """Return after how many seconds it has imported its modules."""
    began = time.perf_counter()
    child = _popen()
    _wait(child)
    taken = time.perf_counter() - began
    _end(child)
    return taken


def _popen() -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)])}
    command = [sys.executable, "-c", CHILD]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _end(child: subprocess.Popen[bytes]) -> None:
    with child:
        if child.stdin is not None:
            child.stdin.close()


def _wait(child: subprocess.Popen[bytes]) -> None:
    if child.stdout is None or child.stdout.read(1) != b"x":
        raise RuntimeError("the child process has failed")


def popen(times: int) -> Figures:
    """Start one interpreter after the other."""
    return {"ms": min([_start_interpreter() for _ in range(times + 1)][1:]) * 1e3}


def at_once(times: int) -> Figures:
    """Start many runs at once, and stop all of them at once."""
    count = FEW if times == TINY else AT_ONCE
    with _scheduler(count) as (handles, _, ready):
        began = time.perf_counter()
        for handle in handles:
            handle.start(timeout=0)
        ready.wait_for(count)
        taken = time.perf_counter() - began
    return {"all_ms": taken * 1e3}


def popen_at_once(times: int) -> Figures:
    """Start as many interpreters at once."""
    began = time.perf_counter()
    children = [_popen() for _ in range(FEW if times == TINY else AT_ONCE)]
    for child in children:
        _wait(child)
    taken = time.perf_counter() - began
    for child in children:
        _end(child)
    return {"all_ms": taken * 1e3}


ROW = Row(
    number=16,
    title="runs in processes",
    cases=[
        Case("runner: process", Role.PRODUCT, start_and_cancel),
        Case("runner: process, 100 at once", Role.PRODUCT, at_once),
        Case("Popen of an interpreter", Role.LIMIT, popen),
        Case("Popen, 100 at once", Role.LIMIT, popen_at_once),
    ],
    figures={
        "ms": "ms",
        "popen_times": "x a Popen beside it",
        "cancel_ms": "ms until a cancel is seen",
        "all_ms": "ms for all",
    },
    claims=[
        Limit("runner: process", "popen_times", hold=1.5),
        Claim("runner: process, 100 at once", "all_ms", "Popen, 100 at once", hold=2.0, aim=1.5),
        Limit("runner: process", "cancel_ms", hold=2.0),
    ],
    full=20,
    quick=5,
    tiny=TINY,
)
