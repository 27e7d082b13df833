"""Fixtures of the core's tests."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.support.hand_driven_core import HandDrivenCore

from taskloom.core.policies import Calendar
from taskloom.testing import make_job


@dataclass(frozen=True)
class Instants:
    """A calendar of instants that are written down one by one."""

    seconds: tuple[float, ...]

    def after(self, wall: float) -> float | None:
        """Return the first that is later."""
        place = bisect_right(self.seconds, wall)
        return self.seconds[place] if place < len(self.seconds) else None

    def latest(self, wall: float) -> float | None:
        """Return the last that is not later."""
        place = bisect_right(self.seconds, wall)
        return self.seconds[place - 1] if place else None


@pytest.fixture
def stage() -> HandDrivenCore:
    """A stage with a non-daemon job `a`, a daemon job `d`, and five seconds for each to stop."""
    stage = HandDrivenCore()
    stage.add(make_job("a", within=5), make_job("d", daemon=True, within=5))
    return stage


@pytest.fixture
def instants() -> Callable[..., Calendar]:
    """Make a calendar of these instants, in seconds since the epoch."""
    return lambda *seconds: Instants(seconds)
