"""Row 6: how late schedules fire, and the cost of a firing. The number of repetitions is tenths of a second of firings.

Each schedule has a different interval and fires once. So 1,000, 10,000 and 100,000 schedules in five seconds are 200,
2,000 and 20,000 firings a second, at equal distances.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from heapq import heappop, heappush
from threading import Condition, Thread
from typing import Any

from harness import Case, Claim, Figures, Role, Row
from meters import Stopwatch, percentile, wait_until

from taskloom import Context, Job, Scheduler

RATES = (200, 2_000, 20_000)
# The time before the first firing: to arm a hundred thousand schedules, and to let the machine become idle.
REST_SECONDS = 0.5
PATIENCE_SECONDS = 60.0
# More than APScheduler needs to add a schedule.
ADDING_SECONDS = 0.0003

Note = Callable[[float], None]


class Firings:
    """The intervals of the schedules, and how late each of them fired.

    No interval is less than half of another one, so that no schedule fires twice before all have fired once.
    """

    def __init__(self, rate: int, tenths: int) -> None:
        first = REST_SECONDS + tenths / 10
        self.intervals = [first + number / rate for number in range(rate * tenths // 10)]
        self.armed = 0.0
        """The monotonic time at which the intervals begin."""
        self._late: list[float] = []

    def __iter__(self) -> Iterator[float]:
        return iter(self.intervals)

    def note(self, interval: float) -> None:
        """Record that the schedule with this interval has fired; called in the job."""
        self._late.append(time.monotonic() - self.armed - interval)

    def await_all(self) -> Figures:
        """Wait until all schedules have fired, and return the figures."""
        wanted = len(self.intervals)
        time.sleep(max(0.0, self.armed + self.intervals[0] - REST_SECONDS / 2 - time.monotonic()))
        with Stopwatch() as watch:
            time.sleep(max(0.0, self.armed + self.intervals[-1] - time.monotonic()))
            wait_until(lambda: len(self._late) >= wanted, PATIENCE_SECONDS)
        late = self._late[:wanted]
        return {
            "p50": percentile(late, 0.5) * 1e6,
            "p99": percentile(late, 0.99) * 1e6,
            "cpu_us": watch.cpu / wanted * 1e6,
        }


def taskloom_fresh(rate: int, tenths: int) -> Figures:
    return _taskloom(rate, tenths, "thread")


def taskloom_reusing(rate: int, tenths: int) -> Figures:
    return _taskloom(rate, tenths, {"thread": {"reuse": True}})


def _taskloom(rate: int, tenths: int, runner: str | dict[str, Any]) -> Figures:
    firings = Firings(rate, tenths)

    def job(_: Context, interval: float) -> None:
        firings.note(interval)

    with Scheduler() as scheduler:
        scheduler.add_all(
            Job(
                name=f"job-{number}",
                task=job,
                params={"interval": interval},
                schedule={"every": interval},
                daemon=True,
                runner=runner,
            )
            for number, interval in enumerate(firings)
        )
        firings.armed = time.monotonic()
        scheduler.start()
        return firings.await_all()


class HeapScheduler:
    """A scheduler written by hand: a heap, a condition, a thread. `run` is called with each job that is due."""

    def __init__(self, run: Callable[[Note, float], object]) -> None:
        self._run = run
        self._heap: list[tuple[float, int, float, Note]] = []
        self._changed = Condition()
        self._is_over = False
        self._thread = Thread(target=self._loop)
        self._thread.start()

    def add(self, number: int, first: float, interval: float, job: Note) -> None:
        with self._changed:
            heappush(self._heap, (first, number, interval, job))
            if self._heap[0][1] == number:
                self._changed.notify()

    def _loop(self) -> None:
        while not self._is_over:
            with self._changed:
                left = self._heap[0][0] - time.monotonic() if self._heap else None
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
                due, number, interval, job = heappop(self._heap)
                heappush(self._heap, (due + interval, number, interval, job))
            self._run(job, interval)

    def close(self) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify()
        self._thread.join()


def _heap(rate: int, tenths: int, run: Callable[[Note, float], object]) -> Figures:
    firings = Firings(rate, tenths)
    scheduler = HeapScheduler(run)
    try:
        firings.armed = time.monotonic()
        for number, interval in enumerate(firings):
            scheduler.add(number, firings.armed + interval, interval, firings.note)
        return firings.await_all()
    finally:
        scheduler.close()


def heap_and_pool(rate: int, tenths: int) -> Figures:
    with ThreadPoolExecutor(10) as pool:
        return _heap(rate, tenths, pool.submit)


def heap_alone(rate: int, tenths: int) -> Figures:
    return _heap(rate, tenths, lambda job, interval: job(interval))


def apscheduler(rate: int, tenths: int) -> Figures:
    from datetime import UTC, datetime, timedelta

    from apscheduler.schedulers.background import BackgroundScheduler

    firings = Firings(rate, tenths)
    executor = {"type": "threadpool", "max_workers": 10}
    scheduler = BackgroundScheduler({"apscheduler.executors.default": executor}, timezone=UTC)
    # Adding that many takes long; nothing may be due before the last one is added.
    lead = ADDING_SECONDS * len(firings.intervals)
    began = datetime.now(UTC) + timedelta(seconds=lead)
    firings.armed = time.monotonic() + lead
    for interval in firings:
        scheduler.add_job(
            firings.note, "interval", (interval,), seconds=interval,
            start_date=began + timedelta(seconds=interval), misfire_grace_time=None,
        )  # fmt: skip
    scheduler.start()
    try:
        return firings.await_all()
    finally:
        scheduler.shutdown()


def _cases(
    name: str, role: Role, measure: Callable[[int, int], Figures], rates: Sequence[int], needs: str = ""
) -> list[Case]:
    return [Case(f"{name}, {rate:,}/s", role, partial(measure, rate), needs=needs) for rate in rates]


ROW = Row(
    number=6,
    title="how late schedules fire, each in a thread of its own, and the cost of a firing",
    cases=[
        *_cases("taskloom, reused threads", Role.PRODUCT, taskloom_reusing, RATES),
        *_cases("taskloom, fresh threads", Role.PRODUCT, taskloom_fresh, RATES[:2]),
        *_cases("heap + pool(10)", Role.PEER, heap_and_pool, RATES),
        *_cases("APScheduler, pool(10)", Role.PEER, apscheduler, RATES, needs="apscheduler"),
        *_cases("heap, no thread for the job", Role.LIMIT, heap_alone, RATES),
    ],
    figures={"p50": "us late", "p99": "us late", "cpu_us": "CPU us each"},
    claims=[
        Claim(f"taskloom, reused threads, {rate:,}/s", figure, f"{peer}, {rate:,}/s", hold=1.0, aim=aim)
        for peer, figure, aim in (
            ("heap + pool(10)", "p50", None),
            ("heap + pool(10)", "p99", None),
            ("heap + pool(10)", "cpu_us", None),
            ("APScheduler, pool(10)", "p50", 0.35),
        )
        for rate in RATES
    ],
    full=50,
    quick=10,
    tiny=1,
)
