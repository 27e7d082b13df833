"""The coming firings of all schedules: soonest first, several of one job, computed outside of the scheduler thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from taskloom.core.policies import Calendar, Schedule
from taskloom.errors import UnknownJob
from taskloom.job import Job
from taskloom.scheduler import Firing, Scheduler
from taskloom.testing import VirtualClock, make_job

NOON = 1_795_953_600.0


def end(ctx: Any) -> None:
    """Return at once."""


class Daily:
    """A calendar with an instant a day, which notes the threads that ask it."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def after(self, wall: float) -> float | None:
        self.threads.add(threading.get_ident())
        return (wall // 86_400 + 1) * 86_400

    def latest(self, wall: float) -> float | None:
        return wall // 86_400 * 86_400


class Once:
    """A calendar with one instant."""

    def __init__(self, instant: float) -> None:
        self.instant = instant

    def after(self, wall: float) -> float | None:
        return self.instant if wall < self.instant else None

    def latest(self, wall: float) -> float | None:
        return self.instant if wall >= self.instant else None


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    with Scheduler(clock=VirtualClock(50.0, NOON)) as scheduler:
        yield scheduler


def every(seconds: float, **policies: Any) -> Schedule:
    return Schedule(every=seconds, text=f"every {seconds:g}s", **policies)


def at(calendar: Calendar, text: str = "at some time") -> Schedule:
    return Schedule(calendar=calendar, text=text)


def test_without_an_armed_schedule_there_is_none(scheduler: Scheduler) -> None:
    scheduler.add(make_job("not-started", schedule=every(5.0)))
    scheduler.add(make_job("manual", manual=True))

    assert scheduler.next_firings() == []


def test_they_are_in_order_and_a_job_comes_several_times(scheduler: Scheduler) -> None:
    scheduler.add_all([make_job("slow", schedule=every(7.0)), make_job("fast", schedule=every(3.0))])
    scheduler.start()

    found = scheduler.next_firings(5)

    assert [(firing.job, firing.at - NOON) for firing in found] == [
        ("fast", 3.0),
        ("fast", 6.0),
        ("slow", 7.0),
        ("fast", 9.0),
        ("fast", 12.0),
    ]
    assert found[0] == Firing("fast", NOON + 3.0, "every 3s", is_paused=False)


def test_at_one_instant_the_order_is_that_of_the_declarations(scheduler: Scheduler) -> None:
    scheduler.add_all([make_job(name, schedule=every(5.0)) for name in ("b", "a", "c")])
    scheduler.start()

    assert [firing.job for firing in scheduler.next_firings(6)] == ["b", "a", "c"] * 2


def test_intervals_calendars_and_single_instants(scheduler: Scheduler) -> None:
    scheduler.add_all(
        [
            make_job("interval", schedule=every(30_000.0)),
            make_job("daily", schedule=at(Daily())),
            make_job("once", schedule=at(Once(NOON + 60))),
        ]
    )
    scheduler.start()

    assert [firing.job for firing in scheduler.next_firings(4)] == ["once", "interval", "daily", "interval"]


def test_they_end_if_all_schedules_do(scheduler: Scheduler) -> None:
    scheduler.add(make_job("once", schedule=at(Once(NOON + 60))))
    scheduler.start()

    assert [firing.at for firing in scheduler.next_firings(1000)] == [NOON + 60]


def test_cron_expressions(scheduler: Scheduler) -> None:
    scheduler.add(Job(name="leap", task=end, schedule={"cron": "0 0 29 2 *", "timezone": "UTC"}))
    scheduler.start()

    found = scheduler.next_firings(3)

    assert [round((firing.at - found[0].at) / 86_400) for firing in found] == [0, 1461, 2922]


def test_jitter_is_not_included(scheduler: Scheduler) -> None:
    scheduler.add(make_job("a", schedule=every(5.0, jitter=4.0)))
    scheduler.start()

    assert [firing.at - NOON for firing in scheduler.next_firings(2)] == [5.0, 10.0]


def test_those_of_paused_jobs_are_marked(scheduler: Scheduler) -> None:
    scheduler.add_all([make_job("a", schedule=every(5.0)), make_job("b", schedule=every(6.0))])
    scheduler.start()
    scheduler.job("a").pause()

    assert [(firing.job, firing.is_paused) for firing in scheduler.next_firings(2)] == [("a", True), ("b", False)]


def test_a_stopped_job_has_none_until_it_is_resumed(scheduler: Scheduler) -> None:
    job = scheduler.add(make_job("a", schedule=every(5.0)))
    scheduler.start()

    job.stop()
    stopped = scheduler.next_firings()
    job.resume()

    assert (stopped, len(scheduler.next_firings(3))) == ([], 3)


def test_they_may_be_of_some_jobs(scheduler: Scheduler) -> None:
    scheduler.add_all([make_job(name, schedule=every(5.0)) for name in ("a", "b", "c")])
    scheduler.start()

    assert [firing.job for firing in scheduler.next_firings(4, ["c", "a"])] == ["c", "a", "c", "a"]
    assert scheduler.next_firings(4, []) == []
    with pytest.raises(UnknownJob):
        scheduler.next_firings(4, ["d"])


@pytest.mark.parametrize("count", [0, -1])
def test_none_at_all_may_be_asked_for(scheduler: Scheduler, count: int) -> None:
    scheduler.add(make_job("a", schedule=every(5.0)))
    scheduler.start()

    assert scheduler.next_firings(count) == []


def test_after_a_stop_there_is_none(scheduler: Scheduler) -> None:
    scheduler.add(make_job("a", schedule=every(5.0)))
    scheduler.start()
    scheduler.stop()

    assert scheduler.next_firings() == []


def test_a_calendar_is_asked_on_the_calling_thread_only(scheduler: Scheduler) -> None:
    """However long the calendar of a plugin takes, a stop does not wait for it."""
    calendar = Daily()
    scheduler.add(make_job("a", schedule=at(calendar)))
    scheduler.start()
    calendar.threads.clear()

    scheduler.next_firings(50)

    assert calendar.threads == {threading.get_ident()}
