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
    """A calendar of explicit instants."""

    seconds: tuple[float, ...]

    def after(self, wall: float) -> float | None:
        """Return the first instant after `wall`."""
        place = bisect_right(self.seconds, wall)
        return self.seconds[place] if place < len(self.seconds) else None

    def latest(self, wall: float) -> float | None:
        """Return the last instant at or before `wall`."""
        place = bisect_right(self.seconds, wall)
        return self.seconds[place - 1] if place else None


@pytest.fixture
def stage() -> HandDrivenCore:
    """Return a core with a non-daemon job `a` and a daemon job `d`, which both have five seconds to stop."""
    stage = HandDrivenCore()
    stage.add(make_job("a", within=5), make_job("d", daemon=True, within=5))
    return stage


@pytest.fixture
def instants() -> Callable[..., Calendar]:
    """Make a calendar of these instants, in seconds since the epoch."""
    return lambda *seconds: Instants(seconds)
