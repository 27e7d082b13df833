"""Stop and time come before everything else: floods, starts under way, files that do not answer, lack of memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom import Job, Scheduler, Task
from taskloom.clock import MonotonicClock, mono
from taskloom.core.events import EventName
from taskloom.core.inputs import RunReady
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import Outcome
from taskloom.scheduler.at_exit import AtExit
from taskloom.testing import VirtualClock

SOON = 20.0


def wait(ctx: Any) -> None:
    ctx.wait()


@pytest.mark.parametrize("jobs", [400, pytest.param(3000, marks=pytest.mark.long)])
def test_no_body_is_entered_after_request_stop_has_returned(jobs: int) -> None:
    entered: list[str] = []
    has_begun = threading.Event()

    def note(ctx: Any) -> None:
        entered.append(ctx.run_id)
        has_begun.set()
        ctx.wait()

    scheduler = Scheduler()
    handles = scheduler.add_all(Job(name=f"j{number}", task=note) for number in range(jobs))
    starter = threading.Thread(target=scheduler.start)
    starter.start()
    assert has_begun.wait(SOON)
    scheduler.request_stop(within=60)
    before = len(entered)
    starter.join()
    report = scheduler.stop()

    assert 0 < before < jobs, "the stop came in the middle of the start"
    assert len(entered) == before
    assert report.is_clean
    assert [handle.run.outcome for handle in handles if handle.run] == [Outcome.CANCELLED] * jobs
    assert scheduler.bug is None


@pytest.mark.long
def test_a_stop_does_not_wait_for_the_reports_that_were_queued_before_it() -> None:
    """Its deadline is set before a hundred thousand reports are processed."""
    scheduler = Scheduler()
    run = scheduler.add(Job(name="a", task=wait)).start()
    taken: list[int] = []
    real = Lifecycle.handle
    engine = scheduler._engine

    def count_reports(core: Lifecycle, message: Any, now: Any) -> Any:
        if type(message).__name__ == "Shutdown":
            taken.append(len(engine._inbox.reports) + engine._inbox._queue.qsize())
        return real(core, message, now)

    hold = threading.Event()
    holder = threading.Thread(target=engine.query, args=(None, lambda _: hold.wait(SOON)))
    holder.start()
    for _ in range(100_000):
        engine.post(RunReady(run.id))
    engine._core.handle = count_reports.__get__(engine._core)  # type: ignore[method-assign]
    scheduler.request_stop()
    hold.set()
    holder.join()
    report = scheduler.stop()

    assert report.is_clean
    assert taken[0] > 90_000


def test_a_task_that_announces_ready_in_a_loop_fills_no_queue() -> None:
    called = [0]

    class Flood(Task):
        announces_ready = True

        def run(self, ctx: Any) -> None:
            while not ctx.cancelled:
                ctx.ready()
                called[0] += 1

    scheduler = Scheduler()
    handles = scheduler.add_all(Job(name=f"f{number}", task=Flood) for number in range(3))
    scheduler.start()
    while called[0] < 10_000:
        scheduler.status()
    queued = scheduler._engine._inbox._queue.qsize()
    report = scheduler.stop(within=10)

    assert queued < 100
    assert report.is_clean
    assert all(handle.run and handle.run.outcome is Outcome.CANCELLED for handle in handles)


def test_a_run_that_ended_in_time_is_not_timed_out_although_its_report_comes_late() -> None:
    """The scheduler thread is held up until the timeout has passed and the run has long ended."""
    has_ended = threading.Event()
    scheduler = Scheduler()
    handle = scheduler.add(Job(name="a", task=lambda ctx: ctx.wait(0.05) and None, timeout=0.4, join="0.4s"))
    engine = scheduler._engine
    run = handle.start()
    hold = threading.Event()
    holder = threading.Thread(target=engine.query, args=(None, lambda _: hold.wait(SOON)))
    holder.start()

    def watch() -> None:
        assert run._live.handle is not None
        run._live.handle.join(SOON)
        has_ended.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert has_ended.wait(SOON)
    late = mono() + 0.5
    while mono() < late:
        pass
    reports = engine._inbox.reports
    for _ in range(1000):
        reports.appendleft(RunReady(run.id))  # in front of the report of the end
    hold.set()
    assert run.join(SOON)

    assert run.outcome is Outcome.SUCCEEDED
    scheduler.stop()
    for thread in (holder, watcher):
        thread.join()


def test_a_source_file_that_does_not_answer_delays_neither_the_stop_nor_the_status(tmp_path: Path) -> None:
    fifo = tmp_path / "module.py"
    os.mkfifo(fifo)
    let_go = threading.Event()
    names: dict[str, Any] = {"let_go": let_go}
    exec(compile("def stand(ctx):\n    let_go.wait(60)\n", str(fifo), "exec"), names)
    scheduler = Scheduler()
    scheduler.add(Job(name="a", task=names["stand"], daemon=True, join="0.3s")).start()

    report = scheduler.stop(within=5)
    status = scheduler.status()
    let_go.set()
    # The helper thread waits for the file: give it an end.
    with fifo.open("w"):
        pass

    [survivor] = report.survivors
    assert survivor.where == f"{fifo}:2 in stand"
    assert survivor.stack == ""
    assert [job.report.job for job in status] == ["a"]


def test_a_source_file_that_does_not_answer_delays_no_stop_when_the_clock_of_the_host_stands_still(
    tmp_path: Path,
) -> None:
    """How long a helper may take for a stack is measured by the machine's clock."""
    fifo = tmp_path / "module.py"
    os.mkfifo(fifo)
    let_go = threading.Event()
    names: dict[str, Any] = {"let_go": let_go}
    exec(compile("def stand(ctx):\n    let_go.wait(60)\n", str(fifo), "exec"), names)
    clock = VirtualClock()
    scheduler = Scheduler(clock=clock)
    is_asked = threading.Event()
    scheduler.listen(lambda event: is_asked.set() if event.event is EventName.CANCEL_REQUESTED else None)
    scheduler.add(Job(name="a", task=names["stand"], daemon=True, join="1s")).start()

    scheduler.request_stop(within=5)
    assert is_asked.wait(SOON)
    clock.advance(1.5)
    scheduler._engine.post(None)
    is_over = scheduler.wait_stopped(SOON)
    let_go.set()
    with fifo.open("w"):
        pass

    assert is_over
    assert [survivor.where for survivor in scheduler.stop().survivors] == [f"{fifo}:2 in stand"]


class FailingClock(MonotonicClock):
    """A clock for which there is no memory at some calls on the scheduler thread."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0

    def now(self) -> Any:
        if self.left and threading.current_thread().name == "taskloom-scheduler":
            self.left -= 1
            raise MemoryError
        return super().now()


class RacingClock(MonotonicClock):
    """A clock that goes on by a hundredth of a second at each reading: as on a machine that is much too slow."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0.0

    def now(self) -> Any:
        self.ahead += 0.01
        now = super().now()
        return now._replace(mono=now.mono + self.ahead, wall=now.wall + self.ahead)


def test_calls_are_answered_although_a_deadline_is_always_due() -> None:
    scheduler = Scheduler(clock=RacingClock())
    scheduler.add(Job(name="tick", task=wait, schedule={"every": "3ms"}))
    scheduler.start()
    answers: list[object] = []
    asking = threading.Thread(target=lambda: answers.extend(scheduler.status() for _ in range(3)), daemon=True)

    asking.start()
    asking.join(SOON)
    answered = len(answers)
    scheduler.stop(within=5.0)
    asking.join(SOON)

    assert answered == 3


def test_a_memory_error_on_the_scheduler_thread_ends_no_schedule_and_no_stop() -> None:
    clock = FailingClock()
    fired = threading.Semaphore(0)
    scheduler = Scheduler(clock=clock)
    scheduler.add(Job(name="tick", task=lambda ctx: fired.release(), schedule={"every": "10ms"}))
    run = scheduler.add(Job(name="a", task=wait)).start()
    scheduler.start()
    assert fired.acquire(timeout=SOON)

    clock.left = 3
    for _ in range(10):
        assert fired.acquire(timeout=SOON)
    report = scheduler.stop(within=10)

    assert clock.left == 0, "it struck"
    assert isinstance(scheduler.bug, MemoryError)
    assert report.is_clean
    assert run.outcome is Outcome.CANCELLED


def test_a_clock_that_fails_for_good_is_an_error_of_each_call_and_takes_no_stop_away() -> None:
    clock = FailingClock()
    scheduler = Scheduler(clock=clock)
    run = scheduler.add(Job(name="a", task=wait)).start()

    clock.left = 10**9
    with pytest.raises(MemoryError):
        scheduler.status()
    report = scheduler.stop(within=10)

    assert report.is_clean
    assert not run.is_alive()


def assert_over(scheduler: Scheduler) -> None:
    """Assert that its thread ends, although the core may have lost runs, and that no caller waits for them."""
    thread = scheduler._engine._thread
    assert thread is not None
    thread.join(SOON)
    assert not thread.is_alive()
    assert scheduler.wait(SOON)
    assert AtExit(scheduler, scheduler._engine, is_stopped=False, within=1.0).wait()


@pytest.mark.parametrize("error", [MemoryError, ZeroDivisionError, RecursionError, SystemExit])
@pytest.mark.parametrize("kind", ["Shutdown", "RunEnded", "RunStarted", "StopJob", "Tick"])
def test_after_a_failure_inside_the_core_every_run_is_still_stopped(kind: str, error: type[BaseException]) -> None:
    """The engine then requests every run to stop by itself, and ends the stop."""
    scheduler = Scheduler()
    runs = [scheduler.add(Job(name=name, task=wait, join="2s")).start() for name in ("a", "b")]
    core = scheduler._engine._core
    real: Callable[..., Any] = core.handle
    struck: list[None] = []

    def fail_once(message: Any, now: Any) -> Any:
        if type(message).__name__ == kind and not struck:
            struck.append(None)
            raise error
        return real(message, now)

    core.handle = fail_once  # type: ignore[method-assign]
    if kind == "Tick":
        scheduler.add(Job(name="tick", task=lambda ctx: None, start={"delay": "1ms"})).arm()
    elif kind == "RunStarted":
        runs.append(scheduler.add(Job(name="c", task=wait, join="2s")).start())
    runs[0].cancel()
    report = scheduler.stop(within=5)

    assert struck or kind == "Tick"
    assert report.survivors == ()
    assert not any(run._live.handle.is_alive() for run in runs if run._live.handle)
    assert scheduler.wait_stopped(0)
    assert scheduler.stop() is report
    assert_over(scheduler)


def test_a_stop_without_the_core_names_the_run_that_does_not_stop() -> None:
    let_go, is_inside = threading.Event(), threading.Event()

    def deaf(ctx: Any) -> None:
        is_inside.set()
        let_go.wait(SOON)

    scheduler = Scheduler()
    scheduler.add(Job(name="deaf", task=deaf, join="0.1s")).start()
    polite = scheduler.add(Job(name="polite", task=wait)).start()
    assert is_inside.wait(SOON)
    core = scheduler._engine._core

    def fail(message: Any, now: Any) -> Any:
        raise MemoryError

    core.handle = fail  # type: ignore[method-assign]
    report = scheduler.stop(within=0.3)
    let_go.set()

    [survivor] = report.survivors
    assert (survivor.job, survivor.run) == ("deaf", "deaf#1")
    assert survivor.where.endswith("in deaf")
    assert not polite.is_alive()
    assert isinstance(scheduler.bug, MemoryError)
    assert_over(scheduler)


def test_calls_after_the_end_are_answered_from_the_last_state(scheduler: WatchedScheduler) -> None:
    handle = scheduler.add_function("a", wait)
    run = handle.start()
    report = scheduler.finish()
    thread = scheduler._engine._thread
    assert thread is not None
    thread.join(SOON)

    assert not thread.is_alive()
    assert handle.status().state == "finished"
    assert scheduler.wait(0)
    assert scheduler.stop() is report
    run.cancel()
    scheduler.request_stop()
    for call in (handle.start, scheduler.start, handle.restart):
        with pytest.raises(Exception, match="the scheduler was stopped"):
            call()
