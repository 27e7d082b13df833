"""Many hands at once on supervised jobs: whatever they do, every history keeps the rules, and the stop ends it all."""

from __future__ import annotations

import threading
from collections.abc import Callable
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
NAMES = [f"job{number}" for number in range(8)]


def _body(chance: Random) -> Callable[[Any], None]:
    """Return a body that ends in one of the ways there are, soon or when asked."""
    way = chance.randrange(6)

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
            threading.Event().wait(0.02)  # deaf for a while
        else:
            ctx.wait()

    return run


def _draw(name: str, chance: Random) -> JobSpec:
    number = NAMES.index(name)
    restart = RestartPolicy(
        chance.choice(list(RestartWhen)),
        delay=chance.choice([0.0, 0.001, 0.01]),
        max_delay=0.01,
        limit=chance.choice([None, RestartLimit(3, 0.1)]),
    )
    schedule = None
    if restart.when is not RestartWhen.ALWAYS and chance.random() < 0.4:
        every = chance.choice([0.003, 0.02])
        schedule = Schedule(
            every=every, overlap=chance.choice(list(Overlap)), immediately=chance.random() < 0.5, jitter=every / 2
        )
    after = [
        Dependency(NAMES[other], chance.choice([Condition.STARTED, Condition.READY, Condition.FINISHED]))
        for other in range(number)
        if chance.random() < 0.2
    ]
    job = make_job(
        name,
        daemon=chance.random() < 0.4,
        within=chance.choice([0.005, 1.0, 5.0]),
        delay=chance.choice([0.0, 0.0, 0.003]),
        after=after,
        restart=restart,
        schedule=schedule,
        enabled=chance.random() < 0.9,
        timeout=chance.choice([None, None, 0.01]),
        ready_within=chance.choice([None, None, 0.02]),
        watchdog=chance.choice([None, Watchdog(0.5, WatchdogThen.RESTART)]),
        params={"shade": chance.randrange(3)},
    )
    run, announces = _body(chance), chance.random() < 0.2
    return JobSpec(
        **{
            **{field: getattr(job, field) for field in job.__dataclass_fields__},
            "binding": Binding(lambda: Body(run, None), has_terminate=False, announces_ready=announces),
        }
    )


def _act(scheduler: WatchedScheduler, chance: Random) -> None:
    """Do one thing that a hand may do. It may be refused, and nothing else."""
    try:
        job = scheduler.job(chance.choice(NAMES))
        match chance.randrange(10):
            case 0:
                job.start(now=chance.random() < 0.5)
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
                scheduler.reload([_draw(name, chance) for name in NAMES if chance.random() < 0.85])
            case 7:
                scheduler.preview([_draw(name, chance) for name in NAMES])
            case 8:
                scheduler.status()
            case _:
                scheduler.stacks()
    except UsageError:
        pass


@pytest.mark.parametrize("hands", [1, 4])
@pytest.mark.parametrize(("seeds", "acts"), [(3, 60), pytest.param(15, 100, marks=pytest.mark.long)])
@pytest.mark.timeout(600)
def test_whatever_many_hands_do_the_rules_are_kept(hands: int, seeds: int, acts: int, fast_switching: None) -> None:
    for seed in range(seeds):
        scheduler = WatchedScheduler(stop_within=5.0)
        scheduler.reload([_draw(name, Random(seed)) for name in NAMES])
        scheduler.start()

        def work(hand: int, scheduler: WatchedScheduler = scheduler, seed: int = seed) -> None:
            chance = Random(1000 * seed + hand)
            for _ in range(acts):
                _act(scheduler, chance)

        threads = [threading.Thread(target=work, args=(hand,)) for hand in range(hands)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON)
            assert not thread.is_alive(), f"seed {seed}: a hand is stuck: {scheduler.told()}"
        scheduler.finish()


def test_a_run_may_take_its_own_job_away(scheduler: WatchedScheduler) -> None:
    def suicide(ctx: Any) -> None:
        scheduler.reload([Job(name="other", task=lambda ctx: ctx.wait())])
        ctx.wait()

    handle = scheduler.add(Job(name="me", task=suicide))
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
