from __future__ import annotations

import gc
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from taskloom.core.inputs import RunEnded
from taskloom.core.model import ErrorInfo, How, Reason, ReasonKind
from taskloom.runners import thread as thread_module
from taskloom.runners.context import current_run
from taskloom.runners.thread import ThreadRunner

SOON = 20.0
WHY = Reason(ReasonKind.USER, "enough")


@pytest.mark.parametrize("daemon", [False, True])
def test_a_run_has_a_thread_of_its_own_named_after_the_job_with_the_jobs_daemon_flag(
    thread_bench: Any, daemon: bool
) -> None:
    seen: list[tuple[str, bool]] = []

    thread_bench.start(
        lambda ctx: seen.append((threading.current_thread().name, threading.current_thread().daemon)), daemon=daemon
    )
    thread_bench.end()

    assert seen == [("job", daemon)]


def test_every_run_gets_a_new_thread(thread_bench: Any) -> None:
    threads: list[threading.Thread] = []
    for count in range(3):
        thread_bench.start(lambda ctx: threads.append(threading.current_thread()))
        thread_bench.end(count + 1)

    assert len(set(map(id, threads))) == 3
    assert not any(thread.is_alive() for thread in threads)


def test_a_start_raises_and_reports_nothing_if_no_thread_can_be_started(
    thread_bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    with pytest.raises(RuntimeError, match="can't start new thread"):
        thread_bench.start(lambda ctx: None)

    assert thread_bench.reports == []


@pytest.mark.parametrize("timeout", [float("inf"), 1e20, 3600.0, None])
def test_join_accepts_any_timeout(thread_bench: Any, timeout: float | None) -> None:
    handle = thread_bench.start(lambda ctx: None)

    assert handle.join(timeout) is True


def test_after_join_the_thread_itself_has_ended(thread_bench: Any) -> None:
    threads: list[threading.Thread] = []
    handle = thread_bench.start(lambda ctx: threads.append(threading.current_thread()))

    assert handle.join(SOON)
    assert not threads[0].is_alive()


def test_the_current_run_is_set_only_on_its_own_thread(thread_bench: Any) -> None:
    seen: list[str | None] = []

    def run(ctx: Any) -> None:
        current = current_run.get()
        seen.append(current.run_id if current else None)

    thread_bench.start(run)
    thread_bench.end()

    assert seen == ["job#1"]
    assert current_run.get() is None


def count_up() -> Iterator[int]:
    yield 1


async def coroutine() -> None:
    """Do nothing."""


async def async_generator() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("make", "kind"),
    [(count_up, "generator"), (coroutine, "coroutine"), (async_generator, "async_generator")],
)
def test_returning_code_that_was_never_executed_is_a_failure(thread_bench: Any, make: Any, kind: str) -> None:
    how, error = thread_bench.outcome_of(lambda ctx: make())

    text = f"run returned a {kind}, whose code was never executed; write a plain function"
    assert (how, error) == (How.RAISED, ErrorInfo("TypeError", text, f"TypeError: {text}\n"))


def test_a_started_generator_that_resists_closing_fails_only_this_run(thread_bench: Any) -> None:
    def stubborn() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise SystemExit("not closed")

    def run(ctx: Any) -> object:
        begun = stubborn()
        next(begun)
        return begun

    how, error = thread_bench.outcome_of(run)

    assert (how, str(error)) == (How.RAISED, "SystemExit: not closed")


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


@pytest.mark.parametrize("value", [0, False, "done", b"x" * 1_000_000, Unprintable(), object()])
def test_any_other_value_is_ignored_with_a_warning(
    thread_bench: Any, caplog: pytest.LogCaptureFixture, value: object
) -> None:
    how, error = thread_bench.outcome_of(lambda ctx: value)

    assert (how, error) == (How.RETURNED, None)
    [record] = caplog.records
    kind = type(value).__name__
    assert record.getMessage() == f"run returned a value of type {kind}; it is ignored: a task returns None"
    assert (record.levelno, record.__dict__["job"], record.__dict__["run"]) == (logging.WARNING, "job", "job#1")


def test_a_value_is_not_kept(thread_bench: Any) -> None:
    class Big:
        def __del__(self) -> None:
            gone.set()

    gone = threading.Event()

    def run(ctx: Any) -> object:
        return Big()

    logging.getLogger("taskloom.task").addFilter(lambda record: False)
    gc.disable()
    try:
        thread_bench.outcome_of(run)
        assert gone.is_set()
    finally:
        gc.enable()
        logging.getLogger("taskloom.task").filters.clear()


def test_the_end_is_reported_even_if_taskloom_itself_fails(thread_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a stop would wait for a report that never comes."""
    raised: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: raised.append(arguments.exc_value))

    def broken(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(thread_module, "_call", broken)
    thread_bench.start(lambda ctx: None)
    [report] = thread_bench.end()

    text = "internal error: the run's thread ended without a report"
    assert report == RunEnded("job#1", How.RAISED, ErrorInfo("InternalError", text, text + "\n"), False, False)
    assert [type(error) for error in raised] == [ZeroDivisionError]


def test_the_stacks_of_many_runs_are_read_at_once(thread_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    real = sys._current_frames

    def frames() -> Any:
        reads.append(1)
        return real()

    monkeypatch.setattr(sys, "_current_frames", frames)
    handles = [thread_bench.start(lambda ctx: ctx.wait()) for _ in range(5)]

    found = ThreadRunner().stacks(handles, 0)
    for token in thread_bench.tokens:
        token.request(WHY)
        token.wake()
    thread_bench.end(5)

    assert (len(found), reads) == (5, [1])
