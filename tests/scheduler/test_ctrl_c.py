"""A Ctrl-C during a call, and other failures while the engine processes a message."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import Outcome
from taskloom.runners import RunHandle, RunOrder, Stack
from taskloom.runners.thread import ReusingRun, ThreadRun, ThreadRunner
from taskloom.sync.cancel_token import CancelToken

SOON = 20.0


def wait(ctx: Any) -> None:
    ctx.wait()


class InterruptedRunner(ThreadRunner):
    """A runner that a Ctrl-C interrupts while it starts the run of one job, before or after the thread has begun."""

    def __init__(self, job: str, *, is_begun: bool) -> None:
        self._job, self._is_begun = job, is_begun

    def start(self, order: RunOrder, token: CancelToken, emit: Any) -> ThreadRun | ReusingRun:
        if order.job != self._job:
            return super().start(order, token, emit)
        if self._is_begun:
            super().start(order, token, emit)
        raise KeyboardInterrupt


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_stop_ends_on_time_after_a_start_that_was_interrupted(is_begun: bool) -> None:
    scheduler = WatchedScheduler(runners={"thread": InterruptedRunner("a", is_begun=is_begun)})
    others = [scheduler.add_function(name, wait).start() for name in ("b", "c")]
    interrupted = scheduler.add_function("a", wait, within=0.1)

    with pytest.raises(KeyboardInterrupt):
        interrupted.start()
    report = scheduler.stop()

    assert [run.outcome for run in others] == [Outcome.CANCELLED] * 2
    assert [survivor.job for survivor in report.survivors] == ([] if is_begun else ["a"])
    assert interrupted.status().state == ("finished" if is_begun else "stopping")


def test_the_work_of_an_interrupted_caller_is_finished_without_another_call() -> None:
    scheduler = WatchedScheduler(runners={"thread": InterruptedRunner("a", is_begun=True)})
    for name in ("b", "a", "c"):
        scheduler.add_function(name, wait)

    with pytest.raises(KeyboardInterrupt):
        scheduler.start()

    scheduler.wait_for(EventName.STARTED, "c")
    assert scheduler.finish().is_clean


class Interrupt:
    """A Ctrl-C that interrupts the nth call of a function, before or after the function does its work."""

    def __init__(self, real: Any, nth: int, *, is_after: bool) -> None:
        self._real, self._nth, self._is_after = real, nth, is_after
        self.calls = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls != self._nth:
            return self._real(*arguments, **options)
        if self._is_after:
            self._real(*arguments, **options)
        raise KeyboardInterrupt


def interrupt_method(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, nth: int, *, is_after: bool) -> None:
    interrupt = Interrupt(getattr(owner, name), nth, is_after=is_after)

    def interrupted(*arguments: Any, **options: Any) -> Any:
        return interrupt(*arguments, **options)  # a function, because only a function becomes a method

    monkeypatch.setattr(owner, name, interrupted)


@pytest.mark.parametrize("is_after", [False, True])
def test_a_cancel_that_was_interrupted_while_waking_the_run_is_carried_out(
    scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch, is_after: bool
) -> None:
    run = scheduler.add_function("a", wait).start()
    interrupt_method(monkeypatch, CancelToken, "wake", 1, is_after=is_after)

    with pytest.raises(KeyboardInterrupt):
        run.cancel()

    assert run.join(SOON), "without another call"
    assert run.outcome is Outcome.CANCELLED


@pytest.mark.parametrize("is_after", [False, True])
def test_a_cancel_that_was_interrupted_in_the_core_leaves_the_scheduler_usable(
    monkeypatch: pytest.MonkeyPatch, is_after: bool
) -> None:
    """The actions of that one message may be lost, including events, but nothing else."""
    scheduler = WatchedScheduler()
    runs = [scheduler.add_function(name, wait, within=0.2).start() for name in ("a", "b")]
    scheduler.wait_for(EventName.READY, count=2)
    interrupt_method(monkeypatch, Lifecycle, "handle", 1, is_after=is_after)

    with pytest.raises(KeyboardInterrupt):
        runs[0].cancel()
    monkeypatch.undo()
    is_over = scheduler.job("b").stop()
    report = scheduler.stop()

    assert is_over
    assert scheduler.stop() is report
    assert runs[0].join(SOON)


@pytest.mark.parametrize("nth", [1, 3, 70])
@pytest.mark.parametrize("is_after", [False, True])
def test_a_stop_that_was_interrupted_while_waking_the_runs_wakes_the_others(
    scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch, nth: int, is_after: bool
) -> None:
    runs = [scheduler.add_function(f"job{number}", wait).start() for number in range(80)]
    interrupt_method(monkeypatch, CancelToken, "wake", nth, is_after=is_after)

    with pytest.raises(KeyboardInterrupt):
        scheduler.stop()

    assert all(run.join(SOON) for run in runs), "without another call"
    assert scheduler.stop().is_clean


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
    assert answer.stdout == "interrupted 0 ['Outcome.CANCELLED']\n"


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
