"""Random commands from several threads on supervised jobs: every history keeps the rules, and the stop ends."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from tests.support.random_commands import NAMES, give_command, random_job
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.errors import UnknownJob
from taskloom.job import Job

SOON = 300.0  # bounds a hang alone: a loaded machine takes over a minute
# As many thread switches as with the 1 us of `fast_switching`, in a third of the time: there a thread that waits for
# the GIL spins, and takes CPU time from the one that works.
SWITCH_SECONDS = 1e-5


@pytest.fixture
def frequent_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("callers", [1, 4])
@pytest.mark.parametrize(("seeds", "commands"), [(1, 30), pytest.param(15, 100, marks=pytest.mark.long)])
@pytest.mark.timeout(1200)
def test_random_commands_from_several_threads_keep_the_rules(
    callers: int, seeds: int, commands: int, frequent_switching: None
) -> None:
    for seed in range(seeds):
        scheduler = WatchedScheduler(stop_within=5.0)
        scheduler.reload([random_job(name, Random(seed)) for name in NAMES])
        scheduler.start()

        def work(caller: int, scheduler: WatchedScheduler = scheduler, seed: int = seed) -> None:
            random = Random(1000 * seed + caller)
            for _ in range(commands):
                give_command(scheduler, random)

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
