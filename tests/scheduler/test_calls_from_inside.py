"""The scheduler called from its own runs, callbacks and listeners, and from any other thread (fault A14)."""

from __future__ import annotations

import faulthandler
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import Event, EventName
from taskloom.core.model import Outcome
from taskloom.core.report import StopReport
from taskloom.errors import AlreadyRunning

SOON = 20.0


@pytest.fixture(autouse=True)
def deadlock_trap() -> Iterator[None]:
    """These tests look for deadlocks: print all stacks before the test itself times out."""
    faulthandler.dump_traceback_later(SOON * 2)
    yield
    faulthandler.cancel_dump_traceback_later()


def wait(ctx: Any) -> None:
    ctx.wait()


class Inside:
    """Calls the scheduler from the run's own thread; `answer` is the result or the exception."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self.answer: object = None
        self.has_called = threading.Event()

    def run(self, ctx: Any) -> None:
        try:
            self.answer = self._call()
        except Exception as error:  # noqa: BLE001 - the test checks it
            self.answer = error
        self.has_called.set()
        ctx.wait()


def test_a_task_may_cancel_its_own_run(scheduler: WatchedScheduler) -> None:
    runs: list[Any] = []
    has_run = threading.Event()

    def cancel_itself() -> object:
        assert has_run.wait(SOON)
        runs[0].cancel("done with it")
        return None

    inside = Inside(cancel_itself)
    runs.append(scheduler.add_function("a", inside.run).start())
    has_run.set()

    assert runs[0].join(SOON)
    assert (inside.answer, runs[0].outcome, str(runs[0].reason)) == (None, Outcome.CANCELLED, "user: done with it")


def test_a_task_may_stop_its_own_job_and_does_not_wait_for_itself(scheduler: WatchedScheduler) -> None:
    inside = Inside(lambda: scheduler.job("a").stop())
    run = scheduler.add_function("a", inside.run, within=SOON * 10).start()

    assert run.join(SOON)
    assert (inside.answer, run.outcome) == (False, Outcome.CANCELLED)


def test_a_task_may_stop_and_join_others(scheduler: WatchedScheduler) -> None:
    other = scheduler.add_function("other", wait).start()
    inside = Inside(lambda: (scheduler.job("other").stop(), other.join(SOON), other.outcome))
    scheduler.add_function("a", inside.run).start()

    assert inside.has_called.wait(SOON)
    assert inside.answer == (True, True, Outcome.CANCELLED)


def test_a_task_that_starts_its_own_job_gets_already_running(scheduler: WatchedScheduler) -> None:
    inside = Inside(lambda: scheduler.job("a").start())
    scheduler.add_function("a", inside.run).start()

    assert inside.has_called.wait(SOON)
    assert isinstance(inside.answer, AlreadyRunning)


def test_a_task_may_add_and_start_others(scheduler: WatchedScheduler) -> None:
    inside = Inside(lambda: scheduler.add_function("child", lambda ctx: None).start().join(SOON))
    scheduler.add_function("a", inside.run).start()

    assert inside.has_called.wait(SOON)
    assert inside.answer is True


def test_a_task_may_stop_everything_and_waits_for_all_but_itself(scheduler: WatchedScheduler) -> None:
    others = [scheduler.add_function(f"other{number}", wait).start() for number in range(5)]
    alive: list[bool] = []

    def stop() -> object:
        report = scheduler.stop()
        alive.extend(run.is_alive() for run in others)
        return report

    inside = Inside(stop)
    run = scheduler.add_function("a", inside.run).start()

    assert run.join(SOON)
    assert alive == [False] * 5
    assert isinstance(inside.answer, StopReport)
    assert run.outcome is Outcome.CANCELLED
    assert scheduler.stop().is_clean


def test_two_tasks_may_stop_everything_at_once(scheduler: WatchedScheduler) -> None:
    barrier = threading.Barrier(2)

    def stop() -> object:
        barrier.wait()
        return scheduler.stop()

    insides = [Inside(stop), Inside(stop)]
    runs = [scheduler.add_function(f"a{number}", inside.run).start() for number, inside in enumerate(insides)]

    report = [run.join(SOON) for run in runs]

    assert report == [True, True]
    assert all(isinstance(inside.answer, StopReport) for inside in insides)


def test_the_threads_of_the_scheduler_end_after_a_stop_by_a_task() -> None:
    before = set(threading.enumerate())
    scheduler = WatchedScheduler()
    run = scheduler.add_function("a", Inside(scheduler.stop).run, lambda: None).start()

    assert run.join(SOON)
    for thread in set(threading.enumerate()) - before:
        thread.join(SOON)

    assert set(threading.enumerate()) <= before
    scheduler.finish()


def test_a_callback_may_call_the_scheduler(scheduler: WatchedScheduler) -> None:
    answers: list[object] = []
    has_begun, has_called = threading.Event(), threading.Event()

    def callback() -> None:
        answers.append(scheduler.job("other").stop())
        answers.append([status.state for status in scheduler.status()])
        has_called.set()

    def run(ctx: Any) -> None:
        ctx.on_cancel(callback)
        has_begun.set()
        ctx.wait()
        assert has_called.wait(SOON)

    scheduler.add_function("other", wait).start()
    ended = scheduler.add_function("a", run).start()
    assert has_begun.wait(SOON)
    ended.cancel()

    assert ended.join(SOON)
    assert answers == [True, ["finished", "stopping"]]


def test_a_callback_may_stop_everything(scheduler: WatchedScheduler) -> None:
    reports: list[StopReport] = []
    has_begun, is_called = threading.Event(), threading.Event()

    def stop() -> None:
        is_called.set()
        reports.append(scheduler.stop())

    def run(ctx: Any) -> None:
        ctx.on_cancel(stop)
        has_begun.set()
        assert is_called.wait(SOON)  # otherwise the run could end first, and the callback would be dropped

    ended = scheduler.add_function("a", run).start()
    assert has_begun.wait(SOON)
    ended.cancel()

    assert ended.join(SOON)
    assert scheduler.wait_stopped(SOON)


def test_a_listener_may_call_the_scheduler(scheduler: WatchedScheduler) -> None:
    answers: list[object] = []
    has_called = threading.Event()

    def call(event: Event) -> None:
        if event.event is EventName.ENDED and event.job == "first":
            answers.append(scheduler.job("first").status().state)
            answers.append(scheduler.add_function("second", wait).start().id)
            answers.append(scheduler.job("second").stop())
            has_called.set()

    scheduler.listen(call)
    scheduler.add_function("first", lambda ctx: None).start()

    assert has_called.wait(SOON)
    assert answers == ["finished", "second#1", True]


def test_a_listener_may_stop_everything(scheduler: WatchedScheduler) -> None:
    reports: list[StopReport] = []

    def call(event: Event) -> None:
        if event.event is EventName.READY:
            reports.append(scheduler.stop())

    scheduler.listen(call)
    run = scheduler.add_function("a", wait).start()

    assert run.join(SOON)
    assert scheduler.wait_stopped(SOON)
    assert scheduler.stop().is_clean


def test_any_thread_may_own_a_scheduler() -> None:
    reports: list[StopReport] = []

    def own() -> None:
        with WatchedScheduler() as scheduler:
            scheduler.add_function("a", wait).start()
        reports.append(scheduler.finish())

    thread = threading.Thread(target=own)
    thread.start()
    thread.join(SOON)

    assert [report.is_clean for report in reports] == [True]


@pytest.mark.long
def test_commands_from_many_threads_at_once_are_carried_out_one_by_one(
    scheduler: WatchedScheduler, fast_switching: None
) -> None:
    barrier = threading.Barrier(8)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            barrier.wait()
            for round_ in range(10):
                job = scheduler.add_function(f"job-{number}-{round_}", wait)
                run = job.start()
                scheduler.status()
                assert job.stop()
                assert run.outcome is Outcome.CANCELLED
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failures == []
    assert [status.state for status in scheduler.status()] == ["finished"] * 80
