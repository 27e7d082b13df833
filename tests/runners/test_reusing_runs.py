"""Runs of daemon jobs with `{thread: {reuse: true}}`: the differences to a new thread for each run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.inputs import RunEnded
from taskloom.core.model import ErrorInfo, How, Outcome, RunnerSpec
from taskloom.runners import thread as thread_module
from taskloom.runners.thread_cache import IDLE_THREAD_NAME

SOON = 20.0
REUSING = RunnerSpec("thread", {"reuse": True})


@pytest.fixture
def scheduler() -> Iterator[WatchedScheduler]:
    scheduler = WatchedScheduler()

    yield scheduler

    scheduler.finish()


def add(scheduler: WatchedScheduler, name: str, run: Callable[[Any], object], **policies: Any) -> Any:
    return scheduler.add_function(name, run, daemon=True, runner=REUSING, **policies)


def idle_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == IDLE_THREAD_NAME]


def test_consecutive_runs_have_the_same_thread_under_the_jobs_name(reusing_bench: Any) -> None:
    seen: list[tuple[threading.Thread, str, bool]] = []

    def run(ctx: Any) -> None:
        thread = threading.current_thread()
        seen.append((thread, thread.name, thread.daemon))

    for count in range(3):
        reusing_bench.start(run)
        reusing_bench.end(count + 1)

    [(thread, name, is_daemon)] = set(seen)
    assert (name, is_daemon) == ("job", True)
    assert (thread.name, thread.is_alive()) == (IDLE_THREAD_NAME, True)


def test_a_non_daemon_job_cannot_reuse_threads(reusing_bench: Any) -> None:
    """An idle non-daemon thread would keep the interpreter alive; a running thread cannot change its daemon flag."""
    with pytest.raises(ValueError, match=r"^cannot reuse threads for 'job': only a daemon job may$"):
        reusing_bench.start(lambda ctx: None, daemon=False)

    assert reusing_bench.reports == []


def test_a_job_without_the_option_has_a_new_thread(thread_bench: Any) -> None:
    threads: list[threading.Thread] = []
    for count in range(2):
        thread_bench.start(lambda ctx: threads.append(threading.current_thread()), daemon=True)
        thread_bench.end(count + 1)

    assert threads[0] is not threads[1]


def test_a_busy_thread_is_not_reused_until_its_run_has_returned(reusing_bench: Any) -> None:
    threads: dict[str, threading.Thread] = {}
    is_inside = threading.Event()

    def stay(ctx: Any) -> None:
        threads["stay"] = threading.current_thread()
        is_inside.set()
        may_end.wait(SOON)

    may_end = threading.Event()
    staying = reusing_bench.start(stay)
    assert is_inside.wait(SOON)
    reusing_bench.start(lambda ctx: threads.update(meanwhile=threading.current_thread()))
    assert reusing_bench.handles[1].join(SOON)
    is_free = [staying.is_gone(), staying.join(0)]
    may_end.set()
    reusing_bench.end(2)
    reusing_bench.start(lambda ctx: threads.update(afterwards=threading.current_thread()))
    reusing_bench.end(3)

    assert is_free == [False, False]
    assert threads["meanwhile"] is not threads["stay"]
    assert threads["afterwards"] is threads["stay"]
    assert staying.is_gone()


def test_a_run_that_is_started_while_another_reports_its_end_does_not_wait_for_that_thread(reusing_bench: Any) -> None:
    """Reporting an end may take long: that thread may process the engine's queue."""
    threads: list[threading.Thread] = []
    may_run, has_run = threading.Event(), threading.Event()

    def record_thread(ctx: Any) -> None:
        assert may_run.wait(SOON)
        threads.append(threading.current_thread())
        if ctx.run_id == "job#2":
            has_run.set()

    def start_the_next(report: Any) -> None:
        emit(report)
        if isinstance(report, RunEnded) and report.run == "job#1":
            reusing_bench.start(record_thread)
            assert has_run.wait(SOON)

    emit, reusing_bench.emit = reusing_bench.emit, start_the_next
    reusing_bench.start(record_thread)
    may_run.set()
    assert has_run.wait(SOON)
    reusing_bench.end(2)

    assert threads[0] is not threads[1]


def test_the_end_is_reported_even_if_taskloom_itself_fails(reusing_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[BaseException | None] = []
    threads: list[threading.Thread] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: raised.append(arguments.exc_value))

    def broken(*arguments: object) -> None:
        threads.append(threading.current_thread())
        raise ZeroDivisionError

    monkeypatch.setattr(thread_module, "_call", broken)
    reusing_bench.start(lambda ctx: None)
    [report] = reusing_bench.end()
    threads[0].join(SOON)

    text = "internal error: the run's thread ended without a report"
    assert report == RunEnded("job#1", How.RAISED, ErrorInfo("InternalError", text, text + "\n"), False, False)
    assert [type(error) for error in raised] == [ZeroDivisionError]
    assert not threads[0].is_alive(), "the thread may be damaged"


def test_a_stop_leaves_no_idle_thread_behind(scheduler: WatchedScheduler) -> None:
    before = set(idle_threads())
    jobs = [add(scheduler, f"job{number}", lambda ctx: ctx.wait()) for number in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        assert job.stop()
    scheduler.wait_for(EventName.ENDED, count=3)

    scheduler.stop()

    assert set(idle_threads()) <= before


def test_after_a_stop_by_a_run_its_own_thread_ends_later(scheduler: WatchedScheduler) -> None:
    threads: list[threading.Thread] = []

    def stop(ctx: Any) -> None:
        threads.append(threading.current_thread())
        scheduler.stop()

    run = add(scheduler, "a", stop).start()
    assert run.join(SOON)
    scheduler.wait_for(EventName.SCHEDULER_STOPPED)
    threads[0].join(SOON)

    assert not threads[0].is_alive()


def test_an_abandoned_run_does_not_delay_the_stop_and_its_thread_ends_when_it_returns(
    scheduler: WatchedScheduler,
) -> None:
    threads: list[threading.Thread] = []
    is_inside, may_end = threading.Event(), threading.Event()

    def stay(ctx: Any) -> None:
        threads.append(threading.current_thread())
        is_inside.set()
        may_end.wait(SOON)

    run = add(scheduler, "a", stay, within=0.0).start()
    assert is_inside.wait(SOON)
    report = scheduler.stop()
    alive = threads[0].is_alive()
    may_end.set()
    assert run.join(SOON)
    threads[0].join(SOON)

    assert [survivor.where.rpartition(" in ")[2] for survivor in report.survivors] == ["stay"]
    assert (run.outcome, alive, threads[0].is_alive()) == (Outcome.ABANDONED, True, False)


def test_a_run_for_which_no_thread_can_be_started_has_start_failed(
    scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(scheduler, "first", lambda ctx: ctx.wait()).start()
    job = add(scheduler, "second", lambda ctx: None)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        failed = job.start()
    run = job.start()
    assert run.join(SOON)

    assert (failed.outcome, str(failed.error)) == (Outcome.START_FAILED, "RuntimeError: can't start new thread")
    assert run.outcome is Outcome.SUCCEEDED
