"""A reload with real threads: what it adds begins after what it removed, and a stop waits for no part of it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.model import JobState
from taskloom.errors import DependencyUnmet, SchedulerStopped
from taskloom.job import Job

SOON = 20.0


class Port:
    """What only one run at a time can have, and its holder keeps until it is told to give it back."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.may_leave = threading.Event()
        self.failures: list[str] = []

    def hold(self, ctx: Any) -> None:
        if not self.lock.acquire(blocking=False):
            self.failures.append(ctx.job)
            return
        ctx.wait()
        assert self.may_leave.wait(SOON)
        self.lock.release()


@pytest.fixture
def port() -> Port:
    return Port()


@pytest.mark.parametrize("names", [("web", "shop"), ("shop", "web")])
def test_a_renamed_job_begins_when_its_old_run_has_given_back_what_both_need(
    scheduler: WatchedScheduler, port: Port, names: tuple[str, str]
) -> None:
    old, new = names
    scheduler.add(Job(name=old, task=port.hold))
    scheduler.start()
    scheduler.wait_for(EventName.READY, old)

    scheduler.reload([Job(name=new, task=port.hold)])
    waiting = scheduler.job(new).status().report
    with pytest.raises(DependencyUnmet, match=f"needs the end of {old}#1"):
        scheduler.job(new).start()
    port.may_leave.set()
    scheduler.wait_for(EventName.READY, new)

    assert (waiting.state, waiting.waits_for) == (JobState.WAITING, f"the end of {old}#1")
    assert port.failures == []


def test_replicas_begin_after_the_single_run_and_those_that_stay_keep_theirs(scheduler: WatchedScheduler) -> None:
    def wait(ctx: Any) -> None:
        ctx.wait()

    scheduler.add(Job(name="web", task=wait))
    scheduler.start()
    scheduler.wait_for(EventName.READY, "web")
    scheduler.reload([Job(name="web", task=wait, replicas=2)])
    scheduler.wait_for(EventName.READY, "web.2")
    first = scheduler.job("web.1").run

    scheduler.reload([Job(name="web", task=wait, replicas=3)])
    scheduler.wait_for(EventName.READY, "web.3")

    names = scheduler.event_names()
    assert first is not None
    assert first.is_alive()
    assert names.index("reload_waiting") < names.index("job_removed")
    assert names.count("reload_waiting") == 1


def test_a_stop_does_not_wait_for_the_comparison_of_the_declarations(scheduler: WatchedScheduler) -> None:
    """Thousands of jobs take a tenth of a second, and a method of the program any time."""
    begun, may_end = threading.Event(), threading.Event()

    class Slow:
        def __eq__(self, other: object) -> bool:
            begun.set()
            return may_end.wait(SOON)

        __hash__ = None  # type: ignore[assignment]

    def wait(ctx: Any, value: Any = None) -> None:
        ctx.wait()

    errors: list[BaseException] = []

    def reload() -> None:
        try:
            scheduler.reload([Job(name="a", task=wait, params={"value": Slow()})])
        except SchedulerStopped as error:
            errors.append(error)

    scheduler.add(Job(name="a", task=wait, params={"value": Slow()}))
    scheduler.start()
    scheduler.wait_for(EventName.READY, "a")
    thread = threading.Thread(target=reload)
    thread.start()
    try:
        assert begun.wait(SOON)
        report = scheduler.stop()
    finally:
        may_end.set()
        thread.join()

    assert report.is_clean
    assert [str(error) for error in errors] == ["cannot reload: the scheduler was stopped"]
