"""Replacing the declarations in a running scheduler: all of them or none."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.catalog.entry_points import Catalog
from taskloom.core.events import EventName
from taskloom.core.model import JobState, Outcome, RunnerSpec
from taskloom.errors import DependencyCycle, InvalidJob, SchedulerStopped, UnknownJob
from taskloom.job import Job
from taskloom.jobfile.job_spec import spec_of
from taskloom.runners.thread import ThreadRunner
from taskloom.scheduler.facade import Scheduler

SOON = 20.0


def wait(ctx: Any) -> None:
    ctx.wait()


def named(ctx: Any, word: str = "one") -> None:
    ctx.wait()


BEFORE = [
    Job(name="web", task=named, params={"word": "one"}),
    Job(name="db", task=named, join="5s"),
    Job(name="old", task=named),
    Job(name="same", task=named),
]
AFTER = [
    Job(name="web", task=named, params={"word": "two"}),
    Job(name="db", task=named, join="4s", poll_interval="9s"),
    Job(name="same", task=named),
    Job(name="new", task=named),
]
CHANGES = ["old: remove", "web: restart (params)", "db: apply now (poll_interval, join)", "same: keep", "new: add"]


def test_a_preview_returns_what_a_reload_would_do_and_changes_nothing(scheduler: WatchedScheduler) -> None:
    scheduler.add_all(BEFORE)
    scheduler.start()
    scheduler.wait_for(EventName.READY, "same")
    before = scheduler.event_names()

    changes = scheduler.preview(AFTER)

    assert [str(change) for change in changes] == CHANGES
    assert scheduler.event_names() == before
    assert [status.report.job for status in scheduler.status()] == ["web", "db", "old", "same"]


def test_a_reload_does_what_its_preview_said(scheduler: WatchedScheduler) -> None:
    handles = {handle.name: handle for handle in scheduler.add_all(BEFORE)}
    scheduler.start()
    runs = {name: handle.run for name, handle in handles.items()}

    changes = scheduler.reload(AFTER)

    assert [str(change) for change in changes] == CHANGES
    scheduler.wait_for(EventName.JOB_REMOVED, "old")
    scheduler.wait_for(EventName.STARTED, "web", count=2)
    scheduler.wait_for(EventName.STARTED, "new")
    for name in ("db", "same"):
        now, before = handles[name].run, runs[name]
        assert now is not None and before is not None  # noqa: PT018 - one fact, for the type checker
        assert (now.id, now.is_alive()) == (before.id, True)
    with pytest.raises(UnknownJob):
        handles["old"].status()
    assert runs["old"] is not None
    assert (runs["old"].join(SOON), runs["old"].outcome) == (True, Outcome.CANCELLED)


def test_a_live_run_sees_the_applied_changes(scheduler: WatchedScheduler) -> None:
    seen: list[float] = []
    may_read, has_read = threading.Semaphore(0), threading.Semaphore(0)

    def watch_interval(ctx: Any) -> None:
        while not ctx.cancelled:
            if may_read.acquire(timeout=0.01):
                seen.append(ctx.poll_interval)
                has_read.release()

    def read_once() -> None:
        may_read.release()
        assert has_read.acquire(timeout=SOON)

    handle = scheduler.add(Job(name="a", task=watch_interval, poll_interval="1s", join="10s"))
    handle.start()
    read_once()

    scheduler.reload([Job(name="a", task=watch_interval, poll_interval="3s", join="7s")])
    read_once()

    assert seen == [1.0, 3.0]
    assert handle.status().report.within == 7.0
    assert handle.status().report.runs == 1


@pytest.mark.parametrize(
    ("jobs", "error"),
    [
        ([Job(name="web", task=named, params={"wrod": "two"})], InvalidJob),
        ([Job(name="web", task=named, join="soon")], InvalidJob),
        ([Job(name="web", task=named, after="db"), Job(name="db", task=named, after="web")], DependencyCycle),
    ],
)
def test_a_refused_reload_changes_nothing(scheduler: WatchedScheduler, jobs: list[Job], error: type[Exception]) -> None:
    scheduler.add_all(BEFORE)
    scheduler.start()
    scheduler.wait_for(EventName.READY, "same")
    before = scheduler.event_names()

    with pytest.raises(error):
        scheduler.reload(jobs)

    assert scheduler.event_names() == before
    assert {status.state for status in scheduler.status()} == {"running"}


def test_after_a_stop_nothing_can_be_reloaded(scheduler: WatchedScheduler) -> None:
    scheduler.add_all(BEFORE)
    scheduler.stop()

    with pytest.raises(SchedulerStopped, match="cannot reload"):
        scheduler.reload(AFTER)


def test_before_the_start_a_reload_only_declares(scheduler: WatchedScheduler) -> None:
    scheduler.add_all(BEFORE)

    scheduler.reload(AFTER)

    assert {status.state for status in scheduler.status()} == {"waiting"}
    assert [status.report.runs for status in scheduler.status()] == [0, 0, 0, 0]


def test_a_task_may_reload_its_own_scheduler(scheduler: WatchedScheduler) -> None:
    def reload(ctx: Any) -> None:
        scheduler.reload([Job(name="me", task=reload, join="3s"), Job(name="other", task=named)])
        ctx.wait()

    scheduler.add(Job(name="me", task=reload))
    scheduler.start()

    scheduler.wait_for(EventName.STARTED, "other")
    assert scheduler.job("me").status().state == "running"


def test_replicas_come_and_go_one_by_one(scheduler: WatchedScheduler) -> None:
    scheduler.add_all([Job(name="web", task=named, replicas=2)])
    scheduler.start()

    more = scheduler.reload([Job(name="web", task=named, replicas=3)])
    scheduler.wait_for(EventName.STARTED, "web.3")
    fewer = scheduler.reload([Job(name="web", task=named, replicas=2)])
    scheduler.wait_for(EventName.JOB_REMOVED, "web.3")

    assert [str(change) for change in more] == ["web.1: keep", "web.2: keep", "web.3: add"]
    assert [str(change) for change in fewer] == ["web.3: remove", "web.1: keep", "web.2: keep"]


def test_a_removed_job_that_is_added_again_has_new_run_names(scheduler: WatchedScheduler) -> None:
    scheduler.add_all(BEFORE)
    scheduler.start()
    scheduler.reload(AFTER)
    scheduler.wait_for(EventName.JOB_REMOVED, "old")

    scheduler.reload(BEFORE)

    queued = scheduler.wait_for(EventName.QUEUED, "old", count=2)
    runs = [event.run for event in scheduler.events if event.event is EventName.QUEUED]
    assert len(set(runs)) == len(runs), "the name of a run is unique in its scheduler"
    assert queued.job == "old"


def test_a_job_that_a_reload_disables_is_stopped(scheduler: WatchedScheduler) -> None:
    [handle] = scheduler.add_all([Job(name="a", task=named)])
    scheduler.start()

    scheduler.reload([Job(name="a", task=named, enabled=False)])
    scheduler.wait_for(EventName.ENDED, "a")
    off = handle.status().report.state
    scheduler.reload([Job(name="a", task=named)])

    scheduler.wait_for(EventName.STARTED, "a", count=2)
    assert off is JobState.DISABLED


def test_a_reload_does_not_affect_another_scheduler() -> None:
    first, second = WatchedScheduler(), WatchedScheduler()
    for scheduler in (first, second):
        scheduler.add_all(BEFORE)
        scheduler.start()

    first.reload(AFTER)

    first.wait_for(EventName.JOB_REMOVED, "old")
    assert "reloaded" not in second.event_names()
    assert [status.report.job for status in second.status()] == ["web", "db", "old", "same"]
    for scheduler in (first, second):
        scheduler.finish()


def test_reloads_from_many_threads_are_carried_out_one_after_another(fast_switching: None) -> None:
    scheduler = WatchedScheduler()
    scheduler.add_all(BEFORE)
    scheduler.start()

    def flip(scheduler: Scheduler) -> None:
        for jobs in (AFTER, BEFORE) * 5:
            scheduler.reload(jobs)

    threads = [threading.Thread(target=flip, args=(scheduler,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)

    scheduler.reload(AFTER)
    assert sorted(status.report.job for status in scheduler.status() if status.report.job != "old") == [
        *("db", "new", "same", "web"),
    ]
    scheduler.finish()


class KeepingRunner(ThreadRunner):
    """May keep something for the options of its jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.retained: SimpleQueue[list[dict[str, Any]]] = SimpleQueue()
        self.called_on: set[int] = set()

    def retain(self, options: Iterable[Mapping[str, Any]]) -> None:
        self.called_on.add(threading.get_ident())
        self.retained.put([dict(each) for each in options])


def test_a_reload_gives_each_runner_the_options_that_are_left() -> None:
    runner = KeepingRunner()
    spec = replace(spec_of(Job(name="one", task=wait), Catalog()), runner=RunnerSpec("keeping", {"at": "here"}))
    with WatchedScheduler(runners={"thread": ThreadRunner(), "keeping": runner}) as scheduler:
        scheduler.reload([spec, Job(name="two", task=wait)])
        assert runner.retained.get(timeout=SOON) == [{"at": "here"}]

        scheduler.reload([Job(name="two", task=wait)])
        assert runner.retained.get(timeout=SOON) == []
    # A signal handler that stops everything must not find the caller inside a lock of the runner.
    assert threading.get_ident() not in runner.called_on


def test_a_reload_is_not_refused_by_what_a_runner_raises_after_it() -> None:
    called = threading.Event()

    class StubbornRunner(KeepingRunner):
        def retain(self, options: Iterable[Mapping[str, Any]]) -> None:
            called.set()
            raise OSError("no")

    with WatchedScheduler(runners={"thread": StubbornRunner()}) as scheduler:
        changes = scheduler.reload([Job(name="new", task=wait)])
        assert called.wait(SOON)

    assert [str(change) for change in changes] == ["new: add"]
