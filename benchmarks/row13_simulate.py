"""Row 13: a thousand jobs in virtual time, every step checked. The number of repetitions is the simulated hours."""

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
# Of four jobs, three fire at intervals of minutes and work for at most one; one runs for ever, unless it fails.
SCHEDULED = """\
  poll-{number}:
    task: countdown
    schedule: {{every: {minutes}m, jitter: 30s}}
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
# Any day: the calendar does not matter here.
BEGINNING = 1_780_000_000.0


def _jobs() -> list[JobSpec]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.yaml"
        path.write_text("jobs:\n" + "".join(map(_job, range(JOBS))))
        return list(load(path))


def _job(number: int) -> str:
    return (SCHEDULED if number % 4 else LASTING).format(number=number, minutes=5 + number % 16)


def _simulate(hours: int, **checking: int | None) -> Figures:
    plan = Plan(
        seconds=hours * HOUR_SECONDS,
        start=BEGINNING,
        work=(("poll-*", Span(1.0, 60.0)), ("collector-*", Span(60.0, 3600.0))),
        fail=(("*", 0.05),),
        **checking,
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
    return _simulate(hours, checked_steps=None)


def as_the_command_does(hours: int) -> Figures:
    return _simulate(hours)


def unchecked(hours: int) -> Figures:
    return _simulate(hours, checked_steps=0)


def heap_alone(hours: int) -> Figures:
    """Move as many entries of a heap as there would be firings and ends, without any decision."""
    heap = [(float(number), number) for number in range(JOBS)]
    heapify(heap)
    events = 0
    with Stopwatch() as watch:
        while heap[0][0] < hours * HOUR_SECONDS:
            when, number = heap[0]
            heapreplace(heap, (when + HOUR_SECONDS / 20, number))
            events += 1
    return _figures(watch, hours, events)


ROW = Row(
    number=13,
    title=f"{JOBS:,} jobs in virtual time",
    cases=[
        Case("taskloom, every step checked", Role.PRODUCT, checked),
        Case("taskloom simulate, its first steps checked", Role.PRODUCT, as_the_command_does),
        Case("taskloom, unchecked", Role.PRODUCT, unchecked),
        Case("a heap alone", Role.LIMIT, heap_alone),
    ],
    figures={
        "event_us": "CPU us an event",
        "events": "thousand events a second",
        "hours": "thousand job-hours a second",
    },
    # 60,000 and 200,000 events a second.
    claims=[Limit("taskloom, every step checked", "event_us", hold=1000 / 60, aim=1000 / 200)],
    full=24,
    quick=3,
    tiny=1,
    is_pinned=True,
)
