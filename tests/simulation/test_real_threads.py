"""The real scheduler with real threads under random commands from several threads; its events must keep the rules."""

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

COMMANDING_THREADS = 3
COMMANDS_PER_THREAD = 120
# Ends the runs that ignore their cancel, so that no thread outlives its test.
Released = threading.Event


def beat(ctx: Context) -> None:
    """Wait until cancelled."""
    while not ctx.wait(0.002):
        ctx.count("beats")


def fail(ctx: Context) -> None:
    """Raise after 3 ms."""
    ctx.wait(0.003)
    raise RuntimeError("failed")


def return_at_once(ctx: Context) -> None:
    """Return at once."""


def raise_in_callback(ctx: Context) -> None:
    """Register a callback that raises."""
    ctx.on_cancel(lambda: 1 / 0)
    ctx.wait(0.05)


def ignore(released: Released, ctx: Context) -> None:
    """Ignore the cancel for 50 ms."""
    released.wait(0.05)


def stop_itself(stop: Callable[[], object], ctx: Context) -> None:
    """Stop its own job."""
    stop()
    ctx.wait()


def jobs_of(scheduler: Scheduler, released: Released) -> list[Job]:
    """Return two jobs of each kind, one of them a daemon with the policy `abandon`."""
    tasks: dict[str, Callable[[Context], object]] = {
        "beat": beat,
        "fail": fail,
        "returns": return_at_once,
        "callback": raise_in_callback,
        "ignore": lambda ctx: ignore(released, ctx),
        "itself": lambda ctx: stop_itself(lambda: scheduler.job(ctx.job).stop("by itself", timeout=0), ctx),
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


def send_commands(scheduler: Scheduler, names: list[str], seed: int, pause: threading.Event) -> None:
    """Start and stop random jobs; a refused command raises UsageError."""
    rng = random.Random(seed)
    for _ in range(COMMANDS_PER_THREAD):
        job = scheduler.job(rng.choice(names))
        try:
            if rng.random() < 0.6:
                job.start()
            else:
                job.stop("random command", timeout=0)
        except UsageError:
            pass
        if rng.random() < 0.5:
            pause.wait(rng.choice((0.0005, 0.002, 0.005)))


@pytest.fixture
def hectic_switching() -> Iterator[None]:
    """Switch threads as often as the interpreter can, which shows races that are rare otherwise."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    yield

    sys.setswitchinterval(before)


def check_under_random_commands(seed: int) -> None:
    """Run a scheduler under random commands, stop it, and check its events."""
    events: list[Event] = []
    released = threading.Event()
    scheduler = Scheduler()
    listener = scheduler.listen(events.append, limit=1_000_000)
    names = [handle.name for handle in scheduler.add_all(jobs_of(scheduler, released))]
    scheduler.start()
    threads = [
        threading.Thread(target=send_commands, args=(scheduler, names, seed * 10 + number, released))
        for number in range(COMMANDING_THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    report = scheduler.stop(within=10)

    released.set()
    listener.close(timeout=10)
    assert {event.event.value for event in events} >= {"queued", "started", "cancel_requested", "ended"}
    assert listener.dropped == 0
    violations = check_events(events, is_whole=True, stop_within=10)
    assert not violations, "\n".join([f"seed {seed}", *map(str, violations)])
    assert not [one for one in report.survivors if one.job.endswith("-1")], f"seed {seed}"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_real_threads_under_random_commands_break_no_rule(seed: int) -> None:
    check_under_random_commands(seed)


@pytest.mark.long
def test_real_threads_with_hectic_switching_break_no_rule(hectic_switching: None) -> None:
    check_under_random_commands(4)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_real_threads_break_no_rule_again_and_again(
    hectic_switching: None, record_property: Callable[[str, object], None]
) -> None:
    first = int(os.environ.get("TASKLOOM_SEED", random.SystemRandom().randrange(2**32)))

    for seed in range(first, first + 50):
        check_under_random_commands(seed)

    record_property("told", f"real threads: 50 rounds, seeds from {first}")
