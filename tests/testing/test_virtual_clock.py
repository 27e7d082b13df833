from __future__ import annotations

import pytest

from taskloom.core.model import Moment
from taskloom.testing import VirtualClock


def test_time_passes_only_when_advanced() -> None:
    clock = VirtualClock(mono=5, wall=1000)

    first, second = clock.now(), clock.now()

    assert first == second == Moment(5, 1000)
    assert clock.advance(2.5) == Moment(7.5, 1002.5)


def test_a_wall_step_does_not_change_the_monotonic_clock() -> None:
    clock = VirtualClock(wall=1000)

    clock.step_wall(-3600)
    clock.advance(1)

    assert clock.now() == Moment(1, 1000 - 3600 + 1)


def test_advancing_to_a_past_second_changes_nothing() -> None:
    clock = VirtualClock(mono=10)

    assert clock.advance_to(3).mono == 10
    assert clock.advance_to(12).mono == 12


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_advancing_by_a_negative_or_infinite_time_is_refused(seconds: float) -> None:
    clock = VirtualClock()

    with pytest.raises(ValueError, match="cannot advance by"):
        clock.advance(seconds)

    assert clock.now().mono == 0


@pytest.mark.parametrize("second", [float("inf"), float("nan")])
def test_advancing_to_infinity_is_refused(second: float) -> None:
    with pytest.raises(ValueError, match="cannot advance to second"):
        VirtualClock().advance_to(second)
