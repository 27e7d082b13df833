"""The timer alone: what wakes it, and when it ticks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskloom.scheduler import timer as timer_module
from taskloom.scheduler.timer import Timer
from taskloom.testing import VirtualClock

SOON = 20.0


def ignore(_: object) -> None:
    """Ignore the reports of the heartbeat monitor."""


class Ticks:
    """Keeps the ticks of the timer in order, and waits for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ticks: list[bool] = []

    def __call__(self, is_due: bool) -> None:
        with self._changed:
            self._ticks.append(is_due)
            self._changed.notify_all()

    def first(self, count: int) -> list[bool]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._ticks) >= count, SOON)
            return self._ticks[:count]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def timer(clock: VirtualClock, ticks: Ticks) -> Iterator[Timer]:
    timer = Timer(clock, ticks, lambda: None, ignore)
    timer.prepare()
    yield timer
    timer.close()
    timer.join(SOON)


def test_a_passed_deadline_ticks_once_until_it_is_set_again(timer: Timer, clock: VirtualClock, ticks: Ticks) -> None:
    """The engine may be busy for long: one Tick for each wake-up would fill its queue."""
    timer.set_deadline(5.0)
    clock.advance(5.0)
    for count in range(2, 6):
        timer.wake()
        ticks.first(count)
    ticked = ticks.first(5)

    timer.set_deadline(5.0)

    while not any(ticks.first(len(ticked) + 1)[len(ticked) :]):
        ticked = ticks.first(len(ticked) + 1)
    assert ticked.count(True) == 1


@pytest.mark.parametrize("deadline", [0.0, -1.0])
def test_a_deadline_in_the_past_ticks_at_once(timer: Timer, ticks: Ticks, deadline: float) -> None:
    timer.set_deadline(deadline)

    count = 1
    while not ticks.first(count)[-1]:
        count += 1


def test_a_nearer_deadline_wakes_the_timer(timer: Timer, clock: VirtualClock, ticks: Ticks) -> None:
    """It would otherwise sleep until the deadline that it knows."""
    timer.set_deadline(3600.0)
    timer.set_deadline(0.01)
    clock.advance(0.01)

    count = 1
    while not ticks.first(count)[-1]:
        count += 1


def test_an_infinite_deadline_does_not_end_the_timer(timer: Timer, ticks: Ticks) -> None:
    for deadline in (1e20, float("inf"), None):
        timer.set_deadline(deadline)
        timer.wake()

    timer.set_deadline(0.0)
    count = 1
    while not ticks.first(count)[-1]:
        count += 1


def test_preparing_twice_starts_one_thread(timer: Timer) -> None:
    thread = timer._thread

    timer.prepare()

    assert timer._thread is thread


def test_a_timer_that_was_never_prepared_is_closed_and_joined(clock: VirtualClock, ticks: Ticks) -> None:
    timer = Timer(clock, ticks, lambda: None, ignore)

    timer.close()
    timer.join(SOON)

    assert timer._thread is None


def test_the_callback_pool_is_checked_again_and_again_while_callbacks_wait(clock: VirtualClock, ticks: Ticks) -> None:
    checks = threading.Semaphore(0)

    def grow_if_stuck() -> float:
        checks.release()
        return 0.01

    timer = Timer(clock, ticks, grow_if_stuck, ignore)
    timer.prepare()
    for _ in range(5):
        assert checks.acquire(timeout=SOON)
    timer.close()
    timer.join(SOON)

    assert timer._thread is not None
    assert not timer._thread.is_alive()


# -- the timer slack of Linux


def reach_a_deadline(check: Callable[[], object]) -> None:
    """Let a timer reach a deadline, and call `check` on its thread then."""
    is_over = threading.Event()

    def tick(is_due: bool) -> None:
        if is_due:
            check()
            is_over.set()

    timer = Timer(VirtualClock(), tick, lambda: None, lambda _: None)
    timer.set_deadline(0.0)
    assert is_over.wait(SOON)
    timer.close()
    timer.join(SOON)


def slack_file() -> Path:
    return Path(f"/proc/{threading.get_native_id()}/timerslack_ns")


def test_the_timer_minimizes_the_slack_of_its_own_thread_only() -> None:
    if not slack_file().exists():
        pytest.skip("LOUD: this system has no timer slack that can be set")
    before = slack_file().read_text()
    found: list[str] = []

    reach_a_deadline(lambda: found.append(slack_file().read_text().strip()))

    assert found == ["1"]
    assert slack_file().read_text() == before


def test_a_timer_works_if_the_slack_cannot_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timer_module, "_SLACK_FILE", f"{tmp_path}/nowhere/{{thread}}")
    ticks: list[None] = []

    reach_a_deadline(lambda: ticks.append(None))

    assert ticks
