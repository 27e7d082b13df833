"""Row 11: the cost of a thousand idle jobs. The number of repetitions is the seconds of the measurement."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from harness import Case, Figures, Limit, Role, Row
from meters import Stopwatch, wait_until, wake_ups

from taskloom import Context, Job, Scheduler

JOBS = 1_000
# The time for the machine to become idle after a thousand starts.
SETTLING_SECONDS = 0.5


def _watch(seconds: int) -> Figures:
    time.sleep(SETTLING_SECONDS)
    before = wake_ups()
    with Stopwatch() as watch:
        time.sleep(seconds)
    return {"cpu_s": watch.cpu / seconds * 60, "wakes": (wake_ups() - before) / seconds}


def taskloom(seconds: int) -> Figures:
    entered: list[None] = []

    def idle(ctx: Context) -> None:
        entered.append(None)
        ctx.wait()

    with Scheduler() as scheduler:
        scheduler.add_all(Job(name=f"idle-{number}", task=idle) for number in range(JOBS))
        scheduler.start()
        wait_until(lambda: len(entered) == JOBS)
        return _watch(seconds)


def _threads(seconds: int, body: Callable[[threading.Event], object]) -> Figures:
    over = threading.Event()
    threads = [threading.Thread(target=body, args=(over,)) for _ in range(JOBS)]
    for thread in threads:
        thread.start()
    figures = _watch(seconds)
    over.set()
    for thread in threads:
        thread.join()
    return figures


def event_wait(seconds: int) -> Figures:
    return _threads(seconds, threading.Event.wait)


def polling(seconds: int) -> Figures:
    def look_again_and_again(over: threading.Event) -> None:
        while not over.is_set():
            time.sleep(0.1)

    return _threads(seconds, look_again_and_again)


ROW = Row(
    number=11,
    title=f"{JOBS:,} idle jobs",
    cases=[
        Case("taskloom, ctx.wait", Role.PRODUCT, taskloom),
        Case("a flag polled each 100 ms", Role.PEER, polling),
        Case("Event.wait", Role.LIMIT, event_wait),
    ],
    figures={"cpu_s": "CPU s a minute", "wakes": "wake-ups a second"},
    claims=[Limit("taskloom, ctx.wait", "cpu_s", hold=0.1, aim=0.01)],
    full=10,
    quick=3,
    tiny=1,
)
