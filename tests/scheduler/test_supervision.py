"""Restarts, schedules and dependencies with real threads, through the library."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.model import JobState, Outcome, ReasonKind, WaitingFor
from taskloom.core.policies import (
    Condition,
    Dependency,
    Overlap,
    RestartLimit,
    RestartPolicy,
    RestartWhen,
    Schedule,
)
from taskloom.errors import DependencyCycle, DependencyUnmet, JobBlocked, PermanentFailure, Replicated
from taskloom.job import Job

SOON = 20.0
AT_ONCE = RestartPolicy(RestartWhen.ON_FAILURE, delay=0.001, max_delay=0.001)
MUCH_LATER = RestartPolicy(RestartWhen.ON_FAILURE, delay=1000.0, max_delay=1000.0)


def wait(ctx: Any) -> None:
    ctx.wait()


def end(ctx: Any) -> None:
    """Return at once."""


def fail(ctx: Any) -> None:
    raise ValueError(f"attempt {ctx.attempt}")


def fail_until(attempt: int) -> Callable[[Any], None]:
    def run(ctx: Any) -> None:
        if ctx.attempt < attempt:
            fail(ctx)

    return run


# -- restarts


def test_a_failing_job_is_restarted_until_a_run_succeeds(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", fail_until(3), restart=AT_ONCE)

    scheduler.start()

    assert scheduler.wait(SOON)
    report = job.status().report
    assert (report.runs, report.attempt, report.restarts, report.outcome) == (3, 3, 2, Outcome.SUCCEEDED)
    assert not report.has_failed


def test_a_job_that_reaches_its_restart_limit_gives_up(scheduler: WatchedScheduler) -> None:
    policy = RestartPolicy(RestartWhen.ALWAYS, delay=0.001, max_delay=0.001, limit=RestartLimit(6, 60.0))
    job = scheduler.add_function("a", fail, restart=policy)

    scheduler.start()

    assert scheduler.wait(SOON)
    report = job.status().report
    assert (report.runs, report.state, report.has_given_up) == (7, JobState.FINISHED, True)
    assert report.marks == ("flapping", "gave up")
    assert scheduler.stop().exit_code == 1


def test_a_permanent_failure_is_never_restarted(scheduler: WatchedScheduler) -> None:
    def run(ctx: Any) -> None:
        raise PermanentFailure("no such device")

    job = scheduler.add_function("a", run, restart=AT_ONCE)
    scheduler.start()

    assert scheduler.wait(SOON)
    assert (job.status().report.runs, job.status().report.has_given_up) == (1, True)


def test_a_manual_stop_ends_a_pending_restart(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", fail, restart=MUCH_LATER)
    job.start()
    scheduler.wait_for(EventName.RESTART_SCHEDULED, "a")
    before = job.status().report

    has_stopped = job.stop()

    assert (before.waiting_for, before.due_in is not None) == (WaitingFor.BACKOFF, True)
    assert has_stopped
    assert job.status().report.state is JobState.FINISHED
    assert scheduler.wait(SOON)
    assert job.status().report.runs == 1


def test_a_manual_start_does_not_wait_for_the_pending_restart(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", fail_until(1), restart=MUCH_LATER)
    failing = scheduler.add_function("b", fail, restart=MUCH_LATER)
    failing.start()
    scheduler.wait_for(EventName.RESTART_SCHEDULED, "b")

    again = failing.start()

    assert again.join(SOON)
    assert (again.id, failing.status().report.attempt) == ("b#2", 1)
    assert job.start().join(SOON)


def test_a_manual_restart_starts_another_run_at_once_and_is_not_counted(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", wait, restart=MUCH_LATER)
    first = job.start()

    job.restart("new certificate")

    scheduler.wait_for(EventName.STARTED, "a", count=2)
    assert first.join(SOON)
    assert (first.outcome, str(first.reason)) == (Outcome.CANCELLED, "user: new certificate")
    report = job.status().report
    assert (report.runs, report.attempt, report.restarts) == (2, 1, 0)


def test_a_restart_of_a_job_that_does_not_run_starts_it(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", wait, manual=True)

    job.restart()

    scheduler.wait_for(EventName.STARTED, "a")


def test_a_restart_of_a_job_without_a_run_waits_for_its_dependencies_unless_it_is_to_be_now(
    scheduler: WatchedScheduler,
) -> None:
    scheduler.add_function("b", wait, manual=True)
    job = scheduler.add_function("a", wait, after=["b"])

    with pytest.raises(DependencyUnmet):
        job.restart()
    assert job.run is None
    job.restart(now=True)

    scheduler.wait_for(EventName.STARTED, "a")


def test_the_late_exit_of_an_abandoned_run_releases_the_restart_that_was_pending(scheduler: WatchedScheduler) -> None:
    let_go = threading.Event()

    def deaf_at_first(ctx: Any) -> None:
        if ctx.attempt == 1:
            let_go.wait(SOON)
        else:
            ctx.wait()

    job = scheduler.add_function("a", deaf_at_first, daemon=True, within=0.05, timeout=0.05, restart=AT_ONCE)
    job.start()
    scheduler.wait_for(EventName.BLOCKED, "a")
    with pytest.raises(JobBlocked):
        job.start()

    let_go.set()

    scheduler.wait_for(EventName.STARTED, "a", count=2)
    report = job.status().report
    assert (report.restarts, report.attempt) == (1, 2)
    assert scheduler.event_names("a").index("late_exit") < scheduler.event_names("a").index("restart_scheduled")


# -- the handle


def test_the_handle_has_the_latest_run(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", end)
    before = job.run

    run = job.start()
    assert run.join(SOON)

    assert before is None
    assert job.run is not None
    assert (job.run.id, job.run.outcome) == (run.id, Outcome.SUCCEEDED)
    again = job.start()
    assert again.join(SOON)
    assert job.run.id == again.id == "a#2"


def test_an_armed_job_waits_for_its_dependencies(scheduler: WatchedScheduler) -> None:
    first = scheduler.add_function("first", wait, manual=True, announces_ready=True)
    job = scheduler.add_function("a", wait, manual=True, after=[Dependency("first", Condition.STARTED)])

    job.arm()
    job.arm()
    before = job.status().report
    first.start()

    scheduler.wait_for(EventName.STARTED, "a")
    assert (before.waiting_for, before.waits_for) == (WaitingFor.DEPENDENCY, "job 'first' to be started")


def test_a_manual_start_is_refused_until_the_dependencies_are_satisfied_unless_now_is_set(
    scheduler: WatchedScheduler,
) -> None:
    first = scheduler.add_function("first", wait, manual=True)
    job = scheduler.add_function("a", wait, manual=True, after=["first"])

    with pytest.raises(DependencyUnmet, match="job 'first' to be ready"):
        job.start()
    state = job.status().state
    run = job.start(now=True)
    job.stop()
    first.start()
    scheduler.wait_for(EventName.READY, "first")
    again = job.start()

    assert state == "waiting"
    assert [run.id, again.id] == ["a#1", "a#2"]


def test_one_run_is_cancelled_and_the_schedule_goes_on(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", wait, schedule=Schedule(every=0.05, immediately=True))
    scheduler.start()
    scheduler.wait_for(EventName.STARTED, "a")
    assert job.run is not None

    job.run.cancel("this one")

    scheduler.wait_for(EventName.STARTED, "a", count=2)
    job.stop()
    assert job.status().report.state is JobState.FINISHED
    assert job.status().report.next_firing is None


# -- schedules


def test_a_schedule_alone_keeps_the_scheduler_running(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", end, schedule=Schedule(every=0.02))

    scheduler.start()

    scheduler.wait_for(EventName.ENDED, "a", count=5)
    report = job.status().report
    assert report.next_firing is not None
    assert not scheduler.wait(0)


def test_a_start_delay_alone_keeps_the_scheduler_running(scheduler: WatchedScheduler) -> None:
    scheduler.add_function("a", end, delay=0.05)

    scheduler.start()

    assert scheduler.wait(SOON)
    assert scheduler.wait_for(EventName.ENDED, "a").outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("overlap", list(Overlap))
def test_a_firing_during_a_run_follows_the_overlap_policy(scheduler: WatchedScheduler, overlap: Overlap) -> None:
    let_go = threading.Event()

    def run(ctx: Any) -> None:
        while not (ctx.cancelled or let_go.wait(0.001)):
            pass

    job = scheduler.add_function("a", run, schedule=Schedule(every=0.05, overlap=overlap, immediately=True))
    scheduler.start()

    if overlap is Overlap.REPLACE:
        asked = scheduler.wait_for(EventName.CANCEL_REQUESTED, "a")
        scheduler.wait_for(EventName.STARTED, "a", count=2)
        assert asked.reason is not None
        assert asked.reason.kind is ReasonKind.REPLACED
    else:
        missed = scheduler.wait_for(EventName.MISSED, "a")
        runs = job.status().report.runs
        let_go.set()
        scheduler.wait_for(EventName.STARTED, "a", count=2)
        assert (missed.data["why"], runs) == ("overlap", 1)


# -- dependencies, replicas, essential


def test_a_chain_starts_in_order_and_stops_in_reverse(scheduler: WatchedScheduler) -> None:
    names = ["a", "b", "c", "d"]
    for name, need in zip(reversed(names), [*reversed(names[:-1]), None], strict=True):
        scheduler.add_function(name, wait, after=[need] if need else [])

    scheduler.start()
    scheduler.wait_for(EventName.STARTED, "d")
    scheduler.stop()
    scheduler.wait_for(EventName.SCHEDULER_STOPPED)

    events = scheduler.events
    assert [event.job for event in events if event.event is EventName.STARTED] == names
    assert [event.job for event in events if event.event is EventName.ENDED] == names[::-1]


def test_replicas_are_added_together_and_know_their_numbers(scheduler: WatchedScheduler) -> None:
    numbers: list[int] = []

    def note(ctx: Any) -> None:
        numbers.append(ctx.replica)

    job = Job(name="web", task=note, replicas=3)
    with pytest.raises(Replicated):
        scheduler.add(job)

    handles = scheduler.add_all([job, Job(name="top", task=end, after={"web": "succeeded"})])
    scheduler.start()

    assert scheduler.wait(SOON)
    assert [handle.name for handle in handles] == ["web.1", "web.2", "web.3", "top"]
    assert sorted(numbers) == [1, 2, 3]
    assert [status.report.outcome for status in scheduler.status()] == [Outcome.SUCCEEDED] * 4


def test_a_job_that_would_close_a_dependency_cycle_is_refused(scheduler: WatchedScheduler) -> None:
    scheduler.add_function("a", wait, after=["b"])

    with pytest.raises(DependencyCycle):
        scheduler.add_function("b", wait, after=["a"])

    assert [status.report.job for status in scheduler.status()] == ["a"]


def test_an_essential_job_that_fails_for_good_stops_everything() -> None:
    order: list[str] = []

    def beat(ctx: Any) -> None:
        ctx.wait()
        order.append("asked")

    scheduler = WatchedScheduler(stop_within=5.0, on_stopping=lambda: order.append("told"))
    scheduler.add_function("beat", beat, daemon=True)
    scheduler.add_function("heart", fail, essential=True)
    before = scheduler.stop_reason

    scheduler.start()

    assert scheduler.wait(SOON)
    assert scheduler.wait_stopped(SOON)
    report = scheduler.finish()
    assert before is None
    assert str(scheduler.stop_reason) == str(report.reason) == "essential: job 'heart' failed for good"
    assert report.exit_code == 1
    assert order == ["told", "asked"]
