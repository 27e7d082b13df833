"""The timer by itself: what wakes it, and what it says."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from taskloom.scheduler.timer import Timer
from taskloom.testing import VirtualClock

SOON = 20.0


def nobody(_: object) -> None:
    """Be told of what the watchdogs miss."""


class Ticks:
    """What the timer said, in order, and a wait for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._said: list[bool] = []

    def __call__(self, is_due: bool) -> None:
        with self._changed:
            self._said.append(is_due)
            self._changed.notify_all()

    def first(self, count: int) -> list[bool]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._said) >= count, SOON)
            return self._said[:count]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def timer(clock: VirtualClock, ticks: Ticks) -> Iterator[Timer]:
    timer = Timer(clock, ticks, lambda: None, nobody)
    timer.prepare()
    yield timer
    timer.close()
    timer.join(SOON)


def test_a_deadline_that_has_come_is_told_once_until_it_is_set_anew(
    timer: Timer, clock: VirtualClock, ticks: Ticks
) -> None:
    """The turn may be busy for long: a Tick for each look at the clock would fill its inbox."""
    timer.set_deadline(5.0)
    clock.advance(5.0)
    for count in range(2, 6):
        timer.wake()
        ticks.first(count)
    said = ticks.first(5)

    timer.set_deadline(5.0)

    while not any(ticks.first(len(said) + 1)[len(said) :]):
        said = ticks.first(len(said) + 1)
    assert said.count(True) == 1


@pytest.mark.parametrize("deadline", [0.0, -1.0])
def test_a_deadline_in_the_past_is_told_at_once(timer: Timer, ticks: Ticks, deadline: float) -> None:
    timer.set_deadline(deadline)

    count = 1
    while not ticks.first(count)[-1]:
        count += 1


def test_a_near_deadline_is_not_waited_for_by_the_second(timer: Timer, clock: VirtualClock, ticks: Ticks) -> None:
    """It sleeps for the rest of the deadline that it saw: a nearer one wakes it."""
    timer.set_deadline(3600.0)
    timer.set_deadline(0.01)
    clock.advance(0.01)

    count = 1
    while not ticks.first(count)[-1]:
        count += 1


def test_an_endless_deadline_does_not_end_the_timer(timer: Timer, ticks: Ticks) -> None:
    for deadline in (1e20, float("inf"), None):
        timer.set_deadline(deadline)
        timer.wake()

    timer.set_deadline(0.0)
    count = 1
    while not ticks.first(count)[-1]:
        count += 1


def test_preparing_twice_makes_one_thread(timer: Timer) -> None:
    thread = timer._thread

    timer.prepare()

    assert timer._thread is thread


def test_a_timer_that_was_never_prepared_is_closed_and_joined(clock: VirtualClock, ticks: Ticks) -> None:
    timer = Timer(clock, ticks, lambda: None, nobody)

    timer.close()
    timer.join(SOON)

    assert timer._thread is None


def test_helpers_that_may_be_stuck_are_looked_after_by_themselves(clock: VirtualClock, ticks: Ticks) -> None:
    asked = threading.Semaphore(0)

    def relieve() -> float:
        asked.release()
        return 0.01

    timer = Timer(clock, ticks, relieve, nobody)
    timer.prepare()
    for _ in range(5):
        assert asked.acquire(timeout=SOON)
    timer.close()
    timer.join(SOON)

    assert timer._thread is not None
    assert not timer._thread.is_alive()
