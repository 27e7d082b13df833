"""The contract in the docstring of `taskloom.runners`, for the runner of threads: rules for a single run."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from typing import Any

import pytest

from taskloom.core.inputs import RunEnded, RunReady, RunStarted, RunStartFailed
from taskloom.core.model import How, Reason, ReasonKind
from taskloom.errors import Cancelled, PermanentFailure
from taskloom.runners.binding import Body
from taskloom.sync.cancel_token import CancelToken

SOON = 20.0
WHY = Reason(ReasonKind.USER, "enough")


class Boom(Exception):
    """An error that a task of these tests raises."""


def test_the_body_is_created_on_the_thread_of_the_run_and_run_once(bench: Any) -> None:
    places: list[int] = []

    def make() -> Body:
        places.append(threading.get_ident())
        return Body(lambda ctx: places.append(threading.get_ident()), None)

    bench.start(lambda ctx: None, make=make)
    [report] = bench.end()

    assert report == RunEnded("job#1", How.RETURNED, None, False, False)
    assert len(places) == 2
    assert places[0] == places[1] != threading.get_ident()


def test_start_returns_while_the_run_goes_on(bench: Any) -> None:
    handle = bench.start(lambda ctx: ctx.wait())
    alive = [handle.is_alive(), handle.join(0), handle.join(0.01)]

    bench.tokens[0].request(WHY)
    bench.tokens[0].wake()
    bench.end()
    alive += [handle.is_alive(), handle.join(0), handle.join()]

    assert alive == [True, False, False, False, True, True]


def test_a_body_that_cannot_be_created_is_a_failed_start(bench: Any) -> None:
    def make() -> Body:
        raise Boom("no such file")

    bench.start(lambda ctx: None, make=make)
    [report] = bench.end()

    assert isinstance(report, RunStartFailed)
    assert bench.reports == [report]
    assert str(report.error) == "Boom: no such file"
    assert "in make" in report.error.traceback


def test_a_run_that_was_cancelled_before_the_start_is_never_entered(bench: Any) -> None:
    calls: list[str] = []
    token = CancelToken()
    token.request(WHY)

    bench.start(lambda ctx: calls.append("run"), lambda: calls.append("terminate"), token=token)
    [report] = bench.end()

    assert report == RunEnded("job#1", How.NOT_ENTERED, None, True, False)
    assert bench.reports == [report]
    assert calls == []
    assert token.take_callbacks() == []


def test_a_run_that_is_cancelled_while_its_body_is_created_is_never_entered(bench: Any) -> None:
    # 1. the runner creates the body
    # 2. the run is requested to stop and woken: there is no `terminate` to call yet
    # 3. the body is created and must not be entered: it would not be woken
    calls: list[str] = []
    token = CancelToken()

    def make() -> Body:
        token.request(WHY)
        token.wake()
        return Body(lambda ctx: calls.append("run"), lambda: calls.append("terminate"))

    bench.start(lambda ctx: None, make=make, token=token)
    [report] = bench.end()

    assert report == RunEnded("job#1", How.NOT_ENTERED, None, True, False)
    assert bench.reports == [report]
    assert calls == []


def test_terminate_is_registered_when_run_is_entered(bench: Any) -> None:
    token = CancelToken()
    found: list[str] = []

    def run(ctx: Any) -> None:
        token.request(WHY)
        token.wake()
        found.extend(callback.name for callback in token.take_callbacks())

    bench.start(run, lambda: None, token=token)
    bench.end()

    assert found == ["terminate"]


@pytest.mark.parametrize(
    ("error", "how"),
    [
        (Boom("oops"), How.RAISED),
        (SystemExit(0), How.RAISED),
        (SystemExit(3), How.RAISED),
        (KeyboardInterrupt(), How.RAISED),
        (GeneratorExit(), How.RAISED),
        (RecursionError("too deep"), How.RAISED),
        (MemoryError(), How.RAISED),
        (BaseExceptionGroup("both", [Boom("a"), SystemExit(1)]), How.RAISED),
        (Cancelled(), How.CANCELLED),
        (PermanentFailure("never again"), How.PERMANENT),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value.value,
)
def test_exactly_one_end_is_reported_whatever_the_body_raises(bench: Any, error: BaseException, how: How) -> None:
    def run(ctx: Any) -> None:
        raise error

    bench.start(run)
    [report] = bench.end()

    assert isinstance(report, RunEnded)
    assert (report.how, report.was_requested, report.callback_ran) == (how, False, False)
    assert report.error is not None
    assert report.error.type == type(error).__name__
    assert report.error.message == str(error)
    assert "in run" in report.error.traceback


def test_ready_is_reported_once_before_the_end(bench: Any) -> None:
    """A task may call `ready` in its loop: that must not fill the scheduler's queue."""

    def run(ctx: Any) -> None:
        for _ in range(1000):
            ctx.ready()

    bench.start(run)
    bench.end()

    ready, ended = RunReady("job#1"), RunEnded("job#1", How.RETURNED, None, False, False)
    assert bench.reports == [RunStarted("job#1", is_ready=True), ready, ended]


@pytest.mark.parametrize("is_woken", [False, True])
def test_the_report_shows_whether_the_request_and_the_callbacks_came_before_the_end(bench: Any, is_woken: bool) -> None:
    token = CancelToken()

    def run(ctx: Any) -> None:
        ctx.on_cancel(lambda: None)
        token.request(WHY)
        if is_woken:
            token.wake()
            [callback] = token.take_callbacks()
            assert callback.begin()
        raise Boom

    bench.start(run, token=token)
    [report] = bench.end()

    assert (report.was_requested, report.callback_ran) == (True, is_woken)


def test_a_request_after_the_body_has_returned_is_not_the_cause(bench: Any) -> None:
    # 1. the body raises
    # 2. the runner describes the error, which takes long (here: the error's own __str__)
    # 3. the run is requested to stop, and its callback begins
    token = CancelToken()

    class Slow(Exception):
        def __str__(self) -> str:
            token.request(WHY)
            token.wake()
            for callback in token.take_callbacks():
                callback.begin()
            return "slow"

    def run(ctx: Any) -> None:
        ctx.on_cancel(lambda: None)
        raise Slow

    bench.start(run, token=token)
    [report] = bench.end()

    assert token.is_requested
    assert (report.error.message, report.was_requested, report.callback_ran) == ("slow", False, False)


def test_only_the_handle_of_a_run_is_kept(bench: Any) -> None:
    """Neither the body nor a local variable of it outlives the run, even without a garbage collection."""
    references: list[weakref.ref[Any]] = []

    class Work:
        def run(self, ctx: Any) -> None:
            class Local:
                """An object that must not be kept."""

            local = Local()
            references.append(weakref.ref(local))
            ctx.on_cancel(self.terminate)
            raise Boom(local)

        def terminate(self) -> None:
            """Do nothing."""

    def make() -> Body:
        body = Work()
        references.append(weakref.ref(body))
        return Body(body.run, body.terminate)

    gc.disable()
    try:
        bench.start(lambda ctx: None, make=make)
        bench.end()
        alive = [reference() for reference in references]
    finally:
        gc.enable()

    assert alive == [None, None]


def test_no_run_begins_without_an_order(bench: Any) -> None:
    runs: list[str] = []
    for _ in range(3):
        bench.start(lambda ctx: runs.append(ctx.run_id))
    bench.end(3)

    assert sorted(runs) == ["job#1", "job#2", "job#3"]
    assert len(bench.ends()) == 3


def test_the_handle_shows_the_runs_gauges(bench: Any) -> None:
    seen = threading.Event()
    may_end = threading.Event()

    def run(ctx: Any) -> None:
        ctx.count("lines", 2)
        ctx.count("lines")
        ctx.progress(1, 4, "files")
        seen.set()
        may_end.wait(SOON)

    handle = bench.start(run)
    assert seen.wait(SOON)
    gauges = handle.gauges
    counts, progress = gauges.counts, gauges.progress
    may_end.set()
    bench.end()

    assert counts == {"lines": 3}
    assert progress == (1, 4, "files")
    assert handle.gauges.counts == {"lines": 3}, "the last values stay readable"


def test_the_runner_returns_the_places_of_its_runs(bench: Any) -> None:
    is_inside = [threading.Event(), threading.Event()]

    def first(ctx: Any) -> None:
        is_inside[0].set()
        ctx.wait()

    def second(ctx: Any) -> None:
        is_inside[1].set()
        ctx.wait()

    handles = [bench.start(first), bench.start(second)]
    for event in is_inside:
        assert event.wait(SOON)
    captured = bench.runner.stacks(handles, 1)
    for token in bench.tokens:
        token.request(WHY)
        token.wake()
    bench.end(2)

    assert [stack.where.rpartition(" in ")[2] for stack in captured] == ["first", "second"]
    assert [bool(stack.text) for stack in captured] == [True, False]
    assert f'{__file__}", line' in captured[0].text


def test_an_ended_run_has_no_place(bench: Any) -> None:
    handle = bench.start(lambda ctx: None)
    bench.end()

    assert bench.runner.stacks([handle], 1) == [("", "")]


def test_a_run_that_ends_during_the_capture_has_no_place(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # 1. the runner is asked for the place of the first run
    # 2. that run ends, and the second begins, perhaps on the same thread or with the same thread id
    # 3. the runner reads the frames of the threads

    is_inside = [threading.Event(), threading.Event()]

    def run(ctx: Any) -> None:
        is_inside[ctx.run_id == "job#2"].set()
        ctx.wait()

    def wake(token: CancelToken) -> None:
        token.request(WHY)
        token.wake()

    def frames_after_a_change() -> Any:
        wake(bench.tokens[0])
        assert first.join(SOON)
        bench.start(run)
        assert is_inside[1].wait(SOON)
        return real()

    real = sys._current_frames
    monkeypatch.setattr(sys, "_current_frames", frames_after_a_change)
    first = bench.start(run)
    assert is_inside[0].wait(SOON)

    captured = bench.runner.stacks([first], 1)

    monkeypatch.setattr(sys, "_current_frames", real)
    found = bench.runner.stacks(bench.handles, 0)
    wake(bench.tokens[1])
    bench.end(2)
    assert captured == [("", "")]
    assert [stack.where.rpartition(" in ")[2] for stack in found] == ["", "run"]


def test_no_runner_needs_the_scheduler() -> None:
    program = "import sys, taskloom.runners.thread; print(sorted(m for m in sys.modules if m.startswith('taskloom.')))"

    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    loaded = answer.stdout
    assert "taskloom.runners.thread" in loaded
    for absent in (
        "taskloom.scheduler.facade",
        "taskloom.scheduler.engine",
        "taskloom.catalog.entry_points",
        "taskloom.jobfile",
    ):
        assert absent not in loaded
