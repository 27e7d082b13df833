"""Reloads that were requested with a callback for their outcome, as the control API does, and previews."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue

import click
import pytest

from taskloom.cli.program.reload import Reloader
from taskloom.cli.program.selection import JobFiles, Selection
from taskloom.cli.program.service_manager import ServiceManager
from taskloom.cli.resources import OutOfResources
from taskloom.control.program_info import ReloadOutcome
from taskloom.diagnostics import Place, Problem
from taskloom.errors import DuplicateJob, JobFileError
from taskloom.observe.console import Console
from taskloom.scheduler.facade import Scheduler
from taskloom.testing import make_job

SOON = 20.0
WARNING = Problem(Place("jobs.yaml", 2, 3), "never fires again", severity="warning", source_line="  a:")
ERROR = Problem(Place("jobs.yaml", 3, 5), "cannot use 'x' as y", source_line="    y: x")


class Files(JobFiles):
    """Job files whose content the test gives: the names of jobs, or an error."""

    def __init__(self, *names: str) -> None:
        super().__init__(["jobs.yaml"], stop_within=30.0)
        self.names = names
        self.error: BaseException | None = None
        self.readings = 0
        self.is_reading = threading.Semaphore(0)
        self.may_read = threading.Event()
        self.may_read.set()

    def read(self) -> Selection:
        self.readings += 1
        names = self.names
        self.is_reading.release()
        assert self.may_read.wait(SOON)
        if self.error is not None:
            raise self.error
        return Selection([make_job(name, manual=True) for name in names], [], (WARNING,))


class RecordedService(ServiceManager):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(None)
        self.told: SimpleQueue[str] = SimpleQueue()

    def reloading(self) -> None:
        self.told.put("reloading")

    def reloaded(self) -> None:
        self.told.put("reloaded")


class Program:
    """A reloader with what it writes, and the outcomes that it gave."""

    def __init__(self, scheduler: Scheduler, *names: str) -> None:
        self.scheduler = scheduler
        self.files = Files(*names)
        self.log: list[str] = []
        self.outcomes: SimpleQueue[ReloadOutcome] = SimpleQueue()
        console = Console(lambda text, *_, **__: self.log.append(text.decode()), is_colored=False)
        self.service = RecordedService()
        self.reloader = Reloader(self.files, scheduler, console, self.log.append, service=self.service)

    def request(self, *, is_preview: bool = False) -> None:
        self.reloader.request(is_preview=is_preview, done=self.outcomes.put)

    def outcome(self) -> ReloadOutcome:
        return self.outcomes.get(timeout=SOON)

    def jobs(self) -> list[str]:
        return [status.report.job for status in self.scheduler.status()]


@pytest.fixture
def program() -> Iterator[Program]:
    with Scheduler(log=False) as scheduler:
        scheduler.add_all([make_job("a", manual=True), make_job("b", manual=True)])
        yield Program(scheduler, "b", "c")


def test_the_outcome_of_a_reload_has_its_changes(program: Program) -> None:
    program.request()

    outcome = program.outcome()
    assert outcome.error is None
    assert [str(change) for change in outcome.changes] == ["a: remove", "b: keep", "c: add"]
    assert outcome.sum == "1 added (c), 1 removed (a), 1 untouched"
    assert outcome.warnings == (WARNING,)
    assert "never fires again" in outcome.text
    assert program.jobs() == ["b", "c"]


def test_a_preview_changes_nothing_and_writes_nothing(program: Program) -> None:
    program.request(is_preview=True)

    outcome = program.outcome()
    assert [str(change) for change in outcome.changes] == ["a: remove", "b: keep", "c: add"]
    assert outcome.warnings == (WARNING,)
    assert program.jobs() == ["a", "b"]
    assert program.log == []


@pytest.mark.parametrize("is_preview", [False, True], ids=["reload", "preview"])
@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (JobFileError([ERROR]), "invalid-files", "cannot use the job files (1 error); nothing has changed"),
        (click.UsageError("cannot find a job"), "refused", "cannot find a job; nothing has changed"),
        (DuplicateJob("a"), "refused", "cannot add job 'a': a job with this name exists; nothing has changed"),
        (ZeroDivisionError("x"), "internal-error", "internal error; nothing has changed"),
        (OutOfResources("import task 'a'", MemoryError()), "no-resources", None),
        (MemoryError(), "no-resources", None),
    ],
    ids=range(6),
)
def test_an_error_is_an_outcome(
    program: Program, error: BaseException, code: str, text: str | None, is_preview: bool
) -> None:
    program.files.error = error

    program.request(is_preview=is_preview)

    outcome = program.outcome()
    assert outcome.code == code
    assert outcome.error is not None
    assert text in (None, outcome.error)
    assert outcome.problems == ((ERROR,) if isinstance(error, JobFileError) else ())
    assert ("cannot use 'x' as y" in outcome.text) is isinstance(error, JobFileError)
    assert program.jobs() == ["a", "b"]


def test_a_stop_is_an_outcome(program: Program) -> None:
    program.scheduler.stop()

    program.request()

    assert program.outcome().code == "scheduler-stopped"


def test_requests_during_a_reload_share_the_next_one(program: Program) -> None:
    """The reload under way may have read the files before they were changed, so its outcome is only for its own."""
    files = program.files
    files.may_read.clear()
    program.request()
    assert files.is_reading.acquire(timeout=SOON)
    files.names = ("b", "d")
    for _ in range(50):
        program.request()
    files.may_read.set()

    first, *others = [program.outcome() for _ in range(51)]

    assert [str(change) for change in first.changes] == ["a: remove", "b: keep", "c: add"]
    assert all([str(change) for change in each.changes] == ["c: remove", "b: keep", "d: add"] for each in others)
    assert files.readings == 2


def test_a_preview_during_a_reload_is_not_a_reload_and_does_not_replace_one(program: Program) -> None:
    files = program.files
    files.may_read.clear()
    program.request()
    assert files.is_reading.acquire(timeout=SOON)
    for is_preview in (True, False, True, False):
        program.request(is_preview=is_preview)
    files.may_read.set()

    outcomes = [program.outcome() for _ in range(5)]

    assert files.readings == 3
    assert sorted(outcome.sum for outcome in outcomes) == [
        "1 added (c), 1 removed (a), 1 untouched",
        *["nothing has changed, 2 untouched"] * 4,
    ]


def test_the_service_manager_learns_when_the_last_of_several_reloads_is_over(program: Program) -> None:
    program.files.may_read.clear()
    program.request()
    assert program.files.is_reading.acquire(timeout=SOON)
    program.request()
    program.request(is_preview=True)
    program.files.may_read.set()
    for _ in range(3):
        program.outcome()

    told = [program.service.told.get(timeout=SOON) for _ in range(3)]
    assert told == ["reloading", "reloading", "reloaded"]
    assert program.service.told.empty()


def test_the_service_manager_learns_nothing_of_a_preview(program: Program) -> None:
    program.request(is_preview=True)
    program.outcome()
    program.request()
    program.outcome()

    assert [program.service.told.get(timeout=SOON) for _ in range(2)] == ["reloading", "reloaded"]
    assert program.service.told.empty()


def test_a_callback_that_raises_costs_no_other_caller_the_outcome(program: Program) -> None:
    files = program.files
    files.may_read.clear()
    program.request()
    assert files.is_reading.acquire(timeout=SOON)

    def fail(_: ReloadOutcome) -> None:
        raise MemoryError

    for done in (program.outcomes.put, fail, program.outcomes.put, fail):
        program.reloader.request(done=done)
    files.may_read.set()

    assert [program.outcome().error for _ in range(3)] == [None] * 3
    program.request()
    assert program.outcome().error is None


@pytest.mark.parametrize("is_preview", [False, True], ids=["reload", "preview"])
def test_without_a_thread_the_outcome_says_so(
    program: Program, monkeypatch: pytest.MonkeyPatch, is_preview: bool
) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        program.request(is_preview=is_preview)

    assert program.outcome() == ReloadOutcome(
        error="cannot read the job files: can't start new thread; nothing has changed", code="no-resources"
    )
    program.request(is_preview=is_preview)
    assert program.outcome().error is None
