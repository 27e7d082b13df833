"""Row 1: jobs that do nothing are started, finished and joined, one after another."""

from __future__ import annotations

import threading
from _thread import allocate_lock

from harness import Case, Claim, Figures, Role, Row
from meters import Stopwatch
from pthreads import start_and_join

from taskloom import Context, Job, Scheduler


def _nothing(*_: object) -> None:
    """Do nothing; the work of the job."""


def _noop(ctx: Context) -> None:
    """Do nothing; the work of the job."""


def taskloom(times: int) -> Figures:
    return _taskloom(times, Job(name="noop", task=_noop))


def taskloom_reusing(times: int) -> Figures:
    return _taskloom(times, Job(name="noop", task=_noop, daemon=True, runner={"thread": {"reuse": True}}))


def _taskloom(times: int, declared: Job) -> Figures:
    with Scheduler() as scheduler:
        job = scheduler.add(declared)
        job.start().join()
        with Stopwatch() as watch:
            for _ in range(times):
                job.start().join()
    return watch.each(times)


def raw_threads(times: int) -> Figures:
    with Stopwatch() as watch:
        for _ in range(times):
            thread = threading.Thread(target=_nothing)
            thread.start()
            thread.join()
    return watch.each(times)


def apscheduler(times: int) -> Figures:
    from apscheduler.schedulers.background import BackgroundScheduler

    over = allocate_lock()
    over.acquire()
    scheduler = BackgroundScheduler({"apscheduler.executors.default": {"type": "threadpool", "max_workers": 2}})
    scheduler.start()
    with Stopwatch() as watch:
        for _ in range(times):
            scheduler.add_job(over.release, misfire_grace_time=None)
            over.acquire()
    scheduler.shutdown()
    return watch.each(times)


def dramatiq(times: int) -> Figures:
    from dramatiq import Worker, actor
    from dramatiq.brokers.stub import StubBroker

    broker = StubBroker()
    noop = actor(_nothing, actor_name="noop", broker=broker)
    worker = Worker(broker, worker_threads=2)
    worker.start()
    with Stopwatch() as watch:
        for _ in range(times):
            noop.send()
            broker.join("default")
    worker.stop()
    return watch.each(times)


def huey_in_the_caller(times: int) -> Figures:
    from huey import MemoryHuey

    noop = MemoryHuey(immediate=True).task()(_nothing)
    with Stopwatch() as watch:
        for _ in range(times):
            noop()()
    return watch.each(times)


def trio_thread_cache(times: int) -> Figures:
    from trio.lowlevel import start_thread_soon

    over = allocate_lock()
    over.acquire()
    with Stopwatch() as watch:
        for _ in range(times):
            start_thread_soon(_nothing, lambda _: over.release())
            over.acquire()
    return watch.each(times)


def pthreads(times: int) -> Figures:
    with Stopwatch() as watch:
        start_and_join(times)
    return watch.each(times)


def lock_hand_off(times: int) -> Figures:
    go, over = allocate_lock(), allocate_lock()
    go.acquire()
    over.acquire()

    def work() -> None:
        for _ in range(times):
            go.acquire()
            over.release()

    thread = threading.Thread(target=work)
    thread.start()
    with Stopwatch() as watch:
        for _ in range(times):
            go.release()
            over.acquire()
    thread.join()
    return watch.each(times)


ROW = Row(
    number=1,
    title="no-op jobs started, finished and joined one by one",
    cases=[
        Case("taskloom", Role.PRODUCT, taskloom),
        Case("taskloom, reused thread", Role.PRODUCT, taskloom_reusing),
        Case("threading.Thread", Role.PEER, raw_threads),
        Case("APScheduler", Role.PEER, apscheduler, needs="apscheduler"),
        Case("dramatiq", Role.PEER, dramatiq, needs="dramatiq"),
        Case("huey, in the caller", Role.PEER, huey_in_the_caller, needs="huey"),
        Case("trio's thread cache", Role.LIMIT, trio_thread_cache, needs="trio"),
        Case("C threads", Role.LIMIT, pthreads),
        Case("lock hand-off", Role.LIMIT, lock_hand_off),
    ],
    figures={"us": "us each", "cpu_us": "CPU us each"},
    claims=[
        Claim("taskloom", "us", "threading.Thread", hold=1.15, aim=1.05),
        Claim("taskloom", "cpu_us", "threading.Thread", hold=1.15, aim=1.05),
        Claim("taskloom, reused thread", "us", "threading.Thread", hold=1.15, aim=0.45),
        Claim("taskloom, reused thread", "cpu_us", "threading.Thread", hold=1.15, aim=0.45),
    ],
    full=10_000,
    quick=1_000,
    tiny=10,
    is_pinned=True,
)
