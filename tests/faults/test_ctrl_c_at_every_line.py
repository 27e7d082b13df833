"""A Ctrl-C at every line that a caller executes inside a call of the scheduler: the stop after it ends on time.

A signal handler raises at a boundary between two instructions of the main thread. Each trial strikes one line of one
call, and then stops everything from another thread.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from tests.support.strikes import Strike, call_struck

from taskloom import Job, Scheduler
from taskloom.core.model import JobState
from taskloom.core.report import StopReport
from taskloom.scheduler import Run
from taskloom.sync.gc_pause import resume_gc

SOON = 20.0
# More than any of the calls has: the loop ends when a strike comes too late.
MOST_LINES = 2000


def wait(ctx: Any) -> None:
    ctx.wait()


class Trial:
    """A scheduler with two jobs, of which `a` is the one that is called."""

    def __init__(self, *, is_running: bool) -> None:
        self.scheduler = Scheduler()
        self.job = self.scheduler.add(Job(name="a", task=wait, join="1s"))
        self.other = self.scheduler.add(Job(name="b", task=wait, join="1s"))
        self.other_run = self.other.start()
        self.run = self.job.start() if is_running else None

    def live(self) -> Run:
        """Return the run of `a`."""
        assert self.run is not None
        return self.run

    def stop_elsewhere(self) -> StopReport:
        """Stop everything from another thread, as the rest of a program does; it has to end."""
        reports: list[StopReport] = []
        thread = threading.Thread(target=lambda: reports.append(self.scheduler.stop(within=5)), daemon=True)
        thread.start()
        thread.join(SOON)
        assert reports, "the stop hangs"
        return reports[0]

    def check(self) -> None:
        """Stop everything, and check that no run is left, named or forgotten."""
        report = self.stop_elsewhere()
        assert report.survivors == ()
        assert not self.other_run.is_alive()
        for job in (self.job, self.other):
            assert job.run is None or (not job.run.is_alive() and job.run.outcome is not None)
        assert not any(job.state in (JobState.RUNNING, JobState.STOPPING) for job in report.jobs)
        assert self.scheduler.bug is None
        resume_gc()  # as the scheduler's thread does before it sleeps
        assert gc.isenabled()


def leave_block(trial: Trial) -> None:
    trial.scheduler.__exit__(None, None, None)


CALLS: dict[str, tuple[bool, Callable[[Trial], object]]] = {
    "start": (False, lambda trial: trial.job.start()),
    "start all": (False, lambda trial: trial.scheduler.start()),
    "cancel": (True, lambda trial: trial.live().cancel()),
    "join": (True, lambda trial: trial.live().join(0)),
    "stop a job": (True, lambda trial: trial.job.stop(timeout=5)),
    "restart": (True, lambda trial: trial.job.restart()),
    "reset": (True, lambda trial: trial.job.reset()),
    "status": (True, lambda trial: trial.scheduler.status()),
    "stacks": (True, lambda trial: trial.scheduler.stacks()),
    "reload": (True, lambda trial: trial.scheduler.reload([Job(name="b", task=wait, join="1s")])),
    "request_stop": (True, lambda trial: trial.scheduler.request_stop(within=5)),
    "stop": (True, lambda trial: trial.scheduler.stop(within=5)),
    "leave the block": (True, leave_block),
}


# An interrupt in a finalizer or a weakref callback is only reported; it changes nothing.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("name", CALLS)
def test_a_ctrl_c_at_any_line_harms_no_later_stop(name: str, times: int, step: int) -> None:
    """Every line in the long share, otherwise one of `step` lines; `times`: at this number of lines in a row."""
    is_running, call = CALLS[name]
    struck = 0
    for nth in range(1, MOST_LINES, step):
        trial = Trial(is_running=is_running)
        strike = Strike(nth, KeyboardInterrupt, times)

        call_struck(strike, partial(call, trial))

        trial.check()
        if not strike.places:
            break
        struck += 1
    assert struck > 0
    assert nth < MOST_LINES - step, "more lines than expected"


def test_leaving_the_block_stops_everything_although_a_ctrl_c_interrupts_the_stop() -> None:
    """The interrupt is raised again, but only after everything has stopped."""
    struck_after_the_put = 0
    for nth in range(1, MOST_LINES):
        trial = Trial(is_running=True)
        strike = Strike(nth, KeyboardInterrupt)

        is_raised = call_struck(strike, partial(leave_block, trial))

        if not strike.places:
            break
        assert is_raised
        if trial.scheduler._engine.gate.is_closed:
            struck_after_the_put += 1
            assert trial.scheduler._engine.executor.report is not None, strike.places
            assert not trial.other_run.is_alive()
        trial.check()
    assert struck_after_the_put > 10


REAL_SIGNALS = """
    import os, signal, sys, threading
    from taskloom import Job, Scheduler

    def wait(ctx):
        ctx.wait()

    scheduler = Scheduler()
    scheduler.add_all(Job(name=f"j{number}", task=wait, join="5s") for number in range(1000))
    delay, call = float(sys.argv[1]), sys.argv[2]
    timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
    try:
        if call == "stop":
            scheduler.start()
        timer.start()
        scheduler.start() if call == "start" else scheduler.stop(within=10)
        timer.join()
        signal.sigtimedwait([], 0)
    except KeyboardInterrupt:
        print("struck")
    report = scheduler.stop(within=10)
    print(len(report.survivors), sum(thread.name.startswith("j") for thread in threading.enumerate()), scheduler.bug)
"""


@pytest.mark.parametrize("call", ["start", pytest.param("stop", marks=pytest.mark.long)])
def test_a_real_ctrl_c_while_a_thousand_jobs_start_or_stop(call: str, child_env: dict[str, str]) -> None:
    struck = 0
    for delay in (0.001, 0.004, 0.01, 0.02):
        answer = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(REAL_SIGNALS), str(delay), call],
            env=child_env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (answer.returncode, answer.stderr) == (0, "")
        struck += answer.stdout.startswith("struck")
        assert answer.stdout.endswith("0 0 None\n")
    assert struck > 0
