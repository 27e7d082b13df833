"""Row 3: many sleeping jobs are stopped: the time from the request until the last one is joined."""

from __future__ import annotations

import threading

from harness import Case, Claim, Figures, Role, Row
from meters import Stopwatch, wait_until
from pthreads import Crowd

from taskloom import Context, Job, Scheduler


def taskloom(times: int) -> Figures:
    entered: list[None] = []

    def idle(ctx: Context) -> None:
        entered.append(None)
        ctx.wait()

    scheduler = Scheduler()
    for number in range(times):
        scheduler.add(Job(name=f"idle-{number}", task=idle))
    scheduler.start()
    wait_until(lambda: len(entered) == times)
    with Stopwatch() as watch:
        report = scheduler.stop()
    if report.survivors:
        raise RuntimeError(f"{len(report.survivors)} jobs outlived the stop")
    return _figures(watch)


def one_event(times: int) -> Figures:
    over = threading.Event()
    return _stop_threads([over] * times, [over])


def an_event_each(times: int) -> Figures:
    events = [threading.Event() for _ in range(times)]
    return _stop_threads(events, events)


def _stop_threads(events: list[threading.Event], to_set: list[threading.Event]) -> Figures:
    threads = [threading.Thread(target=over.wait) for over in events]
    for thread in threads:
        thread.start()
    with Stopwatch() as watch:
        for over in to_set:
            over.set()
        for thread in threads:
            thread.join()
    return _figures(watch)


def pthreads(times: int) -> Figures:
    crowd = Crowd(times)
    with Stopwatch() as watch:
        crowd.release()
    return _figures(watch)


def _figures(watch: Stopwatch) -> Figures:
    return {"ms": watch.wall * 1e3, "cpu_ms": watch.cpu * 1e3}


ROW = Row(
    number=3,
    title="sleeping jobs stopped: from the request until all are joined",
    cases=[
        Case("taskloom", Role.PRODUCT, taskloom),
        Case("threads, one shared Event", Role.PEER, one_event),
        Case("threads, an Event each", Role.PEER, an_event_each),
        Case("C threads, one broadcast", Role.LIMIT, pthreads),
    ],
    figures={"ms": "ms in all", "cpu_ms": "CPU ms in all"},
    claims=[
        Claim("taskloom", "ms", "threads, one shared Event", hold=1.0, aim=0.5),
        Claim("taskloom", "cpu_ms", "threads, one shared Event", hold=1.0, aim=0.5),
    ],
    full=10_000,
    quick=2_000,
    tiny=10,
)
