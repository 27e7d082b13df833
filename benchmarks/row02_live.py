"""Row 2: many jobs that are started and run at the same time."""

from __future__ import annotations

import threading

from harness import Case, Claim, Figures, Role, Row
from meters import Stopwatch, rss_kib, wait_until
from pthreads import Crowd

from taskloom import Context, Job, Scheduler


def taskloom(times: int) -> Figures:
    """Measure the start. Declaring the jobs is a separate figure; its memory is included."""
    entered: list[None] = []

    def idle(ctx: Context) -> None:
        entered.append(None)
        ctx.wait()

    with Scheduler() as scheduler:
        warm = scheduler.add(Job(name="warm", task=idle)).start()
        warm.cancel()
        warm.join()
        entered.clear()
        before = rss_kib()
        with Stopwatch() as declaring:
            for number in range(times):
                scheduler.add(Job(name=f"idle-{number}", task=idle))
        with Stopwatch() as watch:
            scheduler.start()
            wait_until(lambda: len(entered) == times)
        return _figures(times, watch, before) | {"declare_us": declaring.wall / times * 1e6}


def raw_threads(times: int) -> Figures:
    over = threading.Event()
    return _live_threads([over] * times)


def raw_threads_with_an_event_each(times: int) -> Figures:
    return _live_threads([threading.Event() for _ in range(times)])


def _live_threads(events: list[threading.Event]) -> Figures:
    entered: list[None] = []

    def idle(over: threading.Event) -> None:
        entered.append(None)
        over.wait()

    before = rss_kib()
    with Stopwatch() as watch:
        threads = [threading.Thread(target=idle, args=(over,)) for over in events]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(entered) == len(threads))
    figures = _figures(len(threads), watch, before)
    for over in events:
        over.set()
    for thread in threads:
        thread.join()
    return figures


def pthreads(times: int) -> Figures:
    before = rss_kib()
    with Stopwatch() as watch:
        crowd = Crowd(times)
    figures = _figures(times, watch, before)
    crowd.release()
    return figures


def _figures(times: int, watch: Stopwatch, kib_before: int) -> Figures:
    return watch.each(times) | {"kib": (rss_kib() - kib_before) / times}


ROW = Row(
    number=2,
    title="jobs started and running",
    cases=[
        Case("taskloom", Role.PRODUCT, taskloom),
        Case("threading.Thread", Role.PEER, raw_threads),
        Case("threads, an Event each", Role.PEER, raw_threads_with_an_event_each),
        Case("C threads", Role.LIMIT, pthreads),
    ],
    figures={"us": "us each", "cpu_us": "CPU us each", "kib": "KiB each", "declare_us": "us each"},
    claims=[
        Claim("taskloom", "us", "threading.Thread", hold=1.25, aim=1.10),
        Claim("taskloom", "cpu_us", "threading.Thread", hold=1.25, aim=1.10),
        Claim("taskloom", "kib", "threading.Thread", hold=1.3, aim=1.15),
    ],
    full=10_000,
    quick=2_000,
    tiny=10,
)
