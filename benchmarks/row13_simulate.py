"""Row 13: a thousand jobs in virtual time, every event held to the rules. How many times: virtual hours."""

from __future__ import annotations

from heapq import heapify, heapreplace
from pathlib import Path
from tempfile import TemporaryDirectory

from harness import Case, Figures, Limit, Role, Row
from meters import Stopwatch

from taskloom import load
from taskloom.core.model import JobSpec
from taskloom.simulation import Plan, Span, simulate_jobs

JOBS = 1_000
# Of each four, three fire every ten minutes, a minute's work at most; one runs for ever, unless it fails.
SCHEDULED = """\
  poll-{number}:
    task: countdown
    schedule: {{every: 10m, jitter: 30s}}
    timeout: 50s
    daemon: true
"""
LASTING = """\
  collector-{number}:
    task: countdown
    restart: on-failure
    watchdog: {{after: 30s, then: restart}}
"""
HOUR_SECONDS = 3600.0
# A day in the middle of some year: the calendar has no part in it.
BEGINNING = 1_780_000_000.0


def _jobs() -> list[JobSpec]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.yaml"
        jobs = ((LASTING if number % 4 == 0 else SCHEDULED).format(number=number) for number in range(JOBS))
        path.write_text("jobs:\n" + "".join(jobs))
        return list(load(path))


def _simulate(hours: int, *, is_checked: bool) -> Figures:
    plan = Plan(
        seconds=hours * HOUR_SECONDS,
        start=BEGINNING,
        work=(("poll-*", Span(1.0, 60.0)), ("collector-*", Span(60.0, 3600.0))),
        fail=(("*", 0.05),),
        is_checked=is_checked,
    )
    specs = _jobs()
    with Stopwatch() as watch:
        found = simulate_jobs(specs, plan)
    return _figures(watch, hours, found.events)


def _figures(watch: Stopwatch, hours: int, events: int) -> Figures:
    return {
        "event_us": watch.cpu / events * 1e6,
        "events": events / watch.wall / 1e3,
        "hours": hours * JOBS / watch.wall / 1e3,
    }


def checked(hours: int) -> Figures:
    return _simulate(hours, is_checked=True)


def unchecked(hours: int) -> Figures:
    return _simulate(hours, is_checked=False)


def heap_alone(hours: int) -> Figures:
    """Move as many entries of a heap as there would be firings and ends, and decide nothing."""
    heap = [(float(number), number) for number in range(JOBS)]
    heapify(heap)
    events = 0
    with Stopwatch() as watch:
        while heap[0][0] < hours * HOUR_SECONDS:
            when, number = heap[0]
            heapreplace(heap, (when + HOUR_SECONDS / 24, number))
            events += 1
    return _figures(watch, hours, events)


ROW = Row(
    number=13,
    title=f"{JOBS:,} jobs in virtual time",
    cases=[
        Case("taskloom, every event checked", Role.PRODUCT, checked),
        Case("taskloom, unchecked", Role.PRODUCT, unchecked),
        Case("a heap alone", Role.LIMIT, heap_alone),
    ],
    figures={
        "event_us": "CPU us an event",
        "events": "thousand events a second",
        "hours": "thousand job-hours a second",
    },
    # 60,000 and 200,000 events a second.
    claims=[Limit("taskloom, every event checked", "event_us", hold=1000 / 60, aim=1000 / 200)],
    full=24,
    quick=3,
    tiny=1,
    is_pinned=True,
)
