"""Reloads of a program: one at a time, with one more for all requests meanwhile, and each changed job logged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import click
import pytest

from taskloom.cli.program.reload import Reloader
from taskloom.cli.program.selection import JobFiles, Selection
from taskloom.cli.resources import OutOfResources
from taskloom.core.model import JobSpec
from taskloom.diagnostics import Place, Problem
from taskloom.errors import JobFileError
from taskloom.observe.console import Console
from taskloom.scheduler.facade import Scheduler
from taskloom.testing import make_job

SOON = 20.0


class Files(JobFiles):
    """Job files whose content the test gives."""

    def __init__(self, read: Callable[[], list[JobSpec]]) -> None:
        super().__init__(["jobs.yaml"], stop_within=30.0)
        self._make = read

    def read(self) -> Selection:
        return Selection(self._make(), [], ())


class Log:
    """Collects the log lines, without time and level, and the text that was shown unchanged."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.shown: list[str] = []
        self._changed = threading.Condition()
        self.console = Console(self._put, is_colored=False)

    def _put(self, text: bytes, at: float | None = None, run: str = "", *, is_start: bool = False) -> None:
        with self._changed:
            self.lines.append(text.decode().partition("taskloom     ")[2].rstrip("\n"))
            self._changed.notify_all()

    def wait_for(self, start: str) -> None:
        """Wait for a line that begins with `start`."""
        with self._changed:
            is_there = self._changed.wait_for(lambda: any(line.startswith(start) for line in self.lines), SOON)
        assert is_there, self.lines


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def scheduler() -> Any:
    with Scheduler() as scheduler:
        yield scheduler


def test_all_requests_during_a_reload_together_cause_one_more(scheduler: Scheduler, log: Log) -> None:
    may_read, readings = threading.Semaphore(0), []

    def read() -> list[JobSpec]:
        readings.append(threading.current_thread())
        assert may_read.acquire(timeout=SOON)
        return [make_job(f"job{len(readings)}", manual=True)]

    program = Reloader(Files(read), scheduler, log.console, log.shown.append)
    for _ in range(100):
        program.request()
    may_read.release(1)
    log.wait_for("reload: add 1")
    may_read.release(1)
    log.wait_for("reload: add 1, remove 1")

    assert len(readings) == 2
    assert threading.current_thread() not in readings
    assert [status.report.job for status in scheduler.status()] == ["job2"]
    assert log.lines.count("reload: a reload is under way; another one follows it") == 1


def test_a_request_after_a_reload_starts_another(scheduler: Scheduler, log: Log) -> None:
    program = Reloader(Files(lambda: [make_job("a", manual=True)]), scheduler, log.console, log.shown.append)
    program.request()
    log.wait_for("reload: add 1")
    for thread in threading.enumerate():
        if thread.name == "taskloom-reload":
            thread.join(SOON)

    program.request()

    log.wait_for("reload: keep 1")


def fail_with(error: BaseException) -> Callable[[], list[JobSpec]]:
    def read() -> list[JobSpec]:
        raise error

    return read


NO_MEMORY = (
    "MemoryError; raise the limit of memory (ulimit -v, ulimit -d, memory.max of the cgroup); nothing has changed"
)
PROBLEM = Problem(Place("jobs.yaml", 3, 5), "cannot use 'x' as y", source_line="    y: x")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (JobFileError([PROBLEM]), "reload: cannot use the job files (1 error); nothing has changed"),
        (click.UsageError("cannot find a job"), "reload: cannot find a job; nothing has changed"),
        (ZeroDivisionError("x"), "reload: internal error; nothing has changed; please report it"),
        (SystemExit("x"), "reload: internal error; nothing has changed; please report it"),
        (OutOfResources("import task 'a'", MemoryError()), f"reload: cannot import task 'a': {NO_MEMORY}"),
        (MemoryError(), f"reload: cannot read the job files: {NO_MEMORY}"),
    ],
)
def test_an_error_changes_nothing(scheduler: Scheduler, log: Log, error: BaseException, line: str) -> None:
    scheduler.add(make_job("a", manual=True))

    Reloader(Files(fail_with(error)), scheduler, log.console, log.shown.append).request()

    log.wait_for(line)
    assert [status.report.job for status in scheduler.status()] == ["a"]
    assert len(log.shown) == isinstance(error, JobFileError)


def test_a_reload_fails_if_a_stop_began_while_the_files_were_read(scheduler: Scheduler, log: Log) -> None:
    is_reading, may_read = threading.Event(), threading.Event()

    def read() -> list[JobSpec]:
        is_reading.set()
        assert may_read.wait(SOON)
        return [make_job("a", manual=True)]

    Reloader(Files(read), scheduler, log.console, log.shown.append).request()
    assert is_reading.wait(SOON)
    scheduler.stop()
    may_read.set()

    log.wait_for("reload: the program is stopping; nothing has changed")
    assert scheduler.status() == []


def test_a_reload_without_a_thread_changes_nothing_and_the_next_one_works(
    scheduler: Scheduler, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    program = Reloader(Files(lambda: [make_job("a", manual=True)]), scheduler, log.console, log.shown.append)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        program.request()

    log.wait_for("reload: cannot read the job files: can't start new thread; nothing has changed")
    program.request()
    log.wait_for("reload: add 1")


def test_only_the_first_hundred_changes_are_named(scheduler: Scheduler, log: Log) -> None:
    jobs = [make_job(f"job{number}", manual=True) for number in range(1000)]

    Reloader(Files(lambda: jobs), scheduler, log.console, log.shown.append).request()

    log.wait_for("reload: add 1000")
    named = [line for line in log.lines if line.endswith(": add")]
    assert named == [f"reload: job{number}: add" for number in range(100)]
    assert "reload: and 900 more changes" in log.lines
