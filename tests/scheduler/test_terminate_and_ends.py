"""`terminate` is called on every run that was entered and asked, even after its end; the next run waits for it."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.model import Outcome
from taskloom.core.policies import RestartPolicy, RestartWhen
from taskloom.runners import thread as thread_module
from taskloom.runners.binding import Binding, Body
from taskloom.testing import make_job

SOON = 20.0


class Entered:
    """A task that waits on its context and so ends as soon as it is woken; counts the calls of its `terminate`."""

    def __init__(self, terminate: Callable[[], object] = lambda: None) -> None:
        self.calls: list[threading.Thread] = []
        self.called = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        self._terminate = terminate

    def run(self, ctx: Any) -> None:
        self.entered.release()
        ctx.wait()

    def terminate(self) -> None:
        self.calls.append(threading.current_thread())
        self.called.release()
        self._terminate()


def test_terminate_is_called_once_on_every_run_that_was_entered_and_asked(scheduler: WatchedScheduler) -> None:
    """The runs end as soon as they are woken, mostly before the call."""
    task = Entered()
    job = scheduler.add_function("a", task.run, task.terminate)

    for _ in range(100):
        run = job.start()
        assert task.entered.acquire(timeout=SOON)
        run.cancel()
        assert run.join(SOON)
        assert task.called.acquire(timeout=SOON)

    assert len(task.calls) == 100
    assert all(thread.name.startswith("taskloom-callback") for thread in task.calls)


def test_terminate_is_called_once_on_every_run_of_a_stop(scheduler: WatchedScheduler) -> None:
    """They are called before `stop` returns: after it the program may end."""
    tasks = [Entered() for _ in range(100)]
    for number, task in enumerate(tasks):
        scheduler.add_function(f"job{number}", task.run, task.terminate).start()
        assert task.entered.acquire(timeout=SOON)

    report = scheduler.stop()

    assert report.is_clean
    assert [len(task.calls) for task in tasks] == [1] * 100


def test_terminate_is_not_called_on_a_run_that_was_not_entered(scheduler: WatchedScheduler) -> None:
    is_making, let_go = threading.Event(), threading.Event()
    calls: list[str] = []

    def make() -> Body:
        is_making.set()
        let_go.wait(SOON)
        return Body(lambda ctx: calls.append("run"), lambda: calls.append("terminate"))

    run = scheduler.add(replace(make_job("a"), binding=Binding(make, has_terminate=True))).start()
    assert is_making.wait(SOON)
    run.cancel()
    let_go.set()

    assert run.join(SOON)
    scheduler.stop()
    assert (run.outcome, calls) == (Outcome.CANCELLED, [])


def test_a_terminate_that_raises_after_the_end_of_its_run_is_an_event(scheduler: WatchedScheduler) -> None:
    let_go = threading.Event()

    def fail() -> None:
        let_go.wait(SOON)
        raise OSError("no such socket")

    task = Entered(fail)
    run = scheduler.add_function("a", task.run, task.terminate).start()
    assert task.entered.acquire(timeout=SOON)
    run.cancel()
    assert run.join(SOON)

    let_go.set()

    failed = scheduler.wait_for(EventName.CALLBACK_FAILED, "a")
    assert (failed.run, str(failed.error)) == ("a#1", "OSError: no such socket")
    assert (run.outcome, run.error) == (Outcome.CANCELLED, None)


def test_the_task_is_released_once_terminate_was_called(scheduler: WatchedScheduler) -> None:
    references: list[weakref.ref[Any]] = []
    is_entered = threading.Event()

    class Work:
        def run(self, ctx: Any) -> None:
            is_entered.set()
            ctx.wait()

        def terminate(self) -> None:
            """Return at once."""

    def make() -> Body:
        work = Work()
        references.append(weakref.ref(work))
        return Body(work.run, work.terminate)

    run = scheduler.add(replace(make_job("a"), binding=Binding(make, has_terminate=True))).start()
    assert is_entered.wait(SOON)
    scheduler.stop()
    gc.collect()

    assert run.outcome is Outcome.CANCELLED
    assert references[0]() is None


@pytest.mark.parametrize("how", ["restart", "start", "policy"])
def test_the_next_run_begins_after_terminate_of_the_last_one_has_returned(
    scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(thread_module, "TERMINATE_SECONDS", 60.0)
    order: list[str] = []
    let_go = threading.Event()

    def terminate() -> None:
        let_go.wait(SOON)
        order.append("terminate returned")

    task = Entered(terminate)

    def run(ctx: Any) -> None:
        order.append("entered")
        task.run(ctx)

    policy = RestartPolicy(RestartWhen.ALWAYS, delay=0.0) if how == "policy" else RestartPolicy()
    job = scheduler.add_function("a", run, task.terminate, restart=policy, timeout=0.05 if how == "policy" else None)
    first = job.start()
    assert task.entered.acquire(timeout=SOON)

    if how == "restart":
        job.restart()
    elif how == "start":
        first.cancel()
        assert first.join(SOON)
        job.start()
    scheduler.wait_for(EventName.QUEUED, "a", count=2)
    before = list(order)
    let_go.set()
    assert task.entered.acquire(timeout=SOON)

    assert before == ["entered"]
    assert order[:3] == ["entered", "terminate returned", "entered"]


def test_the_next_run_does_not_wait_for_ever(scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_module, "TERMINATE_SECONDS", 0.05)
    let_go = threading.Event()
    task = Entered(lambda: let_go.wait(SOON))
    job = scheduler.add_function("a", task.run, task.terminate)
    job.start()
    assert task.entered.acquire(timeout=SOON)

    job.restart()
    assert task.entered.acquire(timeout=SOON), "the second run has begun"

    let_go.set()


def test_a_run_that_waits_for_terminate_of_the_last_one_is_stopped_at_once(
    scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_module, "TERMINATE_SECONDS", 60.0)
    let_go = threading.Event()
    task = Entered(lambda: let_go.wait(SOON))
    job = scheduler.add_function("a", task.run, task.terminate)
    first = job.start()
    assert task.entered.acquire(timeout=SOON)
    first.cancel()
    assert first.join(SOON)
    second = job.start()

    report = scheduler.stop()
    let_go.set()

    assert report.is_clean
    assert second.outcome is Outcome.CANCELLED
    assert not task.entered.acquire(blocking=False)
