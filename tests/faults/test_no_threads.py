"""Fault B1: no thread can be started. The run is start_failed; the scheduler continues and recovers with the system."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.model import Outcome
from taskloom.core.policies import RestartPolicy, RestartWhen
from taskloom.runners.binding import Binding
from taskloom.scheduler import Scheduler
from taskloom.testing import make_job

SOON = 20.0


class NoMoreThreads:
    """Makes `threading.Thread.start` fail at certain counts, as it does if the system has no more threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, is_refused: Callable[[int], bool]) -> None:
        self.count = 0
        self.refused: list[str] = []
        self._is_refused = is_refused
        real = threading.Thread.start
        refusals = self

        def start(thread: threading.Thread) -> None:
            refusals.count += 1
            if refusals._is_refused(refusals.count):
                refusals.refused.append(thread.name)
                raise RuntimeError("can't start new thread")
            real(thread)

        monkeypatch.setattr(threading.Thread, "start", start)

    def lift(self) -> None:
        self._is_refused = lambda count: False


def wait(ctx: Any) -> None:
    ctx.wait()


@pytest.mark.parametrize("number", range(1, 21))
def test_a_refused_nth_thread_fails_at_most_one_run(
    scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    jobs = [scheduler.add_function(f"job{n}", wait, lambda: None) for n in range(9)]
    threads = NoMoreThreads(monkeypatch, lambda count: count == number)

    runs = [job.start() for job in jobs]
    report = scheduler.stop()

    assert report.is_clean
    outcomes = [run.outcome for run in runs]
    failed = outcomes.count(Outcome.START_FAILED)
    assert failed == sum(name.startswith("job") for name in threads.refused)
    assert outcomes.count(Outcome.CANCELLED) == len(jobs) - failed
    for run in runs:
        if run.outcome is Outcome.START_FAILED:
            assert str(run.error) == "RuntimeError: can't start new thread"


def test_a_job_whose_start_failed_starts_once_threads_are_available_again(
    scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = scheduler.add_function("good", wait).start()
    job = scheduler.add_function("a", wait)
    threads = NoMoreThreads(monkeypatch, lambda count: True)

    failed = [job.start().outcome for _ in range(3)]
    state = job.status()
    threads.lift()
    run = job.start()

    assert failed == [Outcome.START_FAILED] * 3
    assert (state.state, state.report.outcomes) == ("finished", {"start_failed": 3})
    assert run.is_alive()
    assert good.is_alive()


def test_a_failed_start_counts_as_a_failure_and_is_retried(
    scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler.add_function("good", wait).start()
    policy = RestartPolicy(RestartWhen.ON_FAILURE, delay=0.001, max_delay=0.001)
    job = scheduler.add_function("a", wait, restart=policy)
    threads = NoMoreThreads(monkeypatch, lambda count: True)

    job.start()
    scheduler.wait_for(EventName.RESTART_SCHEDULED, "a", count=3)
    threads.lift()

    scheduler.wait_for(EventName.STARTED, "a")
    assert set(threads.refused) == {"a", "taskloom-log"}, "the log waits for a thread, too"
    assert job.status().report.restarts >= 3


def test_a_scheduler_without_its_own_thread_says_so_and_works_once_it_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scheduler = Scheduler()
    threads = NoMoreThreads(monkeypatch, lambda count: True)

    with pytest.raises(RuntimeError, match="cannot start the scheduler's thread: can't start new thread"):
        scheduler.add(make_job("a"))
    threads.lift()
    scheduler.add(make_job("a"))

    assert [status.report.job for status in scheduler.status()] == ["a"], "the refused call had changed nothing"
    assert threads.refused == ["taskloom-scheduler"]
    scheduler.stop()


def test_a_scheduler_that_gets_no_thread_at_all_stops_normally(
    scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        scheduler.add_function(f"job{number}", wait)
    NoMoreThreads(monkeypatch, lambda count: True)

    scheduler.start()

    assert scheduler.wait(SOON)
    report = scheduler.stop()
    assert report.exit_code == 1
    assert {job.outcome for job in report.jobs} == {Outcome.START_FAILED}


def test_a_stop_needs_no_new_thread(scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    called = threading.Event()
    is_running = threading.Event()

    def wait_for_terminate(ctx: Any) -> None:
        is_running.set()
        called.wait(SOON)

    scheduler.add_function("a", wait_for_terminate, called.set).start()
    assert is_running.wait(SOON)
    NoMoreThreads(monkeypatch, lambda count: True)

    report = scheduler.stop()

    assert report.is_clean
    assert called.is_set()


def test_a_constructor_that_raises_is_a_failed_start_without_a_started_event(scheduler: WatchedScheduler) -> None:
    def make() -> Any:
        raise SystemExit("no start")

    run = scheduler.add(replace(make_job("faulty"), binding=Binding(make))).start()

    assert run.join(SOON)
    scheduler.finish()
    assert (run.outcome, str(run.error)) == (Outcome.START_FAILED, "SystemExit: no start")
    assert scheduler.event_names("faulty") == ["job_added", "queued", "ended start_failed"]


def test_prepare_raises_if_a_thread_of_the_scheduler_is_refused_and_succeeds_later(
    scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = NoMoreThreads(monkeypatch, lambda count: True)

    with pytest.raises(RuntimeError, match="can't start new thread"):
        scheduler.prepare()
    threads.lift()
    scheduler.prepare()
    scheduler.prepare()

    assert scheduler.add_function("a", wait).start().is_alive()


UNDER_A_LIMIT = """
    from tests.support.watched_scheduler import WatchedScheduler

    def wait(ctx):
        ctx.wait()

    scheduler = WatchedScheduler(log=False)
    runs = [scheduler.add_function(f"job{n}", wait, lambda: None).start() for n in range(12)]
    report = scheduler.stop()
    assert report.is_clean, report
    print(" ".join(run.outcome.value for run in runs))
    scheduler.finish()
"""


@pytest.mark.parametrize("number", [3, 4, 7, 12])
@pytest.mark.long
def test_the_scheduler_survives_a_real_refusal_of_the_kernel(
    child_env: dict[str, str], need_tool: Callable[[str], str], tmp_path: Path, number: int
) -> None:
    """strace makes the Nth clone3 fail with EAGAIN; the first two start the listener and the scheduler."""
    strace = need_tool("strace")
    works = subprocess.run(
        [strace, "-f", "-qq", "-o", os.devnull, "-e", "inject=clone3:error=EAGAIN:when=99", sys.executable, "-c", ""],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if works.returncode != 0:
        pytest.skip(f"LOUD: strace cannot trace here: {works.stderr.strip()}")
    log = tmp_path / "strace.log"

    answer = subprocess.run(
        [strace, "-f", "-qq", "-o", str(log), "-e", "trace=clone3", "-e", f"inject=clone3:error=EAGAIN:when={number}",
         sys.executable, "-c", textwrap.dedent(UNDER_A_LIMIT)],
        env=child_env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (answer.returncode, answer.stderr) == (0, "")
    if not re.search(r"clone3\(", log.read_text()):
        pytest.skip("LOUD: this C library starts threads without clone3")
    assert "INJECTED" in log.read_text()
    outcomes = answer.stdout.split()
    assert len(outcomes) == 12
    assert outcomes.count("start_failed") <= 1
    assert outcomes.count("cancelled") >= 11


def test_the_scheduler_survives_a_real_limit_of_the_system(
    child_env: dict[str, str], need_tool: Callable[[str], str]
) -> None:
    """The address space is too small for the stacks of all threads: some runs start, the others are start_failed."""
    program = "import threading\nthreading.stack_size(64 << 20)\n" + textwrap.dedent(UNDER_A_LIMIT)

    answer = subprocess.run(
        [need_tool("prlimit"), f"--as={900 << 20}", sys.executable, "-c", program],
        env=child_env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (answer.returncode, answer.stderr) == (0, "")
    outcomes = answer.stdout.split()
    assert set(outcomes) == {"cancelled", "start_failed"}
    assert outcomes.index("start_failed") > 0
