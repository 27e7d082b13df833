"""The real scheduler with real threads, meddled with from all sides; its events before the same judge."""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from taskloom import Context, Event, Job, Scheduler
from taskloom.errors import UsageError
from taskloom.testing import check_events

MEDDLERS = 3
COMMANDS_OF_EACH = 120
# Lets those go that ignore their cancel, so that no thread outlives its test.
Released = threading.Event


def beat(ctx: Context) -> None:
    """Wait until cancelled."""
    while not ctx.wait(0.002):
        ctx.count("beats")


def fail(ctx: Context) -> None:
    """Raise soon."""
    ctx.wait(0.003)
    raise RuntimeError("it happens")


def vanish(ctx: Context) -> None:
    """Return at once."""


def break_its_callback(ctx: Context) -> None:
    """Have a callback that raises."""
    ctx.on_cancel(lambda: 1 / 0)
    ctx.wait(0.05)


def ignore(released: Released, ctx: Context) -> None:
    """Look at nothing for a while."""
    released.wait(0.05)


def stop_itself(stop: Callable[[], object], ctx: Context) -> None:
    """Ask for the own end, from inside."""
    stop()
    ctx.wait()


def jobs_of(scheduler: Scheduler, released: Released) -> list[Job]:
    """Declare two jobs of each kind, every policy among them."""
    tasks: dict[str, Callable[[Context], object]] = {
        "beat": beat,
        "fail": fail,
        "vanish": vanish,
        "callback": break_its_callback,
        "ignore": lambda ctx: ignore(released, ctx),
        "itself": lambda ctx: stop_itself(lambda: scheduler.job(ctx.job).stop("from inside", timeout=0), ctx),
    }
    return [
        Job(
            name=f"{kind}-{number}",
            task=task,
            daemon=number == 2,
            join={"within": "20ms", "otherwise": "abandon"} if number == 2 else "5s",
        )
        for kind, task in tasks.items()
        for number in (1, 2)
    ]


def meddle(scheduler: Scheduler, names: list[str], seed: int, pause: threading.Event) -> None:
    """Start and stop at random; what is refused is refused in words."""
    chance = random.Random(seed)
    for _ in range(COMMANDS_OF_EACH):
        job = scheduler.job(chance.choice(names))
        try:
            if chance.random() < 0.6:
                job.start()
            else:
                job.stop("meddled with", timeout=0)
        except UsageError:
            pass
        if chance.random() < 0.5:
            pause.wait(chance.choice((0.0005, 0.002, 0.005)))


@pytest.fixture
def hectic_switching() -> Iterator[None]:
    """Let threads take turns as often as the interpreter can, which shows races that are rare otherwise."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    yield

    sys.setswitchinterval(before)


def meddle_from_all_sides(seed: int) -> None:
    """Run a scheduler under meddling, stop it, and judge all that it told."""
    told: list[Event] = []
    released = threading.Event()
    scheduler = Scheduler()
    listener = scheduler.listen(told.append, limit=1_000_000)
    names = [handle.name for handle in scheduler.add_all(jobs_of(scheduler, released))]
    scheduler.start()
    meddlers = [
        threading.Thread(target=meddle, args=(scheduler, names, seed * 10 + number, released))
        for number in range(MEDDLERS)
    ]
    for thread in meddlers:
        thread.start()
    for thread in meddlers:
        thread.join()

    report = scheduler.stop(within=10)

    released.set()
    listener.close(timeout=10)
    assert {event.event.value for event in told} >= {"queued", "started", "cancel_requested", "ended"}
    assert listener.dropped == 0
    violations = check_events(told, is_whole=True, stop_within=10)
    assert not violations, "\n".join([f"seed {seed}", *map(str, violations)])
    assert not [one for one in report.survivors if one.job.endswith("-1")], f"seed {seed}"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_real_threads_under_meddling_break_no_rule(seed: int) -> None:
    meddle_from_all_sides(seed)


def test_real_threads_that_switch_all_the_time_break_no_rule(hectic_switching: None) -> None:
    meddle_from_all_sides(4)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_real_threads_break_no_rule_again_and_again(
    hectic_switching: None, record_property: Callable[[str, object], None]
) -> None:
    first = int(os.environ.get("TASKLOOM_SEED", random.SystemRandom().randrange(2**32)))

    for seed in range(first, first + 50):
        meddle_from_all_sides(seed)

    record_property("told", f"real threads: 50 rounds, seeds from {first}")
