"""The scheduler as a library: every statement of the design."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.model import JobState, Outcome, Reason, ReasonKind
from taskloom.errors import (
    AlreadyRunning,
    DuplicateJob,
    InvalidJob,
    JobDisabled,
    JobStopping,
    SchedulerStopped,
    SelfJoin,
    TaskloomError,
    UnknownJob,
    UsageError,
)
from taskloom.job import Job
from taskloom.scheduler.facade import Scheduler
from taskloom.testing import make_job

SOON = 20.0


def wait(ctx: Any) -> None:
    ctx.wait()


def end(ctx: Any) -> None:
    """Return at once."""


def test_leaving_the_block_stops_everything() -> None:
    with WatchedScheduler() as scheduler:
        runs = [scheduler.add_function(name, wait).start() for name in ("a", "b")]
        alive = [run.is_alive() for run in runs]

    assert alive == [True, True]
    assert [run.is_alive() for run in runs] == [False, False]
    assert [run.outcome for run in runs] == [Outcome.CANCELLED] * 2
    assert scheduler.finish().is_clean


def test_an_error_in_the_block_stops_everything_and_is_raised() -> None:
    with pytest.raises(ZeroDivisionError), WatchedScheduler() as scheduler:
        run = scheduler.add_function("a", wait).start()
        raise ZeroDivisionError

    assert not run.is_alive()


def test_adding_only_declares(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", wait)

    status = job.status()
    assert (status.state, status.report.runs, status.report.outcome) == ("waiting", 0, None)
    assert scheduler.job("a").name == "a"


def test_join_returns_true_once_the_run_has_ended(scheduler: WatchedScheduler) -> None:
    run = scheduler.add_function("a", wait).start()
    before = [run.is_alive(), run.join(0), run.join(0.01)]
    run.cancel("enough")
    after = [run.join(timeout=SOON), run.is_alive(), run.join(), run.join(float("inf"))]

    assert before == [True, False, False]
    assert after == [True, False, True, True]
    assert (run.outcome, run.reason, run.error) == (Outcome.CANCELLED, Reason(ReasonKind.USER, "enough"), None)


def test_a_run_keeps_its_error_as_text(scheduler: WatchedScheduler) -> None:
    def fail(ctx: Any) -> None:
        raise ValueError("no such port")

    job = scheduler.add_function("a", fail)
    run = job.start()

    assert run.join(SOON)
    assert (run.outcome, str(run.error)) == (Outcome.FAILED, "ValueError: no such port")
    assert run.error is not None
    assert "in fail" in run.error.traceback
    assert job.status().as_dict()["error"] == "ValueError: no such port"


def test_starting_a_running_job_is_an_error_that_changes_nothing(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", wait)
    run = job.start()
    scheduler.wait_for(EventName.READY, "a")
    before = (scheduler.event_names(), job.status().report.runs)

    with pytest.raises(AlreadyRunning):
        job.start()

    assert (scheduler.event_names(), job.status().report.runs) == before
    assert run.is_alive()


def test_starting_a_stopping_job_is_an_error_that_changes_nothing(scheduler: WatchedScheduler) -> None:
    let_go = threading.Event()
    job = scheduler.add_function("a", lambda ctx: let_go.wait(SOON))
    run = job.start()
    run.cancel()

    with pytest.raises(JobStopping):
        job.start()

    let_go.set()
    assert run.join(SOON)
    assert job.start().id == "a#2"


def test_a_job_that_is_started_again_does_not_see_the_earlier_cancellation(scheduler: WatchedScheduler) -> None:
    polls: list[bool] = []

    def poll(ctx: Any) -> None:
        polls.append(ctx.cancelled)
        ctx.wait()

    job = scheduler.add_function("a", poll)
    for number in range(1, 4):
        run = job.start()
        scheduler.wait_for(EventName.STARTED, "a", number)
        while len(polls) < number:
            pass  # otherwise the cancel could come before `run` is entered
        assert job.stop("again")
        assert run.outcome is Outcome.CANCELLED

    assert polls == [False] * 3


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda scheduler: scheduler.add(make_job("a")), DuplicateJob),
        (lambda scheduler: scheduler.job("b"), UnknownJob),
        (lambda scheduler: scheduler.job("off").start(), JobDisabled),
    ],
)
def test_a_refused_call_raises_and_changes_nothing(
    scheduler: WatchedScheduler, call: Any, error: type[UsageError]
) -> None:
    scheduler.add_function("a", wait)
    scheduler.add(make_job("off", enabled=False))
    before = scheduler.status()

    with pytest.raises(error):
        call(scheduler)

    assert scheduler.status() == before


def test_start_starts_the_automatic_jobs_and_wait_returns_when_the_last_has_ended(scheduler: WatchedScheduler) -> None:
    let_go = threading.Event()
    scheduler.add_function("a", lambda ctx: let_go.wait(SOON))
    scheduler.add_function("manual", wait, manual=True)
    scheduler.add_function("late", end, delay=0.01)

    scheduler.start()
    scheduler.start()
    before = scheduler.wait(0)
    let_go.set()

    assert before is False
    assert scheduler.wait(SOON) is True
    assert [status.report.runs for status in scheduler.status()] == [1, 0, 1]
    assert scheduler.event_names().count("scheduler_started") == 1


def test_wait_does_not_wait_for_daemons(scheduler: WatchedScheduler) -> None:
    scheduler.add_function("daemon", wait, daemon=True)
    scheduler.add_function("a", end)

    scheduler.start()

    assert scheduler.wait(SOON)
    assert scheduler.job("daemon").status().state == "running"


def test_repeated_waits_with_a_timeout_leak_nothing(scheduler: WatchedScheduler) -> None:
    """A program that calls `wait` once a second for weeks must not leak memory."""
    scheduler.add_function("a", wait).start()

    answers = {scheduler.wait(0) for _ in range(100)}

    assert answers == {False}
    assert len(scheduler._engine._waiters._waiters) <= 1


def test_nothing_starts_after_a_stop(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", wait)
    scheduler.stop()

    for call in (job.start, scheduler.start, lambda: scheduler.add_function("b", wait)):
        with pytest.raises(SchedulerStopped):
            call()

    assert job.status().state == JobState.WAITING.value


def test_stop_is_idempotent(scheduler: WatchedScheduler) -> None:
    scheduler.add_function("a", wait).start()

    first = scheduler.stop(reason=Reason(ReasonKind.USER, "first"))
    second = scheduler.stop(reason=Reason(ReasonKind.USER, "second"))

    assert second is first
    assert str(first.reason) == "user: first"
    assert scheduler.event_names().count("scheduler_stopped") == 1


def test_eight_threads_may_stop_at_once(scheduler: WatchedScheduler, fast_switching: None) -> None:
    runs = [scheduler.add_function(f"job{number}", wait).start() for number in range(20)]
    barrier = threading.Barrier(8)
    reports: list[Any] = []

    def stop() -> None:
        barrier.wait()
        reports.append(scheduler.stop())

    threads = [threading.Thread(target=stop) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)

    assert len(reports) == 8
    assert len(set(map(id, reports))) == 1
    assert not any(run.is_alive() for run in runs)


@pytest.mark.parametrize("within", [0.0, 1.0, 1e20, float("inf")])
def test_a_stop_accepts_any_number_of_seconds(within: float) -> None:
    scheduler = WatchedScheduler()
    scheduler.add_function("a", wait, within=float("inf")).start()
    scheduler.wait_for(EventName.STARTED)

    report = scheduler.stop(within)

    assert within == 0.0 or report.is_clean
    scheduler.finish()


@pytest.mark.parametrize("call", [Scheduler.stop, Scheduler.request_stop, Scheduler.hurry])
def test_a_stop_within_nan_seconds_is_refused_and_changes_nothing(scheduler: WatchedScheduler, call: Any) -> None:
    run = scheduler.add_function("a", wait).start()

    with pytest.raises(ValueError, match=r"^cannot wait for nan seconds$"):
        call(scheduler, float("nan"))

    assert run.is_alive()
    assert scheduler.job("a").status().state == "running"


def test_a_scheduler_that_never_started_anything_stops() -> None:
    before = set(threading.enumerate())
    scheduler = Scheduler()

    assert scheduler.stop().is_clean
    # By name, not by number: a thread of the test before this one may end meanwhile.
    assert [thread.name for thread in threading.enumerate() if thread not in before] == []


def test_no_thread_is_left_after_a_clean_stop() -> None:
    before = set(threading.enumerate())
    scheduler = WatchedScheduler()
    for number in range(5):
        scheduler.add_function(f"job{number}", wait, lambda: None).start()

    scheduler.finish()
    mine = [thread for thread in threading.enumerate() if thread not in before]
    for thread in mine:
        thread.join(SOON)

    assert {thread.name for thread in mine} <= {"taskloom-listener", *(f"taskloom-callback-{n}" for n in range(17))}
    assert not any(thread.is_alive() for thread in mine), "the helpers end by themselves"


def test_several_schedulers_in_one_process_are_independent() -> None:
    one, two = WatchedScheduler(), WatchedScheduler()
    runs = [scheduler.add_function("same", wait).start() for scheduler in (one, two)]

    one.finish()
    alive = [run.is_alive() for run in runs]
    two.finish()

    assert alive == [False, True]
    assert [run.id for run in runs] == ["same#1", "same#1"]


def test_a_run_of_one_scheduler_may_own_another(scheduler: WatchedScheduler) -> None:
    inner: list[bool] = []

    def own(ctx: Any) -> None:
        with WatchedScheduler() as other:
            run = other.add_function("a", wait).start()
            run.cancel()
            inner.append(run.join(SOON))
        inner.append(other.finish().is_clean)

    run = scheduler.add_function("a", own).start()

    assert run.join(SOON)
    assert (run.outcome, inner) == (Outcome.SUCCEEDED, [True, True])


def test_no_global_state_is_changed(scheduler: WatchedScheduler) -> None:
    def snapshot() -> list[object]:
        handlers: list[object] = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        hooks = [sys.excepthook, threading.excepthook, sys.unraisablehook, sys.stdout, sys.stderr]
        root = [*logging.getLogger().handlers, logging.getLogger().level]
        return [*handlers, *hooks, *root, signal.set_wakeup_fd(-1), sys.getswitchinterval(), threading.stack_size()]

    before = snapshot()

    scheduler.add_function("a", wait, lambda: None).start()
    during = snapshot()
    scheduler.stop()

    assert during == before
    assert snapshot() == before


def test_a_run_that_joins_itself_gets_an_error(scheduler: WatchedScheduler) -> None:
    runs: list[Any] = []
    has_begun = threading.Event()

    def join_itself(ctx: Any) -> None:
        assert has_begun.wait(SOON)
        runs[0].join(SOON)

    runs.append(scheduler.add_function("a", join_itself).start())
    has_begun.set()

    assert runs[0].join(SOON)
    assert runs[0].error.type == SelfJoin.__name__
    assert runs[0].error.message == "cannot join run a#1 from its own thread: it would wait for itself"


def test_a_signal_handler_may_request_the_stop_during_a_call(scheduler: WatchedScheduler) -> None:
    """The handler runs while this thread holds the engine's lock: it queues the request, which is processed later."""
    engine = scheduler._engine

    def while_the_lock_is_held(_: object) -> None:
        scheduler.request_stop(within=5)

    scheduler.add_function("a", lambda ctx: ctx.wait()).start()
    engine.query(None, while_the_lock_is_held)

    assert scheduler.wait_stopped(SOON)


# -- adding several jobs


def test_a_job_that_is_refused_keeps_all_others_from_being_added(scheduler: WatchedScheduler) -> None:
    def jobs(*last: Job) -> list[Job]:
        return [Job(name="first", task=wait), Job(name="second", task=wait, replicas=2), *last]

    refused: list[tuple[Job, type[TaskloomError]]] = [
        (Job(name="third", task="no-such-task"), TaskloomError),
        (Job(name="third", task=wait, join="soon"), InvalidJob),
        (Job(name="first", task=wait), DuplicateJob),
        (Job(name="third", task=wait, after=["third"]), TaskloomError),
    ]
    for job, error in refused:
        with pytest.raises(error):
            scheduler.add_all(jobs(job))

        assert scheduler.status() == []
    handles = scheduler.add_all(jobs())

    assert [handle.name for handle in handles] == ["first", "second.1", "second.2"]


def test_the_cancel_of_a_run_whose_job_was_removed_does_nothing(scheduler: WatchedScheduler) -> None:
    run = scheduler.add_function("a", end).start()
    assert run.join(SOON)
    scheduler.reload([])

    run.cancel("late")
    run.cancel()

    assert run.outcome is Outcome.SUCCEEDED
    assert scheduler.status() == []
