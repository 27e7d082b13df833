"""No memory at any line of Taskloom's own threads: every stop still ends on time, and no run is forgotten."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

import taskloom
from taskloom import Job, Scheduler
from taskloom.core.report import StopReport

SOON = 10.0
MOST_LINES = 20_000
HOME = taskloom.__file__.removesuffix("__init__.py")


class ThreadStrike:
    """A trace function for new threads: raises MemoryError at line number `nth` of the threads with a given name.

    `folder`: only lines below it count. The core is struck by tests of its own: after an error in the middle of it,
    the engine stops the runs without it.
    """

    def __init__(self, thread: str, folders: tuple[str, ...], nth: int) -> None:
        self.thread = thread
        self.folders = tuple(HOME + folder for folder in folders)
        self.nth = nth
        self.count = 0
        self.place = ""

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        if not threading.current_thread().name.startswith(self.thread):
            return None
        return self._line if frame.f_code.co_filename.startswith(self.folders) else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line" and not self.place:
            self.count += 1
            if self.count == self.nth:
                self.place = f"{frame.f_code.co_filename.removeprefix(HOME)}:{frame.f_lineno}"
                raise MemoryError
        return self._line


@pytest.fixture(autouse=True)
def no_report_of_dead_threads() -> Iterator[None]:
    """A thread that the strike ends is reported on standard error; that is not what is tested here."""
    before = threading.excepthook
    threading.excepthook = lambda _: None
    yield
    threading.excepthook = before


def wait(ctx: Any) -> None:
    ctx.wait()


def fail(ctx: Any) -> None:
    raise ValueError("failed")


class Polite:
    """A task as a thread class has it: `run` waits for what `terminate` sets."""

    def __init__(self) -> None:
        self.is_over = threading.Event()


def trial(strike: ThreadStrike) -> StopReport | None:
    """Run some jobs with the strike, and stop everything from another thread; return None if the stop hangs."""
    threading.settrace(strike)
    try:
        scheduler = Scheduler()
        try:
            jobs = [scheduler.add(Job(name=name, task=wait, join="3s")) for name in ("a", "b", "c")]
            jobs.append(scheduler.add(Job(name="failing", task=fail, join="3s", restart="on-failure")))
            for job in jobs:
                job.start()
            run = jobs[0].run
            if run is not None:
                run.cancel()
                run.join(1)
        except (MemoryError, taskloom.UsageError):
            pass  # the call of this thread met the strike, or what it left behind
        reports: list[StopReport] = []
        stopper = threading.Thread(target=lambda: reports.append(scheduler.stop(within=4)), name="stopper", daemon=True)
        stopper.start()
        stopper.join(SOON)
    finally:
        threading.settrace(None)
    for name in ("a", "b", "c"):
        left = [thread for thread in threading.enumerate() if thread.name == name]
        for thread in left:
            thread.join(SOON)
            assert not thread.is_alive(), f"a run of {name} was never requested to stop: {strike.place}"
    return reports[0] if reports else None


@pytest.mark.parametrize("step", [97, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("thread", "folders"),
    [("taskloom-scheduler", ("scheduler/", "sync/")), ("taskloom-callback", ("runners/callback_pool", "sync/"))],
)
def test_a_memory_error_at_any_line_of_our_threads_takes_no_stop_away(
    thread: str, folders: tuple[str, ...], step: int
) -> None:
    struck = 0
    for nth in range(1, MOST_LINES, step):
        strike = ThreadStrike(thread, folders, nth)

        report = trial(strike)

        assert report is not None, f"the stop hangs: {strike.place}"
        assert report.survivors == (), strike.place
        if not strike.place:
            break
        struck += 1
    assert struck > 0 or thread == "taskloom-callback"
    assert sys.gettrace() is None or nth < MOST_LINES - step
