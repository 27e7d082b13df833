"""No memory at any line of the scheduler's threads: every stop still ends on time, and no run is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.strikes import strike_each_line

from taskloom import Job, Scheduler, Task

SOON = 10.0
WAITING = ("a", "b", "c")


@pytest.fixture(autouse=True)
def ends_of_threads() -> Iterator[list[str]]:
    """The exceptions that have ended a thread: with one strike none does."""
    before, found, others = threading.excepthook, list[str](), {*threading.enumerate()}

    def note(arguments: threading.ExceptHookArgs) -> None:
        name = arguments.thread.name if arguments.thread is not None else "a thread"
        found.append(f"{name}: {arguments.exc_type.__name__}")

    threading.excepthook = note
    yield found
    # A helper that ends later would report its exception in another test.
    for thread in {*threading.enumerate()} - others:
        if thread.name.startswith("taskloom-callback"):
            thread.join(5)
    threading.excepthook = before


def wait(ctx: Any) -> None:
    ctx.wait()


def call_back(ctx: Any) -> None:
    ctx.on_cancel(lambda: None)
    ctx.wait()


def fail(ctx: Any) -> None:
    raise ValueError("failed")


class Polite(Task):
    """A task as a thread class has it: `run` waits for what `terminate` sets."""

    def __init__(self) -> None:
        self.is_over = threading.Event()

    def run(self, ctx: Any) -> None:
        assert self.is_over.wait(SOON)

    def terminate(self) -> None:
        self.is_over.set()


def use_a_scheduler() -> list[BaseException]:
    """Run some jobs, and stop everything; return what the calls before the stop have raised."""
    scheduler = Scheduler(log=False)
    errors: list[BaseException] = []
    try:
        jobs = [scheduler.add(Job(name=name, task=wait, join="3s")) for name in WAITING]
        jobs.append(scheduler.add(Job(name="polite", task=Polite, join="3s")))
        jobs.append(scheduler.add(Job(name="called", task=call_back, join="3s", after="a")))
        jobs.append(scheduler.add(Job(name="failing", task=fail, join="3s", restart="on-failure")))
        for job in jobs:
            job.start()
        run = jobs[0].run
        if run is not None:
            run.cancel()
            run.join(1)
        jobs[1].restart()
        jobs[-1].reset()
        scheduler.status()
    except Exception as error:  # noqa: BLE001 - from then on the core may be broken
        errors.append(error)

    report = scheduler.stop(within=4)

    assert report.survivors == ()
    for thread in threading.enumerate():
        if thread.name in (*WAITING, "polite", "called"):
            thread.join(SOON)
            assert not thread.is_alive(), f"the run of {thread.name} was never requested to stop"
    return errors


def test_without_a_strike_every_call_succeeds() -> None:
    assert use_a_scheduler() == []


# About 4,000 lines are executed, in an order that varies a little. 5 and 197 are coprime.
@pytest.mark.parametrize("step", [197, pytest.param(5, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("thread", "places"),
    [
        ("taskloom-scheduler", ("scheduler/", "sync/")),
        ("taskloom-scheduler", ("core/",)),
        ("taskloom-callback", ("runners/callback_pool", "sync/")),
    ],
    ids=["scheduler", "core", "callbacks"],
)
@pytest.mark.timeout(600)
def test_a_memory_error_at_any_line_takes_no_stop_away(thread: str, places: tuple[str, ...], step: int) -> None:
    struck = list(strike_each_line(thread, places, use_a_scheduler, step=step))

    assert struck
