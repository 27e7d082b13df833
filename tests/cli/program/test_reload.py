"""Reloads of a program: one at a time, one more for all that were asked for meanwhile, and told job by job."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import click
import pytest

from taskloom.cli.program.reload import Reloader
from taskloom.cli.program.selection import JobFiles, Selection
from taskloom.core.model import JobSpec
from taskloom.diagnostics import Place, Problem
from taskloom.errors import JobFileError
from taskloom.observe.console import Console
from taskloom.scheduler.facade import Scheduler
from taskloom.testing import make_job

SOON = 20.0


class Files(JobFiles):
    """Reads what it is given, as often as it is let."""

    def __init__(self, read: Callable[[], list[JobSpec]]) -> None:
        super().__init__(["jobs.yaml"], stop_within=30.0)
        self._make = read

    def read(self) -> Selection:
        return Selection(self._make(), [], ())


class Said:
    """What went to the log, line by line without time and level; what was shown as it is."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.shown: list[str] = []
        self._heard = threading.Condition()
        self.console = Console(self._put, is_colored=False)

    def _put(self, text: bytes, _: float) -> None:
        with self._heard:
            self.lines.append(text.decode().partition("taskloom     ")[2].rstrip("\n"))
            self._heard.notify_all()

    def wait_for(self, start: str) -> None:
        """Wait for a line that begins so."""
        with self._heard:
            is_there = self._heard.wait_for(lambda: any(line.startswith(start) for line in self.lines), SOON)
        assert is_there, self.lines


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def scheduler() -> Any:
    with Scheduler() as scheduler:
        yield scheduler


def test_whoever_asks_while_the_files_are_read_gets_one_more_reading(scheduler: Scheduler, said: Said) -> None:
    may_read, readings = threading.Semaphore(0), []

    def read() -> list[JobSpec]:
        readings.append(threading.current_thread())
        assert may_read.acquire(timeout=SOON)
        return [make_job(f"job{len(readings)}", manual=True)]

    program = Reloader(Files(read), scheduler, said.console, said.shown.append)
    for _ in range(100):
        program.request()
    may_read.release(1)
    said.wait_for("reload: add 1")
    may_read.release(1)
    said.wait_for("reload: add 1, remove 1")

    assert len(readings) == 2
    assert threading.current_thread() not in readings
    assert [status.report.job for status in scheduler.status()] == ["job2"]
    assert said.lines.count("reload: a reload is under way; another one follows it") == 1


def test_a_reload_after_the_last_one_is_over_is_another(scheduler: Scheduler, said: Said) -> None:
    program = Reloader(Files(lambda: [make_job("a", manual=True)]), scheduler, said.console, said.shown.append)
    program.request()
    said.wait_for("reload: add 1")
    for thread in threading.enumerate():
        if thread.name == "taskloom-reload":
            thread.join(SOON)

    program.request()

    said.wait_for("reload: keep 1")


def fail_with(error: BaseException) -> Callable[[], list[JobSpec]]:
    def read() -> list[JobSpec]:
        raise error

    return read


PROBLEM = Problem(Place("jobs.yaml", 3, 5), "cannot use 'x' as y", source_line="    y: x")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (JobFileError([PROBLEM]), "reload: cannot use the job files (1 error); nothing has changed"),
        (click.UsageError("cannot find a job"), "reload: cannot find a job; nothing has changed"),
        (ZeroDivisionError("x"), "reload: internal error; nothing has changed; please report it"),
    ],
)
def test_what_keeps_it_from_reading_changes_nothing(
    scheduler: Scheduler, said: Said, error: BaseException, line: str
) -> None:
    scheduler.add(make_job("a", manual=True))

    Reloader(Files(fail_with(error)), scheduler, said.console, said.shown.append).request()

    said.wait_for(line)
    assert [status.report.job for status in scheduler.status()] == ["a"]
    assert len(said.shown) == isinstance(error, JobFileError)


def test_a_stop_that_began_while_the_files_were_read_wins(scheduler: Scheduler, said: Said) -> None:
    is_reading, may_read = threading.Event(), threading.Event()

    def read() -> list[JobSpec]:
        is_reading.set()
        assert may_read.wait(SOON)
        return [make_job("a", manual=True)]

    Reloader(Files(read), scheduler, said.console, said.shown.append).request()
    assert is_reading.wait(SOON)
    scheduler.stop()
    may_read.set()

    said.wait_for("reload: the program is stopping; nothing has changed")
    assert scheduler.status() == []


def test_without_a_thread_to_be_had_nothing_changes_and_the_next_one_may(
    scheduler: Scheduler, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    program = Reloader(Files(lambda: [make_job("a", manual=True)]), scheduler, said.console, said.shown.append)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        program.request()

    said.wait_for("reload: cannot read the job files: can't start new thread; nothing has changed")
    program.request()
    said.wait_for("reload: add 1")


def test_of_very_many_changes_the_first_hundred_are_named(scheduler: Scheduler, said: Said) -> None:
    jobs = [make_job(f"job{number}", manual=True) for number in range(1000)]

    Reloader(Files(lambda: jobs), scheduler, said.console, said.shown.append).request()

    said.wait_for("reload: add 1000")
    named = [line for line in said.lines if line.endswith(": add")]
    assert named == [f"reload: job{number}: add" for number in range(100)]
    assert "reload: and 900 more changes" in said.lines
