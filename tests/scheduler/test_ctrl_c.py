"""A Ctrl-C during a wait, runners that break their contract, and a host that does not stop the scheduler."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Sequence
from typing import Any

from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.runners import RunHandle, RunOrder, Stack
from taskloom.runners.thread import ReusingRun, ThreadRun, ThreadRunner
from taskloom.sync.cancel_token import CancelToken

SOON = 20.0


def wait(ctx: Any) -> None:
    ctx.wait()


class LingeringRunner(ThreadRunner):
    """A runner whose handles say until `join` that something of the run is left."""

    def __init__(self) -> None:
        self.joined: list[str] = []

    def start(self, order: RunOrder, token: CancelToken, emit: Any) -> ThreadRun | ReusingRun:
        joined = self.joined

        class Lingering(ThreadRun):
            def is_gone(self) -> bool:
                return False

            def join(self, timeout: float | None = None) -> bool:
                joined.append(order.run)
                return super().join(timeout)

        return Lingering(order, token, emit)


def test_a_stop_returns_after_the_threads_of_the_runs_have_ended() -> None:
    """The body of a run returns before its thread ends: code after the stop must not see the thread."""
    runner = LingeringRunner()
    scheduler = WatchedScheduler(runners={"thread": runner})
    for name in ("a", "b"):
        scheduler.add_function(name, wait).start()

    scheduler.finish()

    assert sorted(set(runner.joined)) == ["a#1", "b#1"]


class BrokenRunner(ThreadRunner):
    """A runner whose handles break their contract."""

    def start(self, order: RunOrder, token: CancelToken, emit: Any) -> ThreadRun | ReusingRun:
        class Handle(ThreadRun):
            def is_gone(self) -> bool:
                raise ZeroDivisionError("not known")

        return Handle(order, token, emit)


def test_a_runner_that_breaks_its_contract_is_recorded_as_a_bug_and_delays_nothing() -> None:
    scheduler = WatchedScheduler(runners={"thread": BrokenRunner()})
    runs = [scheduler.add_function(name, wait).start() for name in ("a", "b")]

    report = scheduler.stop()

    assert report.is_clean
    assert [run.join(SOON) for run in runs] == [True, True]
    assert isinstance(scheduler.bug, ZeroDivisionError)


class BlindRunner(ThreadRunner):
    """A runner that cannot read the stacks of its runs."""

    def stacks(self, handles: Sequence[RunHandle], texts: int) -> list[Stack]:
        raise ZeroDivisionError("no stacks")


def test_a_stop_ends_on_time_if_the_runner_cannot_read_stacks() -> None:
    has_begun, let_go = threading.Event(), threading.Event()

    def deaf(ctx: Any) -> None:
        has_begun.set()
        let_go.wait(SOON)

    scheduler = WatchedScheduler(runners={"thread": BlindRunner()})
    run = scheduler.add_function("deaf", deaf, within=0.05).start()
    assert has_begun.wait(SOON)

    report = scheduler.stop()
    let_go.set()

    assert [(survivor.job, survivor.where, survivor.stack) for survivor in report.survivors] == [("deaf", "", "")]
    assert isinstance(scheduler.bug, ZeroDivisionError)
    assert run.join(SOON)
    scheduler.wait_for(EventName.SCHEDULER_STOPPED)


HOST = """
    import os, signal, threading
    from tests.support.watched_scheduler import WatchedScheduler

    def wait(ctx):
        ctx.wait()

    runs = []
    try:
        with WatchedScheduler() as scheduler:
            for number in range(20):
                runs.append(scheduler.add_function(f"job{number}", wait).start())
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            scheduler.wait()
    except KeyboardInterrupt:
        print("interrupted", sum(run.is_alive() for run in runs), [str(run.outcome) for run in runs][:1])
"""


def test_a_ctrl_c_during_wait_leaves_the_block_and_stops_everything(child_env: dict[str, str]) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HOST)],
        env=child_env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "interrupted 0 ['cancelled']\n"


NO_STOP = """
    from tests.support.watched_scheduler import WatchedScheduler

    def wait_a_little(ctx):
        ctx.wait(0.1)
        print("patient is done", flush=True)

    def wait(ctx):
        ctx.wait()

    scheduler = WatchedScheduler()
    scheduler.add_function("patient", wait_a_little).start()
    scheduler.add_function("daemon", wait, daemon=True).start()
    print("main returns", flush=True)
"""


def test_a_program_that_returns_without_stop_behaves_as_with_plain_threads(child_env: dict[str, str]) -> None:
    """The interpreter waits for the runs of non-daemon jobs, which it names, and does not wait for the others."""
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(NO_STOP)],
        env=child_env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (answer.returncode, answer.stdout) == (0, "main returns\npatient is done\n")
    assert answer.stderr == (
        "the program has ended without stop(), and waits for 1 run: patient#1 (Ctrl-C stops everything)\n"
    )
