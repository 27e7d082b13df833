"""Random jobs with real threads, and random commands on them that may be refused but must not fail otherwise."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.model import JobSpec
from taskloom.core.policies import (
    Condition,
    Dependency,
    Overlap,
    RestartLimit,
    RestartPolicy,
    RestartWhen,
    Schedule,
    Watchdog,
    WatchdogThen,
)
from taskloom.errors import UsageError
from taskloom.runners.binding import Binding, Body
from taskloom.scheduler import JobHandle
from taskloom.testing import make_job

__all__ = ["NAMES", "give_command", "random_job"]

NAMES = [f"job{number}" for number in range(8)]


def _body(random: Random) -> Callable[[Any], None]:
    """Return a body that ends in one of six ways, soon or when it is requested to stop."""
    way = random.randrange(6)

    def run(ctx: Any) -> None:
        if way == 0:
            return
        if way == 1:
            raise ValueError("on purpose")
        if way == 2:
            ctx.sleep(0.002)
        elif way == 3:
            ctx.ready()
            ctx.wait(0.005)
        elif way == 4:
            threading.Event().wait(0.02)  # ignores the stop for a while
        else:
            ctx.wait()

    return run


def random_job(name: str, random: Random) -> JobSpec:
    """Return a job with random policies whose body ends in one of six ways."""
    number = NAMES.index(name)
    restart = RestartPolicy(
        random.choice(list(RestartWhen)),
        delay=random.choice([0.0, 0.001, 0.01]),
        max_delay=0.01,
        limit=random.choice([None, RestartLimit(3, 0.1)]),
    )
    schedule = None
    if restart.when is not RestartWhen.ALWAYS and random.random() < 0.4:
        every = random.choice([0.003, 0.02])
        schedule = Schedule(
            every=every, overlap=random.choice(list(Overlap)), immediately=random.random() < 0.5, jitter=every / 2
        )
    after = [
        Dependency(NAMES[other], random.choice([Condition.STARTED, Condition.READY, Condition.FINISHED]))
        for other in range(number)
        if random.random() < 0.2
    ]
    job = make_job(
        name,
        daemon=random.random() < 0.4,
        within=random.choice([0.005, 1.0, 5.0]),
        delay=random.choice([0.0, 0.0, 0.003]),
        after=after,
        restart=restart,
        schedule=schedule,
        enabled=random.random() < 0.9,
        timeout=random.choice([None, None, 0.01]),
        ready_within=random.choice([None, None, 0.02]),
        watchdog=random.choice([None, Watchdog(0.5, WatchdogThen.RESTART)]),
        params={"shade": random.randrange(3)},
    )
    run, announces = _body(random), random.random() < 0.2
    return JobSpec(
        **{
            **{field: getattr(job, field) for field in job.__dataclass_fields__},
            "binding": Binding(lambda: Body(run, None), has_terminate=False, announces_ready=announces),
        }
    )


def _hold_or_forget(job: JobHandle, random: Random) -> None:
    match random.randrange(5):
        case 0 | 1:
            job.pause("maintenance")
        case 2 | 3:
            job.resume("done")
        case _:
            job.reset("fixed")


def give_command(scheduler: WatchedScheduler, random: Random, names: Sequence[str] = NAMES) -> None:
    """Give one random command to one of the named jobs. It may be refused, but it must not fail otherwise."""
    try:
        job = scheduler.job(random.choice(names))
        match random.randrange(14):
            case 0:
                job.start(now=random.random() < 0.5)
            case 1:
                job.arm()
            case 2:
                job.restart("again", now=random.random() < 0.5)
            case 3:
                job.stop("enough", timeout=0.01)
            case 4:
                run = job.run
                if run is not None:
                    run.cancel("this one")
            case 5 | 6:
                scheduler.reload([random_job(name, random) for name in names if random.random() < 0.85])
            case 7:
                scheduler.preview([random_job(name, random) for name in names])
            case 8:
                scheduler.status()
            case 9:
                scheduler.stacks()
            case _:
                _hold_or_forget(job, random)
    except UsageError:
        pass
