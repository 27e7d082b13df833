"""A snapshot and the events after it make one whole."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.model import JobState, Phase, Reason, ReasonKind
from taskloom.errors import UnknownJob
from taskloom.scheduler import Scheduler, snapshots
from taskloom.scheduler.handles import read_status, status_of
from taskloom.scheduler.snapshots import Snapshot, complete
from taskloom.testing import make_job

SOON = 20.0


def wait(ctx: Any) -> None:
    ctx.wait()


def test_before_anything_it_is_empty() -> None:
    with Scheduler() as scheduler:
        assert scheduler.snapshot()[:4] == (0, Phase.OPEN, None, [])
        assert scheduler.last_seq == 0


def test_it_has_all_jobs_in_order_and_the_number_of_the_last_event(scheduler: WatchedScheduler) -> None:
    scheduler.add_function("b", wait)
    scheduler.add_function("a", wait)
    scheduler.start()
    scheduler.wait_for(EventName.READY, "a")

    snapshot = scheduler.snapshot()

    assert [status.report.job for status in snapshot.jobs] == ["b", "a"]
    assert snapshot.seq == scheduler.last_seq == scheduler.events[-1].seq


def test_its_number_counts_events_that_no_listener_gets() -> None:
    with Scheduler() as scheduler:
        scheduler.add_all([make_job("a", manual=True), make_job("b", manual=True)])

        assert scheduler.snapshot().seq == 2


def test_it_may_be_of_some_jobs(scheduler: WatchedScheduler) -> None:
    for name in ("a", "b", "c"):
        scheduler.add_function(name, wait)

    jobs = scheduler.snapshot(name for name in ("c", "a", "c")).jobs

    assert [status.report.job for status in jobs] == ["c", "a"]
    assert scheduler.snapshot([]).jobs == []


def test_one_of_many_jobs_costs_as_much_as_one(scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counted(engine: Any, core: Any, name: str, now: Any) -> Any:
        made.append(name)
        return read_status(engine, core, name, now)

    scheduler.add_all([make_job(f"j{number}", manual=True) for number in range(500)])
    monkeypatch.setattr(snapshots, "read_status", counted)

    scheduler.snapshot(["j250"])

    assert made == ["j250"]


def test_an_unknown_job_is_refused(scheduler: WatchedScheduler) -> None:
    scheduler.add_function("web", wait)

    with pytest.raises(UnknownJob, match="did you mean 'web'"):
        scheduler.snapshot(["wbe"])


def test_it_says_why_everything_stops() -> None:
    scheduler = Scheduler()
    scheduler.stop(reason=Reason(ReasonKind.USER, "shutdown, by alice"))

    snapshot = scheduler.snapshot()

    assert (snapshot.phase, snapshot.stop_reason) == (Phase.STOPPED, Reason(ReasonKind.USER, "shutdown, by alice"))


def test_the_later_events_lead_from_one_snapshot_to_the_next(scheduler: WatchedScheduler) -> None:
    """While other threads act: the runs of a snapshot are those of the former and of the `queued` between both."""
    jobs = [scheduler.add_function(f"j{number}", wait) for number in range(3)]

    def start_and_stop(number: int) -> None:
        for _ in range(15):
            jobs[number].start()
            jobs[number].stop()

    threads = [threading.Thread(target=start_and_stop, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    snapshots = [scheduler.snapshot() for _ in range(40)]
    for thread in threads:
        thread.join()
    snapshots.append(scheduler.snapshot())
    scheduler.stop()
    scheduler.wait_for(EventName.SCHEDULER_STOPPED)

    events = scheduler.events
    for snapshot in snapshots:
        counted = sum(event.event is EventName.QUEUED and event.seq <= snapshot.seq for event in events)
        ended = sum(event.event is EventName.ENDED and event.seq <= snapshot.seq for event in events)
        live = sum(status.report.state in (JobState.RUNNING, JobState.STOPPING) for status in snapshot.jobs)
        assert (sum(status.report.runs for status in snapshot.jobs), live) == (counted, counted - ended)


def test_an_action_has_only_events_after_the_number_that_was_read_before_it(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("a", wait)

    before = scheduler.last_seq
    job.start()
    queued = scheduler.wait_for(EventName.QUEUED, "a")

    assert queued.seq > before


def test_the_statuses_are_made_on_the_thread_of_the_caller(
    scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On that of the scheduler a stop would wait for them: for ten thousand jobs, a tenth of a second."""
    threads: set[int] = set()

    def noted(read: Any) -> Any:
        threads.add(threading.get_ident())
        return status_of(read)

    scheduler.add_all([make_job(name, manual=True) for name in ("a", "b")])
    monkeypatch.setattr(snapshots, "status_of", noted)

    scheduler.snapshot()

    assert threads == {threading.get_ident()}


def test_a_snapshot_that_is_requested_comes_on_the_thread_of_the_scheduler(scheduler: WatchedScheduler) -> None:
    came: list[tuple[str, Snapshot]] = []
    has_come = threading.Event()

    def done(snapshot: Snapshot) -> None:
        came.append((threading.current_thread().name, snapshot))
        has_come.set()

    scheduler.add_function("a", wait)
    scheduler.add_function("b", wait)

    scheduler.request_snapshot(done, ["b"])

    assert has_come.wait(SOON)
    [(thread, snapshot)] = came
    assert thread == "taskloom-scheduler"
    assert [status.report.job for status in complete(snapshot).jobs] == ["b"]


def test_a_snapshot_that_is_requested_after_the_end_comes_at_once() -> None:
    came: list[Snapshot] = []
    with Scheduler() as scheduler:
        scheduler.add(make_job("a", manual=True))
        scheduler.stop()
    thread = scheduler._engine._thread
    assert thread is not None
    thread.join(SOON)

    scheduler.request_snapshot(came.append)

    assert [snapshot.phase for snapshot in came] == [Phase.STOPPED]
    assert [status.report.job for status in complete(came[0]).jobs] == ["a"]
