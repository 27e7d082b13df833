"""Random commands while threads switch at every instruction and finalizers call handles: no hang, no broken rule.

The garbage collector runs at each allocation, so the finalizers strike at any line of ours, on any thread of ours.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from tests.support.random_commands import NAMES, give_command, random_job
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.clock import mono
from taskloom.errors import OnSchedulerThread, UsageError
from taskloom.scheduler import JobHandle

# Limits only how long a failing test takes.
SOON = 60.0
CALLERS = 4
JOBS = [*NAMES[:4]]


class Finalizers:
    """Makes objects in cycles whose finalizers call a handle until the monotonic second `end`, and counts the calls.

    One collection may call hundreds of them in a row, which takes minutes on a busy machine. So there is an end.
    """

    def __init__(self, scheduler: WatchedScheduler, seed: int, end: float) -> None:
        self.scheduler = scheduler
        self.end = end
        self.random = Random(seed)
        self.called = 0
        self.refused = 0
        self.errors: list[BaseException] = []
        # Per thread: a finalizer inside of a finalizer would only nest without end.
        self.busy = threading.local()

    def make(self) -> None:
        """Make one object that only the garbage collector can free."""
        _InCycle(self)

    def call(self) -> None:
        """Give one command, on whatever thread the collector runs."""
        if getattr(self.busy, "is_set", False) or mono() >= self.end:
            return
        self.busy.is_set = True
        try:
            self.called += 1
            self._give(self.scheduler.job(self.random.choice(JOBS)))
        except OnSchedulerThread:
            self.refused += 1
        except UsageError:
            pass  # the job was removed, or its dependencies are not met
        except BaseException as error:  # noqa: BLE001 - raised in a finalizer it would only be printed
            self.errors.append(error)
        finally:
            self.busy.is_set = False

    def _give(self, job: JobHandle) -> None:
        match self.random.randrange(4):
            case 0:
                job.status()
            case 1:
                job.start(now=True)
            case 2:
                run = job.run
                if run is not None:
                    run.cancel("by a finalizer")
            case _:
                job.start()


class _InCycle:
    def __init__(self, finalizers: Finalizers) -> None:
        self.finalizers = finalizers
        self.me = self

    def __del__(self) -> None:
        self.finalizers.call()


@pytest.fixture
def nervous_interpreter() -> Iterator[None]:
    switch, threshold = sys.getswitchinterval(), gc.get_threshold()
    # What exists now is not searched at each collection: that would leave no time for the test.
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(1)
    yield
    gc.set_threshold(*threshold)
    sys.setswitchinterval(switch)


def other_command(scheduler: WatchedScheduler, random: Random) -> None:
    """Give one of the commands that the other tests with random commands do not give."""
    try:
        match random.randrange(3):
            case 0:
                listener = scheduler.listen(lambda event: None)
                listener.close(SOON)
            case 1:
                scheduler.wait(timeout=0.001)
            case _:
                run = scheduler.job(random.choice(JOBS)).run
                if run is not None:
                    run.join(0.001)
    except UsageError:
        pass


@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=pytest.mark.long)])
@pytest.mark.timeout(600)
def test_no_finalizer_and_no_thread_switch_breaks_a_rule(seconds: int, nervous_interpreter: None) -> None:
    seed = int(os.environ.get("TASKLOOM_SEED", Random().randrange(10**6)))
    print(f"seed {seed}")
    end, rounds, called = mono() + seconds, 0, 0
    while mono() < end or not called:  # beside other load the first round may end before a collection
        called += stress(seed + rounds, mono() + min(5.0, max(1.0, end - mono())))
        rounds += 1


def stress(seed: int, end: float) -> int:
    """Give commands to a new scheduler until the monotonic second `end`; return how many finalizers were called."""
    scheduler = WatchedScheduler(stop_within=5.0)
    scheduler.reload([random_job(name, Random(seed)) for name in JOBS])
    scheduler.start()
    finalizers = Finalizers(scheduler, seed, end)
    errors: list[BaseException] = []

    def work(caller: int) -> None:
        random = Random(1000 * seed + caller)
        try:
            while mono() < end:
                finalizers.make()
                if random.random() < 0.7:
                    give_command(scheduler, random, JOBS)
                else:
                    other_command(scheduler, random)
        except BaseException as error:  # noqa: BLE001 - asserted below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(caller,), daemon=True) for caller in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
        assert not thread.is_alive(), f"seed {seed}: a caller is stuck: {where(thread)}"

    stopper: list[Any] = []
    stopping = threading.Thread(target=lambda: stopper.append(scheduler.finish()), daemon=True)
    stopping.start()
    stopping.join(SOON)
    assert stopper, f"seed {seed}: the stop hangs or a rule is broken: {where(stopping)}"
    assert (errors, finalizers.errors) == ([], []), f"seed {seed}"
    return finalizers.called


def where(thread: threading.Thread) -> str:
    """Return where a thread is, for the message of a failing test."""
    frame = sys._current_frames().get(thread.ident or 0)
    places = []
    while frame is not None:
        places.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(places[:8])
