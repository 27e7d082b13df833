"""Timeouts, ready limits and watchdogs of runs, with real threads."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.model import Outcome
from taskloom.core.policies import RestartPolicy, RestartWhen, Watchdog, WatchdogThen
from taskloom.scheduler import scheduler_loop

SOON = 20.0
AT_ONCE = RestartPolicy(RestartWhen.ON_FAILURE, delay=0.001, max_delay=0.001)


def wait(ctx: Any) -> None:
    ctx.wait()


def test_a_run_that_exceeds_its_timeout_is_restarted(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", wait, timeout=0.05, restart=AT_ONCE)

    job.start()

    scheduler.wait_for(EventName.STARTED, "a", count=3)
    assert scheduler.event_names("a").count("ended timed_out") >= 2


def test_a_run_that_is_not_ready_in_time_fails(scheduler: WatchedScheduler) -> None:
    run = scheduler.add_function("a", wait, announces_ready=True, ready_within=0.05).start()

    assert run.join(SOON)
    assert run.outcome is Outcome.FAILED
    assert str(run.reason) == "watchdog: not ready within 50ms"


@pytest.fixture
def fast_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample the polls more often than once a second."""
    monkeypatch.setattr(scheduler_loop, "SAMPLE_SECONDS", 0.02)


@pytest.mark.parametrize("then", list(WatchdogThen))
def test_a_watchdog_detects_a_run_that_does_not_poll(
    fast_sampling: None, scheduler: WatchedScheduler, then: WatchdogThen
) -> None:
    let_go = threading.Event()

    def stuck(ctx: Any) -> None:
        if ctx.attempt > 1:
            ctx.wait()
        let_go.wait(SOON)
        while then is WatchdogThen.WARN and not ctx.cancelled:
            pass

    job = scheduler.add_function("a", stuck, watchdog=Watchdog(0.2, then))
    job.start()
    found = scheduler.wait_for(EventName.UNRESPONSIVE, "a")
    marks = job.status().report.marks
    let_go.set()

    assert found.data["poll_age"] > 0.2
    assert "unresponsive" in marks
    if then is WatchdogThen.WARN:
        scheduler.wait_for(EventName.RESPONSIVE, "a")
        assert job.status().state == "running"
    elif then is WatchdogThen.STOP:
        assert scheduler.wait(SOON)
        assert (job.status().report.outcome, job.status().report.runs) == (Outcome.FAILED, 1)
    else:
        scheduler.wait_for(EventName.STARTED, "a", count=2)
        assert job.status().report.restarts == 1


def test_a_run_that_waits_is_never_unresponsive(
    fast_sampling: None, scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeats = scheduler._engine._heartbeats
    sample = heartbeats.sample
    samples = threading.Semaphore(0)

    def count_sample(now: float, late: float) -> None:
        sample(now, late)
        samples.release()

    monkeypatch.setattr(heartbeats, "sample", count_sample)
    contexts: list[Any] = []

    def wait_unready(ctx: Any) -> None:
        contexts.append(ctx)
        ctx.wait()

    def be_busy(ctx: Any) -> None:
        while samples.acquire(blocking=False):
            pass  # earlier samples do not count
        for _ in range(3):
            assert samples.acquire(timeout=SOON)

    watchdog = Watchdog(0.01, WatchdogThen.RESTART)
    run = scheduler.add_function("a", wait_unready, watchdog=watchdog, announces_ready=True).start()
    while not run._live.token.is_waiting:
        pass  # the run has not come to its wait yet
    contexts[0].ready()  # only now: the watchdog acts from here on

    assert scheduler.add_function("busy", be_busy).start().join(SOON), "a busy run keeps the sampler from being idle"

    assert scheduler.event_names("a") == ["job_added", "queued", "started", "ready"]
