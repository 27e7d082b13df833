"""Row 7: adding schedules, none of which fires meanwhile. The number of repetitions is the number of schedules."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush
from itertools import count
from threading import Condition

from harness import Case, Claim, Figures, Role, Row
from meters import Stopwatch, rss_kib

from taskloom import Context, Job, Scheduler

HOUR_SECONDS = 3600.0


def _noop(*_: object) -> None:
    """Do nothing; the work of the job."""


def _job(_: Context) -> None:
    """Do nothing; the work of the job."""


def _measure(times: int, add: Callable[[int], object]) -> Figures:
    before = rss_kib()
    with Stopwatch() as watch:
        for number in range(times):
            add(number)
    return watch.each(times) | {"kib": (rss_kib() - before) / times}


def taskloom(times: int) -> Figures:
    """Declare all jobs, then arm them."""
    with Scheduler() as scheduler:
        before = rss_kib()
        with Stopwatch() as watch:
            scheduler.add_all(_declared(number) for number in range(times))
            scheduler.start()
        return watch.each(times) | {"kib": (rss_kib() - before) / times}


def taskloom_one_by_one(times: int) -> Figures:
    """Declare and arm the jobs one by one, in a scheduler that has started."""
    with Scheduler() as scheduler:
        scheduler.start()
        return _measure(times, lambda number: scheduler.add(_declared(number)).arm())


def _declared(number: int) -> Job:
    schedule = {"every": HOUR_SECONDS + number}
    return Job(name=f"job-{number}", task=_job, schedule=schedule, daemon=True, runner={"thread": {"reuse": True}})


def apscheduler(times: int) -> Figures:
    from apscheduler.schedulers.background import BackgroundScheduler

    scheduler = BackgroundScheduler()
    scheduler.start()
    try:
        return _measure(times, lambda number: scheduler.add_job(_noop, "interval", seconds=HOUR_SECONDS + number))
    finally:
        scheduler.shutdown()


def heap_and_condition(times: int) -> Figures:
    heap: list[tuple[float, int, Callable[..., None]]] = []
    changed, order = Condition(), count()

    def add(number: int) -> None:
        with changed:
            heappush(heap, (HOUR_SECONDS + number, next(order), _noop))
            if heap[0][1] == number:
                changed.notify()

    return _measure(times, add)


ROW = Row(
    number=7,
    title="adding schedules",
    cases=[
        Case("taskloom", Role.PRODUCT, taskloom),
        Case("taskloom, one by one", Role.PRODUCT, taskloom_one_by_one),
        Case("APScheduler", Role.PEER, apscheduler, needs="apscheduler"),
        Case("heap + condition", Role.LIMIT, heap_and_condition),
    ],
    figures={"us": "us each", "cpu_us": "CPU us each", "kib": "KiB each"},
    claims=[
        Claim("taskloom", "us", "APScheduler", hold=0.2, aim=0.06),
        Claim("taskloom", "cpu_us", "APScheduler", hold=0.2, aim=0.06),
    ],
    full=100_000,
    quick=10_000,
    tiny=100,
    is_pinned=True,
)
