"""The status of a live run, above all its poll age, in virtual time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.testing import VirtualClock

SOON = 20.0


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def scheduler(clock: VirtualClock) -> Iterator[WatchedScheduler]:
    scheduler = WatchedScheduler(clock=clock)
    yield scheduler
    scheduler.finish(SOON)


class Steps:
    """A task that the test lets go on step by step."""

    def __init__(self) -> None:
        self._go = threading.Semaphore(0)
        self._done = threading.Semaphore(0)

    def next(self) -> None:
        self._go.release()
        assert self._done.acquire(timeout=SOON)

    def step(self) -> None:
        self._done.release()
        assert self._go.acquire(timeout=SOON)


@pytest.fixture
def steps() -> Steps:
    return Steps()


def test_the_age_grows_until_the_run_polls(scheduler: WatchedScheduler, clock: VirtualClock, steps: Steps) -> None:
    def run(ctx: Any) -> None:
        steps.step()
        assert not ctx.cancelled
        steps.step()
        steps.step()

    job = scheduler.add_function("a", run)
    job.start()
    assert steps._done.acquire(timeout=SOON)
    ages = [job.status().poll_age]
    clock.advance(100)
    ages.append(job.status().poll_age)
    steps.next()
    ages.append(job.status().poll_age)
    clock.advance(7)
    ages.append(job.status().poll_age)
    worst = job.status().worst_gap
    steps.next()
    steps._go.release()

    assert ages == [0.0, 100.0, 0.0, 7.0]
    assert worst == 100.0


def test_the_age_is_zero_inside_a_token_wait(scheduler: WatchedScheduler, clock: VirtualClock) -> None:
    job = scheduler.add_function("a", lambda ctx: ctx.wait())
    run = job.start()
    while not run._live.token.is_waiting:
        pass  # the run has not come to its wait yet

    clock.advance(1000)

    assert job.status().poll_age == 0.0


def test_a_run_with_terminate_that_never_polls_is_unobserved(
    scheduler: WatchedScheduler, clock: VirtualClock, steps: Steps
) -> None:
    def run(ctx: Any) -> None:
        steps.step()
        assert not ctx.cancelled
        steps.step()

    job = scheduler.add_function("a", run, lambda: None)
    job.start()
    assert steps._done.acquire(timeout=SOON)
    clock.advance(100)
    ages = [job.status().poll_age]
    steps.next()
    ages.append(job.status().poll_age)
    steps._go.release()

    assert ages == [None, 0.0]


def test_a_job_without_a_run_has_no_age(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", lambda ctx: None)
    before = job.status()
    assert job.start().join(SOON)

    assert (before.poll_age, job.status().poll_age) == (None, None)


def test_the_status_shows_whether_a_stop_would_wake_the_run_from_blocking_io(
    scheduler: WatchedScheduler, steps: Steps
) -> None:
    def run(ctx: Any) -> None:
        steps.step()
        handle = ctx.on_cancel(lambda: None)
        steps.step()
        handle.close()
        steps.step()

    job = scheduler.add_function("a", run)
    job.start()
    assert steps._done.acquire(timeout=SOON)
    seen = [job.status().is_wakeable]
    for _ in range(2):
        steps.next()
        seen.append(job.status().is_wakeable)
    steps._go.release()

    assert seen == [False, True, False]


def test_counts_and_progress_are_shown_while_the_run_lives_and_after(scheduler: WatchedScheduler, steps: Steps) -> None:
    def run(ctx: Any) -> None:
        for _ in ctx.track(["x", "y"], unit="files"):
            ctx.count("bytes", 10)
        steps.step()

    job = scheduler.add_function("a", run)
    job.start()
    assert steps._done.acquire(timeout=SOON)
    during = job.status().as_dict()
    steps._go.release()
    assert scheduler.wait(SOON)
    after = job.status().as_dict()

    for seen in (during, after):
        assert seen["counts"] == {"bytes": 20}
        assert seen["progress"] == {"done": 2, "total": 2, "unit": "files"}
    assert (during["state"], after["state"], after["outcome"]) == ("running", "finished", "succeeded")


def test_the_stacks_of_all_runs_can_be_read_at_any_time(scheduler: WatchedScheduler, steps: Steps) -> None:
    def stand(ctx: Any) -> None:
        steps.step()

    scheduler.add_function("a", stand).start()
    assert steps._done.acquire(timeout=SOON)
    while not (found := scheduler.stacks())[0][1].where.endswith(" in step"):
        pass  # the run has not come to its wait yet
    steps._go.release()

    [(run, stack)] = found
    assert run.id == "a#1"
    assert "in stand" in stack.text


def test_the_sampler_is_idle_while_every_run_waits_on_its_token(scheduler: WatchedScheduler) -> None:
    runs = [scheduler.add_function(f"a{number}", lambda ctx: ctx.wait()).start() for number in range(3)]
    while not all(run._live.token.is_waiting for run in runs):
        pass  # the runs have not come to their waits yet

    sampler = scheduler._engine._heartbeats
    sampler.sample(1.0)

    assert sampler.is_idle
