"""Random commands from several threads on supervised jobs: every history keeps the rules, and the stop ends."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
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
from taskloom.errors import UnknownJob, UsageError
from taskloom.job import Job
from taskloom.runners.binding import Binding, Body
from taskloom.testing import make_job

SOON = 60.0
# As many thread switches as with the 1 us of `fast_switching`, in a third of the time: there a thread that waits for
# the GIL spins, and takes CPU time from the one that works.
SWITCH_SECONDS = 1e-5
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


def _random_job(name: str, random: Random) -> JobSpec:
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


def _give_command(scheduler: WatchedScheduler, random: Random) -> None:
    """Give one random command. It may be refused, but it must not fail otherwise."""
    try:
        job = scheduler.job(random.choice(NAMES))
        match random.randrange(10):
            case 0:
                job.start(now=random.random() < 0.5)
            case 1:
                job.arm()
            case 2:
                job.restart("again")
            case 3:
                job.stop("enough", timeout=0.01)
            case 4:
                run = job.run
                if run is not None:
                    run.cancel("this one")
            case 5 | 6:
                scheduler.reload([_random_job(name, random) for name in NAMES if random.random() < 0.85])
            case 7:
                scheduler.preview([_random_job(name, random) for name in NAMES])
            case 8:
                scheduler.status()
            case _:
                scheduler.stacks()
    except UsageError:
        pass


@pytest.fixture
def frequent_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("callers", [1, 4])
@pytest.mark.parametrize(("seeds", "commands"), [(3, 60), pytest.param(15, 100, marks=pytest.mark.long)])
@pytest.mark.timeout(600)
def test_random_commands_from_several_threads_keep_the_rules(
    callers: int, seeds: int, commands: int, frequent_switching: None
) -> None:
    for seed in range(seeds):
        scheduler = WatchedScheduler(stop_within=5.0)
        scheduler.reload([_random_job(name, Random(seed)) for name in NAMES])
        scheduler.start()

        def work(caller: int, scheduler: WatchedScheduler = scheduler, seed: int = seed) -> None:
            random = Random(1000 * seed + caller)
            for _ in range(commands):
                _give_command(scheduler, random)

        threads = [threading.Thread(target=work, args=(caller,)) for caller in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON)
            assert not thread.is_alive(), f"seed {seed}: a thread is stuck: {scheduler.event_names()}"
        scheduler.finish()


def test_a_run_may_remove_its_own_job(scheduler: WatchedScheduler) -> None:
    def remove_itself(ctx: Any) -> None:
        scheduler.reload([Job(name="other", task=lambda ctx: ctx.wait())])
        ctx.wait()

    handle = scheduler.add(Job(name="me", task=remove_itself))
    run = handle.start()

    assert run.join(SOON)
    with pytest.raises(UnknownJob):
        handle.status()


def test_a_run_may_restart_its_own_job(scheduler: WatchedScheduler) -> None:
    attempts: list[str] = []

    def again(ctx: Any) -> None:
        attempts.append(ctx.run_id)
        if len(attempts) < 3:
            scheduler.job("me").restart()
        ctx.wait()

    handle = scheduler.add(Job(name="me", task=again))
    handle.start()

    while len(attempts) < 3:
        assert handle.run is not None
        handle.run.join(0.01)
    assert attempts == ["me#1", "me#2", "me#3"]
