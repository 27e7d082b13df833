"""Threads know the run that started them, and hooks of plugins stay in use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from tests.support.contexts import run_context

from taskloom.cli.program.thread_owners import JOB_UNKNOWN, ThreadOwners, calling_run, job_of, owner_of
from taskloom.core.model import ErrorInfo
from taskloom.errors import Cancelled
from taskloom.runners.context import RunContext, current_run
from taskloom.runners.run_thread import RunThread


class Reports(list[tuple[str, str, str]]):
    """What was reported: the thread, its job and the type of the exception."""

    def __call__(self, thread: str, owner: RunContext | None, error: ErrorInfo) -> None:
        self.append((thread, job_of(owner), error.type))


@pytest.fixture(autouse=True)
def no_hook_of_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the hook of the interpreter: that of pytest fails the test for each exception in a thread."""
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)


@pytest.fixture
def reports(no_hook_of_pytest: None) -> Iterator[Reports]:
    reports = Reports()
    owners = ThreadOwners(reports)
    before = threading.Thread.start, threading.excepthook
    owners.install()
    try:
        yield reports
    finally:
        owners.close()
        assert (threading.Thread.start, threading.excepthook) == before


def as_run(job: str, call: Callable[[], object]) -> None:
    """Call it on a thread that executes a run of the job."""

    def main() -> None:
        current_run.set(run_context(job))
        call()

    thread = RunThread(target=main, name=job)
    thread.start()
    thread.join()


def in_thread(call: Callable[[], object], name: str = "thread") -> threading.Thread:
    thread = threading.Thread(target=call, name=name)
    thread.start()
    thread.join()
    return thread


def test_threads_belong_to_the_run_that_started_them_directly_or_through_other_threads(reports: Reports) -> None:
    found: list[tuple[str, str]] = []

    def note(which: str) -> None:
        found.append((which, job_of(calling_run())))

    def child() -> None:
        note("child")
        in_thread(lambda: note("grandchild"))

    as_run("a", lambda: in_thread(child))
    in_thread(child)

    assert found == [
        *(("child", "job a"), ("grandchild", "job a")),
        *(("child", JOB_UNKNOWN), ("grandchild", JOB_UNKNOWN)),
    ]


def test_a_thread_that_executes_a_run_belongs_to_no_other_run(reports: Reports) -> None:
    inner: list[RunThread] = []

    def start_run() -> None:
        inner.append(RunThread(target=lambda: None))
        inner[0].start()
        inner[0].join()

    as_run("a", start_run)

    assert owner_of(inner[0]) is None


def test_exceptions_are_reported_with_the_job_and_quiet_ones_are_not(reports: Reports) -> None:
    def raise_it(error: BaseException) -> Callable[[], None]:
        def target() -> None:
            raise error

        return target

    as_run("a", lambda: in_thread(raise_it(ValueError("known")), "first"))
    in_thread(raise_it(KeyError("unknown")), "second")
    in_thread(raise_it(SystemExit(3)))
    in_thread(raise_it(Cancelled()))

    assert reports == [("first", "job a", "ValueError"), ("second", JOB_UNKNOWN, "KeyError")]


def test_a_hook_that_was_there_before_is_called_too() -> None:
    called: list[str] = []
    threading.excepthook = lambda args: called.append(args.exc_type.__name__)
    reports = Reports()
    owners = ThreadOwners(reports)
    owners.install()
    try:
        in_thread(lambda: 1 / 0)
    finally:
        owners.close()

    assert called == ["ZeroDivisionError"]
    assert [error for _, _, error in reports] == ["ZeroDivisionError"]


def test_a_hook_that_a_plugin_sets_later_and_that_calls_ours_reports_once(reports: Reports) -> None:
    called: list[str] = []
    ours = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        called.append(args.exc_type.__name__)
        ours(args)

    threading.excepthook = hook
    owners = ThreadOwners(reports)
    owners.install()  # a second program in the process: it finds the hook of the plugin
    try:
        in_thread(lambda: 1 / 0)
    finally:
        owners.close()
        threading.excepthook = ours

    assert called == ["ZeroDivisionError"]
    assert len(reports) == 2  # one for each program


def test_the_wrappers_are_installed_again_after_a_plugin_replaced_them_and_each_exception_is_reported_once() -> None:
    called: list[str] = []
    reports = Reports()
    owners = ThreadOwners(reports)
    owners.install()
    ours = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        called.append(args.exc_type.__name__)
        ours(args)

    threading.excepthook = hook
    owners.install()
    owners.install()
    try:
        in_thread(lambda: 1 / 0)
    finally:
        owners.close()

    assert called == ["ZeroDivisionError"]
    assert len(reports) == 1
