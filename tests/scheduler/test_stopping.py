"""The stop sequence on real threads with small times: request, wake, urgent, capture, join policy."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.model import WAIT_FOR_EVER, Otherwise, Outcome, Reason, ReasonKind
from taskloom.errors import JobBlocked
from taskloom.runners.binding import Binding, Body
from taskloom.testing import make_job

SOON = 20.0
LONG = 60.0


class Deaf:
    """A task that ignores the stop until it is released."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.queue: queue.Queue[int] = queue.Queue()

    def run(self, ctx: Any) -> None:
        self.has_begun.set()
        self.queue.get(timeout=LONG)  # the deaf line

    def let_go(self) -> None:
        self.queue.put(1)


@pytest.fixture
def deaf(scheduler: WatchedScheduler) -> Iterator[Deaf]:
    task = Deaf()
    yield task
    task.let_go()


def wait(ctx: Any) -> None:
    ctx.wait()


def the_deaf_line() -> str:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    number = next(number for number, line in enumerate(lines, 1) if line.endswith("# the deaf line"))
    return f"{__file__}:{number} in run"


def test_a_stop_ends_on_time_and_names_the_survivor_with_file_and_line(scheduler: WatchedScheduler, deaf: Deaf) -> None:
    scheduler.add_function("good", wait).start()
    scheduler.add_function("deaf", deaf.run, within=0.05).start()
    assert deaf.has_begun.wait(SOON)

    report = scheduler.stop()
    deaf.let_go()

    [survivor] = report.survivors
    assert (survivor.job, survivor.run, survivor.where) == ("deaf", "deaf#1", the_deaf_line())
    assert (round(survivor.within, 6), survivor.otherwise) == (0.05, Otherwise.EXIT)
    assert survivor.waited >= 0.05
    assert "in run" in survivor.stack
    assert "queue.py" in survivor.stack
    assert report.exit_code == 3
    assert str(report).endswith(f"  survivor: deaf: exit after 50ms, at {the_deaf_line()}")


def test_the_deadline_of_the_whole_stop_applies_to_a_job_that_may_stop_for_ever(
    scheduler: WatchedScheduler, deaf: Deaf
) -> None:
    scheduler.add_function("deaf", deaf.run, within=WAIT_FOR_EVER).start()
    assert deaf.has_begun.wait(SOON)

    report = scheduler.stop(within=0.05)

    assert [survivor.job for survivor in report.survivors] == ["deaf"]


def test_a_job_without_a_stop_limit_is_waited_for(scheduler: WatchedScheduler, deaf: Deaf) -> None:
    job = scheduler.add_function("deaf", deaf.run, within=WAIT_FOR_EVER)
    run = job.start()
    assert deaf.has_begun.wait(SOON)

    is_over = [job.stop(timeout=0.05), run.join(0.01)]
    deaf.let_go()
    is_over.append(job.stop())

    assert is_over == [False, False, True]
    assert not run._live.record.is_overdue
    assert run.outcome is Outcome.CANCELLED


def test_a_stop_within_zero_seconds_requests_and_wakes_but_does_not_wait(
    scheduler: WatchedScheduler, deaf: Deaf
) -> None:
    woken = threading.Event()

    def run(ctx: Any) -> None:
        ctx.on_cancel(woken.set)
        deaf.run(ctx)

    job = scheduler.add_function("deaf", run, within=0.0)
    first = job.start()
    assert deaf.has_begun.wait(SOON)

    assert job.stop() is False
    assert woken.wait(SOON)
    assert first.outcome is Outcome.ABANDONED
    assert job.status().report.is_overdue is False
    assert "stop_overdue" not in scheduler.event_names()
    deaf.let_go()


def test_a_job_that_no_stop_waits_for_is_abandoned_at_the_report_if_it_is_alive(
    scheduler: WatchedScheduler, deaf: Deaf
) -> None:
    scheduler.add_function("deaf", deaf.run, within=0.0).start()
    scheduler.add_function("good", wait).start()
    assert deaf.has_begun.wait(SOON)

    report = scheduler.stop()

    deaf.let_go()
    assert [(survivor.job, survivor.otherwise) for survivor in report.survivors] == [("deaf", Otherwise.ABANDON)]
    assert report.exit_code == 0
    assert [job.outcome for job in report.jobs] == [Outcome.ABANDONED, Outcome.CANCELLED]
    assert "stop_overdue" not in scheduler.event_names()


def test_an_abandoned_daemon_run_blocks_its_job_until_its_late_exit(scheduler: WatchedScheduler, deaf: Deaf) -> None:
    job = scheduler.add_function("deaf", deaf.run, daemon=True, within=0.02)
    run = job.start()
    assert deaf.has_begun.wait(SOON)
    thread = next(thread for thread in threading.enumerate() if thread.name == "deaf")

    stopped = job.stop("enough")
    state = job.status().state
    with pytest.raises(JobBlocked):
        job.start()
    alive = [run.is_alive(), run.join(0), thread.is_alive()]
    deaf.let_go()
    is_over = run.join(SOON)
    deaf.has_begun.clear()
    second = job.start()
    assert deaf.has_begun.wait(SOON)
    deaf.let_go()

    assert (stopped, state, alive, is_over) == (False, "blocked", [True, False, True], True)
    assert run.outcome is Outcome.ABANDONED
    assert second.join(SOON)
    assert scheduler.wait_for(EventName.LATE_EXIT, "deaf").run == "deaf#1"
    names = scheduler.event_names("deaf")
    assert names[names.index("cancel_requested") :][:5] == [
        "cancel_requested", "stop_overdue", "ended abandoned", "blocked", "late_exit",
    ]  # fmt: skip


def test_an_abandoned_daemon_is_a_survivor_and_does_not_change_the_exit_code(
    scheduler: WatchedScheduler, deaf: Deaf
) -> None:
    scheduler.add_function("deaf", deaf.run, daemon=True, within=0.02).start()
    assert deaf.has_begun.wait(SOON)

    report = scheduler.stop()

    assert [(each.job, each.otherwise) for each in report.survivors] == [("deaf", Otherwise.ABANDON)]
    assert report.exit_code == 0


def test_a_stopped_job_that_is_overdue_ends_late_and_can_be_started_again(
    scheduler: WatchedScheduler, deaf: Deaf
) -> None:
    job = scheduler.add_function("deaf", deaf.run, within=0.02)
    run = job.start()
    assert deaf.has_begun.wait(SOON)

    stopped, state = job.stop(), job.status()
    deaf.let_go()
    assert run.join(SOON)

    assert (stopped, state.state, state.report.is_overdue) == (False, "stopping", True)
    assert run.outcome is Outcome.CANCELLED
    assert not job.status().report.is_overdue


def test_a_run_becomes_urgent_before_its_time_is_over(scheduler: WatchedScheduler) -> None:
    seen: list[bool] = []

    def until_urgent(ctx: Any) -> None:
        seen.append(ctx.urgent)
        ctx.wait()
        seen.append(ctx.urgent)
        while not ctx.urgent:
            assert ctx.cancelled
        seen.append(ctx.urgent)

    run = scheduler.add_function("a", until_urgent, within=1).start()
    scheduler.wait_for(EventName.READY)
    while not seen:
        pass  # otherwise the cancel could come before `run` is entered

    report = scheduler.stop()

    assert seen == [False, False, True]
    assert run.outcome is Outcome.CANCELLED
    assert report.is_clean


def test_hurrying_a_stop_ends_it_sooner(scheduler: WatchedScheduler, deaf: Deaf) -> None:
    scheduler.add_function("deaf", deaf.run, within=WAIT_FOR_EVER).start()
    assert deaf.has_begun.wait(SOON)
    scheduler.request_stop(within=LONG)

    is_over = [scheduler.wait_stopped(0)]
    scheduler.hurry(0.02)
    is_over.append(scheduler.wait_stopped(SOON))

    assert is_over == [False, True]
    assert len(scheduler.stop().survivors) == 1


def test_a_run_that_is_cancelled_before_it_is_entered_is_never_entered(scheduler: WatchedScheduler) -> None:
    # 1. the run's thread creates the body
    # 2. the run is cancelled
    # 3. the body is created
    calls: list[str] = []
    is_making, go_on = threading.Event(), threading.Event()

    def make() -> Body:
        is_making.set()
        assert go_on.wait(SOON)
        return Body(lambda ctx: calls.append("run"), lambda: calls.append("terminate"))

    run = scheduler.add(replace(make_job("a"), binding=Binding(make, has_terminate=True))).start()
    assert is_making.wait(SOON)
    run.cancel()
    go_on.set()

    assert run.join(SOON)
    assert (run.outcome, run.error, calls) == (Outcome.CANCELLED, None, [])


def test_a_job_that_waits_for_its_delay_is_skipped_by_a_stop(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("late", wait, delay=LONG)
    scheduler.start()
    before = job.status().report.waiting_for

    report = scheduler.finish()

    assert before is not None
    assert before.value == "delay"
    assert job.status().state == "skipped"
    assert report.is_clean
    assert scheduler.event_names("late") == ["job_added", "skipped"]


def test_dependents_are_stopped_before_what_they_depend_on(scheduler: WatchedScheduler) -> None:
    order: list[str] = []

    def noting(name: str) -> Any:
        def run(ctx: Any) -> None:
            ctx.wait()
            order.append(name)

        return run

    names = ("base", "middle", "top")
    for name, after in zip(names, ((), ("base",), ("middle",)), strict=True):
        scheduler.add_function(name, noting(name), after=after).start()
        scheduler.wait_for(EventName.READY, name)

    scheduler.stop()

    assert order == ["top", "middle", "base"]


def test_the_reason_of_a_shutdown_reaches_the_runs(scheduler: WatchedScheduler) -> None:
    reasons: list[Any] = []
    has_begun = threading.Event()

    def run(ctx: Any) -> None:
        has_begun.set()
        ctx.wait()
        reasons.append(ctx.reason)

    scheduler.add_function("a", run).start()
    assert has_begun.wait(SOON)

    scheduler.stop(reason=Reason(ReasonKind.SIGNAL, "TERM"))

    assert reasons == [Reason(ReasonKind.SIGNAL, "TERM")]


def test_a_late_exit_after_the_stop_is_an_event_and_changes_nothing_else(
    scheduler: WatchedScheduler, deaf: Deaf
) -> None:
    run = scheduler.add_function("deaf", deaf.run, daemon=True, within=0.0).start()
    assert deaf.has_begun.wait(SOON)
    report = scheduler.stop()

    deaf.let_go()

    assert run.join(SOON)
    scheduler.wait_for(EventName.LATE_EXIT)
    assert scheduler.stop() is report
    assert [survivor.job for survivor in report.survivors] == ["deaf"]
    scheduler.finish()
    assert scheduler.event_names()[-2:] == ["scheduler_stopped", "late_exit"]


def test_the_report_of_a_stop_is_there_once_it_is_over(scheduler: WatchedScheduler) -> None:
    assert scheduler.stop_report is None

    report = scheduler.stop()

    assert scheduler.stop_report == report
