"""Reloads of a program: one at a time, with one more for all requests meanwhile, and each changed job logged."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

import click
import pytest

from taskloom.cli.program.reload import Reloader, sum_of
from taskloom.cli.program.selection import JobFiles, Selection
from taskloom.cli.resources import OutOfResources
from taskloom.cli.settings import Given
from taskloom.control.program_info import ReloadOutcome
from taskloom.core.model import JobSpec
from taskloom.core.reload import Change, ReloadAction
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
    log.wait_for("reload: 1 added (job1)")
    may_read.release(1)
    log.wait_for("reload: 1 added (job2), 1 removed (job1)")

    assert len(readings) == 2
    assert threading.current_thread() not in readings
    assert [status.report.job for status in scheduler.status()] == ["job2"]
    assert log.lines.count("reload: a reload is under way; another one follows it") == 1


def test_a_request_after_a_reload_starts_another(scheduler: Scheduler, log: Log) -> None:
    program = Reloader(Files(lambda: [make_job("a", manual=True)]), scheduler, log.console, log.shown.append)
    program.request()
    log.wait_for("reload: 1 added (a)")
    for thread in threading.enumerate():
        if thread.name == "taskloom-reload":
            thread.join(SOON)

    program.request()

    log.wait_for("reload: nothing has changed, 1 untouched")


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


class SettledFiles(Files):
    """Job files whose settings the test gives."""

    def __init__(self, given: Mapping[str, Given]) -> None:
        super().__init__(lambda: [make_job("a", manual=True)])
        self.given = given

    def read(self) -> Selection:
        return super().read()._replace(settings=self.given)


@pytest.mark.parametrize("is_preview", [False, True], ids=["reload", "preview"])
def test_settings_that_a_reload_cannot_change_are_warned_of(scheduler: Scheduler, log: Log, is_preview: bool) -> None:
    before = {
        "name": Given("one", "one", "file", "", Place("jobs.yaml", 2, 3)),
        "log_level": Given("info", "info", "file", "", Place("jobs.yaml", 3, 3)),
        "log_dir": Given(None, "", "default"),
    }
    after = before | {
        "name": Given("two", "two", "file", "", Place("jobs.yaml", 7, 3)),
        "log_level": Given("info", "'info'", "env file", "TASKLOOM_LOG_LEVEL", Place("e", 1, 1)),
    }
    outcomes: queue.SimpleQueue[ReloadOutcome] = queue.SimpleQueue()
    program = Reloader(SettledFiles(after), scheduler, log.console, log.shown.append, settings=before)

    program.request(is_preview=is_preview, done=outcomes.put)
    same = Reloader(SettledFiles(before), scheduler, log.console, log.shown.append, settings=before)
    first = outcomes.get(timeout=SOON)
    same.request(is_preview=is_preview, done=outcomes.put)
    second = outcomes.get(timeout=SOON)

    assert list(map(str, first.warnings)) == [
        "jobs.yaml:7:3: warning: setting 'name' applies at the next start of the program"
    ]
    assert second.warnings == ()
    said = [line for line in log.lines if "setting" in line]
    assert said == ([] if is_preview else ["reload: settings apply at the next start of the program: name"])


def test_a_setting_that_is_gone_from_all_files_is_warned_of_at_the_first_one(scheduler: Scheduler, log: Log) -> None:
    before = {"name": Given("one", "one", "file", "", Place("jobs.yaml", 2, 3))}
    after = {"name": Given(None, "", "default")}
    outcomes: queue.SimpleQueue[ReloadOutcome] = queue.SimpleQueue()

    Reloader(SettledFiles(after), scheduler, log.console, log.shown.append, settings=before).request(done=outcomes.put)

    assert [str(each.place) for each in outcomes.get(timeout=SOON).warnings] == ["jobs.yaml:1:1"]


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
    log.wait_for("reload: 1 added (a)")


def make_jobs(*names: str) -> list[JobSpec]:
    return [make_job(name, manual=True) for name in names]


def test_a_reload_is_one_line(scheduler: Scheduler, log: Log) -> None:
    scheduler.add_all(make_jobs(*"abcdefg", "kept"))

    Reloader(Files(lambda: make_jobs("kept", "new")), scheduler, log.console, log.shown.append).request()

    log.wait_for("reload: 1 added")
    assert log.lines == [
        "reload: reading the job files again",
        "reload: 1 added (new), 7 removed (a, b, c, d, e and 2 more), 1 untouched",
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ([], "nothing has changed"),
        ([Change("a", ReloadAction.KEEP)] * 1200, "nothing has changed, 1,200 untouched"),
        (
            [Change("a", ReloadAction.RESTART, ("params",)), Change("b", ReloadAction.KEEP)],
            "1 restarted (a), 1 untouched",
        ),
        (
            [Change(action.name.lower(), action) for action in ReloadAction],
            "1 added (add), 1 removed (remove), 1 restarted (restart), 1 changed in place (apply), 1 untouched",
        ),
    ],
)
def test_the_line_counts_and_names_what_changed(changes: list[Change], line: str) -> None:
    assert sum_of(changes) == line


def test_in_detail_the_first_hundred_changes_are_named(scheduler: Scheduler, log: Log) -> None:
    jobs = make_jobs(*(f"job{number}" for number in range(1000)))

    Reloader(Files(lambda: jobs), scheduler, log.console, log.shown.append, is_verbose=True).request()

    log.wait_for("reload: and 900 more changes")
    named = [line for line in log.lines if line.endswith(": add")]
    assert named == [f"reload: job{number}: add" for number in range(100)]
    assert len([line for line in log.lines if line.startswith("reload: 1,000 added")]) == 1
