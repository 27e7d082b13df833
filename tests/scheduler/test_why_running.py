"""Why a job is, or is not, running: the answers about jobs that run, to the letter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore
from tests.support.why_scenes import (
    begun,
    declared,
    fail,
    why,
)

from taskloom.core.model import RunnerSpec
from taskloom.core.policies import Otherwise, Overlap, RestartPolicy, RestartWhen, Schedule, Watchdog
from taskloom.core.why import gather
from taskloom.core.why_facts import ProcessFacts, RunNumbers
from taskloom.runners.binding import Binding
from taskloom.scheduler.why_text import explain
from taskloom.testing import make_job

pytestmark = pytest.mark.usefixtures("in_utc")


def test_a_ready_job_is_described_with_what_it_reports_and_what_a_stop_would_do() -> None:
    core = begun(make_job("web", daemon=True), make_job("api", after=["web"]))
    core.advance(7500)
    numbers = RunNumbers(0.0, 0.4, False, True, {"bytes": 96, "frames": 8}, (12.5, 1_000_000, "files"))

    assert why(core, "web", numbers) == (
        "web is running and ready: run web#1 began 2h5m ago, at 00:00:00. It polled within the last second. It "
        "reports 12.5 of 1,000,000 files, bytes 96, frames 8. It is a daemon: it does not keep the program "
        "running. A stop would ask it to end, and would wait up to 10s for it (join: 10s); it polls at least once "
        "a second, so it should end in time. A stop of the whole program would first stop api."
    )


def test_a_stop_that_wakes_the_run_should_end_in_time() -> None:
    core = begun(make_job("web"))
    core.advance(75)

    assert why(core, "web", RunNumbers(14.0, 14.2, True, True)) == (
        "web is running and ready: run web#1 began 1m15s ago, at 00:00:00. It last polled 14s ago. A stop would "
        "ask it to end and wake it, and would wait up to 10s for it (join: 10s); it should end in time."
    )


def test_a_run_that_polls_too_rarely_may_not_end_in_time() -> None:
    core = begun(make_job("web", within=5.0))
    core.advance(75)

    assert why(core, "web", RunNumbers(14.0, 14.2, False, False), {"web#1": "reader.py:31 in run"}) == (
        "web is running and ready: run web#1 began 1m15s ago, at 00:00:00. It last polled 14s ago. It is "
        "currently at reader.py:31 in run. A stop would ask it to end, and would wait up to 5s for it (join: 5s); "
        "it has gone 14s without a poll, so it may not end in time: then it is reported as overdue, and if it is "
        "still alive at the end of the program, the exit code is 3."
    )


def test_a_daemon_that_polls_too_rarely_would_be_left_behind() -> None:
    core = begun(make_job("web", within=5.0, daemon=True))
    core.advance(75)

    assert why(core, "web", RunNumbers(14.0, 14.2, False, False)) == (
        "web is running and ready: run web#1 began 1m15s ago, at 00:00:00. It last polled 14s ago. It is a "
        "daemon: it does not keep the program running. A stop would ask it to end, and would wait up to 5s for it "
        "(join: 5s); it has gone 14s without a poll, so it may not end in time: then its thread is left behind, "
        "and the job is blocked until that thread ends."
    )


def test_a_run_that_polls_rarely_but_often_enough_should_end_in_time() -> None:
    core = begun(make_job("web", within=50.0))
    core.advance(75)

    assert why(core, "web", RunNumbers(14.0, 14.2, False, True)) == (
        "web is running and ready: run web#1 began 1m15s ago, at 00:00:00. It last polled 14s ago. A stop would "
        "ask it to end, and would wait up to 50s for it (join: 50s); it has gone 14s without a poll at most, so "
        "it should end in time."
    )


def test_a_run_whose_thread_has_not_begun_is_being_started() -> None:
    core = declared(make_job("web"))
    core.start_all()
    core.advance(2)

    assert why(core, "web", RunNumbers()) == (
        "web is being started: run web#1 was queued 2s ago, at 00:00:00, and its thread has not begun it yet. A "
        "stop would ask it to end, and would wait up to 10s for it (join: 10s)."
    )


def test_a_run_that_is_not_ready_has_time_left_and_jobs_that_wait_for_it() -> None:
    core = declared(make_job("db", ready_within=30.0), make_job("web", after=["db"]), make_job("api", after=["db"]))
    core.start_all()
    core.started("db#1", is_ready=False)
    core.advance(4)

    assert why(core, "db") == (
        "db is running, but is not ready yet: run db#1 began 4s ago, at 00:00:00, and has 26s left to become "
        "ready. web and api wait for it. A stop would ask it to end, and would wait up to 10s for it (join: 10s)."
    )


def test_an_unresponsive_run_is_told_with_its_place() -> None:
    core = begun(make_job("web", watchdog=Watchdog(5.0)))
    core.advance(10)
    core.unresponsive("web#1")
    core.advance(12)

    assert why(core, "web", RunNumbers(17.0, 17.0, False, False), {"web#1": "reader.py:31 in run"}) == (
        "web is running, but has been unresponsive for 12s: run web#1 began 22s ago, at 00:00:00. It has not "
        "polled for 17s (watchdog: 5s, then warn). It is currently at reader.py:31 in run. A stop would ask it to "
        "end, and would wait up to 10s for it (join: 10s); it has gone 17s without a poll, so it may not end in "
        "time: then it is reported as overdue, and if it is still alive at the end of the program, the exit code "
        "is 3."
    )


def test_a_run_that_never_polled_says_so() -> None:
    core = begun(make_job("web"))
    core.advance(14)

    assert why(core, "web", RunNumbers(14.0, 14.0, False, False)) == (
        "web is running and ready: run web#1 began 14s ago, at 00:00:00. It has not polled since it began. A stop "
        "would ask it to end, and would wait up to 10s for it (join: 10s); it has gone 14s without a poll, so it "
        "may not end in time: then it is reported as overdue, and if it is still alive at the end of the program, "
        "the exit code is 3."
    )


def test_a_timeout_that_comes_is_told_and_so_is_a_join_without_a_limit() -> None:
    core = begun(make_job("web", timeout=600.0, within=float("inf")))
    core.advance(10)

    assert why(core, "web", RunNumbers(0.0, 0.4, False, True)) == (
        "web is running and ready: run web#1 began 10s ago, at 00:00:00. It polled within the last second. Its "
        "timeout of 10m is over in 9m50s, at 00:10:00. A stop would ask it to end, and would wait for it without "
        "a limit (join: wait)."
    )


def test_no_stop_waits_for_a_run_with_join_0s() -> None:
    core = begun(make_job("web", within=0.0))
    core.advance(10)

    assert why(core, "web", RunNumbers(0.0, 0.4, False, True)) == (
        "web is running and ready: run web#1 began 10s ago, at 00:00:00. It polled within the last second. A stop "
        "would ask it to end, and would not wait for it (join: 0s)."
    )


def test_an_essential_job_says_so() -> None:
    core = begun(make_job("web", essential=True))

    assert why(core, "web") == (
        "web is running and ready: run web#1 began just now, at 00:00:00. It is essential: if it fails for good, "
        "all jobs are stopped. A stop would ask it to end, and would wait up to 10s for it (join: 10s)."
    )


def test_a_flapping_job_is_told_with_its_restarts() -> None:
    core = declared(make_job("db", restart=RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, factor=1.0, jitter=0.0)))
    core.start_all()
    fail(core, "db", 6, then=1)
    core.started("db#7")

    assert why(core, "db") == (
        "db is running and ready: run db#7 (attempt 7) began just now, at 00:00:06. 6 of its 7 runs failed before "
        "this one. It is flapping: it was restarted 5 times in the last 1m. A stop would ask it to end, and would "
        "wait up to 10s for it (join: 10s)."
    )


def test_a_firing_that_comes_during_the_run_is_missed() -> None:
    core = declared(make_job("web", schedule=Schedule(every=5.0, text="every 5s")))
    core.start_all()
    core.advance(5)
    core.started("web#1")
    core.advance(11)

    assert why(core, "web", RunNumbers(0.0, 0.4, False, True)) == (
        "web is running and ready: run web#1 began 11s ago, at 00:00:05. It polled within the last second. 2 of "
        "its firings were missed, the last at 00:00:15: the previous run was still running. Its schedule (every "
        "5s) fires next at 00:00:20, in 4s. If it is still running then, that firing is missed (overlap: skip). A "
        "stop would ask it to end, and would wait up to 10s for it (join: 10s); it polls at least once a second, "
        "so it should end in time."
    )


def test_a_firing_that_comes_during_the_run_is_queued() -> None:
    core = declared(make_job("web", schedule=Schedule(every=5.0, text="every 5s", overlap=Overlap.QUEUE)))
    core.start_all()
    core.advance(5)
    core.started("web#1")
    core.advance(2)

    assert why(core, "web") == (
        "web is running and ready: run web#1 began 2s ago, at 00:00:05. Its schedule (every 5s) fires next at "
        "00:00:10, in 3s. If it is still running then, the next run follows when this one has ended (overlap: "
        "queue). A stop would ask it to end, and would wait up to 10s for it (join: 10s)."
    )


def test_a_queued_firing_follows_the_run() -> None:
    core = declared(make_job("web", schedule=Schedule(every=5.0, text="every 5s", overlap=Overlap.QUEUE)))
    core.start_all()
    core.advance(5)
    core.started("web#1")
    core.advance(8)

    assert why(core, "web") == (
        "web is running and ready: run web#1 began 8s ago, at 00:00:05. Its schedule (every 5s) fires next at "
        "00:00:15, in 2s. Its schedule has fired meanwhile, so another run starts when this one has ended. A stop "
        "would ask it to end, and would wait up to 10s for it (join: 10s)."
    )


def test_a_run_that_will_be_replaced_by_the_next_firing_says_so() -> None:
    core = declared(make_job("web", schedule=Schedule(every=5.0, text="every 5s", overlap=Overlap.REPLACE)))
    core.start_all()
    core.advance(5)
    core.started("web#1")
    core.advance(2)

    assert why(core, "web") == (
        "web is running and ready: run web#1 began 2s ago, at 00:00:05. Its schedule (every 5s) fires next at "
        "00:00:10, in 3s. If it is still running then, it is stopped and replaced by a new run (overlap: "
        "replace). A stop would ask it to end, and would wait up to 10s for it (join: 10s)."
    )


def test_numbers_of_any_size_are_told() -> None:
    core = begun(make_job("web"))

    text = why(core, "web", RunNumbers(counts={"a": 10**5000, "b": -(10**20), "c": 0}, progress=(1e300, None, "")))

    assert "It reports 10^300, a 10^5000, b -10^20, c 0." in text


# -- in a process


def in_process(core: HandDrivenCore, numbers: RunNumbers | None = None, **values: Any) -> str:
    """Return the answer about the job web, whose run is in a process."""
    found = ProcessFacts(
        **{"pid": 4242, "processes": 1, "memory": 38 << 20, "cpu": 61.0, "state": "sleeping", **values}
    )
    return explain(
        replace(gather(core.lifecycle, "web", core.clock.now()), numbers=numbers, processes={"web#1": found})
    )


def killed(within: float = 10.0) -> HandDrivenCore:
    core = begun(make_job("web", within=within, otherwise=Otherwise.KILL, runner=RunnerSpec("process")))
    core.advance(75)
    return core


def test_a_run_in_a_process_is_described_with_its_pid_and_its_runner() -> None:
    assert in_process(killed(), RunNumbers(14.0, 14.2, False, False), processes=3) == (
        "web is running and ready: run web#1 began 1m15s ago, at 00:00:00. It runs in process 4242 and 2 more "
        "(runner: process), with 38 MiB of memory, and 1m1s of processor time so far. It last polled 14s ago. A stop "
        "would ask it to end, and would wait up to 10s for it (join: 10s); it has gone 14s without a poll, so it may "
        "not end in time: then its processes are killed."
    )


def test_a_stop_of_a_run_whose_polls_are_unknown_kills_it_in_the_end() -> None:
    limited, at_once = in_process(killed()), in_process(killed(0.0))

    assert limited.endswith("and would wait up to 10s for it (join: 10s); then its processes are killed.")
    assert at_once.endswith("A stop would ask it to end, and would kill its processes at once (join: 0s).")


def test_a_process_that_a_signal_has_stopped_is_named_with_the_way_out() -> None:
    answer = in_process(killed(), state="stopped")

    assert "That process is stopped by a signal: `taskloom signal web CONT` lets it go on." in answer


def test_a_program_polls_nothing_and_is_described_by_its_checks() -> None:
    binding = Binding(lambda: pytest.fail("a body is made"), program=lambda: pytest.fail("a program is made"))
    core = begun(make_job("web", otherwise=Otherwise.KILL, runner=RunnerSpec("process"), binding=binding))
    core.advance(75)

    assert "polled" not in in_process(core)
    assert in_process(core, RunNumbers(14.0, 14.2, True, True)).endswith(
        "Its last check succeeded 14s ago. A stop would send it its stop signal, and would wait up to 10s for it "
        "(join: 10s); it should end in time."
    )
